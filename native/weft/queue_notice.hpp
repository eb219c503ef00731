// Being told that a message is there, as POSIX has it: one participant may register; it is told once, when a
// message comes into an empty queue and no consumer waits for it, and is registered no more.
//
// A registration is a word that its owner remembers: once the word differs, it has been told. Who puts looks under
// the producers' lock, after its commit. Dying in between leaves the lock to be taken over, and whoever does tells;
// who waits to be told looks after the dead, as every sleeper does.
#pragma once

#include "queue.hpp"

namespace weft {

inline uint64_t Queue::register_notice() noexcept {
    std::atomic<uint64_t>& word = state_->order.registrant;
    const uint64_t number = state_->order.registrations.fetch_add(1, std::memory_order_relaxed) + 1;
    const uint64_t mine = people_.self() | number << kOwnerBits;
    uint64_t seen = word.load(std::memory_order_acquire);
    do {
        if (seen && people_.is_alive(Owner(seen & kOwnerMask))) return 0;
    } while (!word.compare_exchange_strong(seen, mine, std::memory_order_seq_cst));
    return mine;
}

inline bool Queue::cancel_notice(uint64_t mark) noexcept {
    const bool stood = state_->order.registrant.compare_exchange_strong(mark, 0, std::memory_order_seq_cst);
    home_.notify(state_->order.notices, INT32_MAX);
    return stood;
}

inline Status Queue::wait_notice(uint64_t mark, int64_t deadline_ns) noexcept {
    uint32_t announced = state_->order.notices.announce_sleeper();
    if (!is_registered(mark)) return Status::ok;
    const int64_t now = os::now_ns();
    if (now >= deadline_ns) return Status::timed_out;
    const int64_t most = deadline_ns - now < Event::kTickNs ? deadline_ns - now : Event::kTickNs;
    switch (state_->order.notices.sleep(announced, most)) {
        case os::Sleep::interrupted: return Status::interrupted;
        case os::Sleep::timed_out: {
            const Owner producer = state_->producers.owner();
            if (producer && !people_.is_alive(producer)) recover(true);
            return Status::ok;
        }
        default: return Status::ok;
    }
}

// Whether a consumer of a living participant waits.
inline bool Queue::is_waited_for() const noexcept {
    for (uint32_t slot = 0, end = people_.reserved_slots(); slot < end; ++slot)
        if (people_.at(slot).waiting_consumers.load(std::memory_order_relaxed) && people_.lives(slot)) return true;
    return false;
}

// `put` messages have been committed just now; 0: somebody died who may have been about to tell. Producers' lock
// held.
[[gnu::noinline]] inline void Queue::tell_registrant(uint64_t put) noexcept {
    uint64_t seen = state_->order.registrant.load(std::memory_order_acquire), head;
    if (!seen) return;
    const uint64_t waiting = count_waiting(state_->tail.load(std::memory_order_relaxed), head);
    if (put ? waiting > put || is_waited_for() : waiting == 0) return;
    WEFT_FAULT(notice_due);
    if (!state_->order.registrant.compare_exchange_strong(seen, 0, std::memory_order_seq_cst)) return;
    WEFT_FAULT(notice_given);
    home_.notify(state_->order.notices, INT32_MAX);
}

}  // namespace weft
