// What waiting for messages, or for room, looks at, and what a sleeper sees to.
#pragma once

#include "queue.hpp"

namespace weft {

// One sleep on what was announced. Who sleeps looks after the dead: often while somebody holds what
// would have to come back.
inline Status Queue::sleep(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers,
                           int64_t deadline_ns, Waiting mode) noexcept {
    const bool watchful = state_->leased.load(std::memory_order_relaxed) != 0;
    bool unwoken = false;
    if (home_.watches()) return sleep_lightly(event, announced, sleepers, deadline_ns, mode);
    Status status = patience_.sleep(event, announced, sleepers, deadline_ns,
                                    watchful ? Event::kWatchfulTickNs : Event::kTickNs, mode, unwoken);
    if (unwoken) home_.look_after();
    return status;
}

// Where a death must be heard of at once. The kernel tells of one by a descriptor, beside which one can't sleep on
// a word. To be woken by a word is cheaper, and as a rule the other side has something soon: so a nap comes first.
inline Status Queue::sleep_lightly(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers,
                                   int64_t deadline_ns, Waiting mode) noexcept {
    bool unwoken = false;
    const int bed = napped_.load(std::memory_order_relaxed) ? home_.listen() : -1;
    Status status = Status::ok;
    if (bed < 0) {
        status = patience_.sleep(event, announced, sleepers, deadline_ns, kNapNs, mode, unwoken);
        napped_.store(unwoken, std::memory_order_relaxed);
    } else {
        if (event.arm_bell(announced))
            status = patience_.sleep([&](int64_t ns) { return os::wait_bell(bed, ns); }, sleepers, deadline_ns,
                                     Event::kTickNs, mode, unwoken);
        os::close_bell(bed);
    }
    if (unwoken || bed >= 0) home_.look_after();
    return status;
}

// A glance of a microsecond or so, for who holds the GIL: what is on its way already comes without the
// price of letting it go. Who has caught up with a stream looks away for a moment first: a producer whose
// line is looked at all the time misses it at each put, and two that meet at every message are slower
// than two that leave each other alone for a few.
inline bool Queue::glance_items(Waiting mode) noexcept {
    if (mode == Waiting::power || patience_.is_resting()) return has_items();
    const uint64_t head = state_->head.load(std::memory_order_relaxed);
    const uint64_t before = glanced_.exchange(head, std::memory_order_relaxed);
    if (mode == Waiting::balanced && Mark::between(before, head) >= kStream)
        for (int i = 0; i < kLookAway; ++i) relax_cpu();
    for (int i = 0; i < 24; ++i) {
        if (has_items()) return true;
        relax_cpu();
    }
    return false;
}

inline Status Queue::wait_items(int64_t deadline_ns, Waiting mode) noexcept {
    auto ready = [this] { return has_items() || has_ended(); };
    if (geometry_.is_ordered && registrant()) {
        // Whoever puts must see that somebody waits: there is no telling the registrant then.
        std::atomic<uint32_t>& waiting = people_.mine().waiting_consumers;
        waiting.fetch_add(1, std::memory_order_seq_cst);
        const uint32_t announced = state_->items.announce_sleeper();
        Status status = Status::ok;
        if (!ready()) status = sleep(state_->items, announced, waiting, deadline_ns, mode);
        waiting.fetch_sub(1, std::memory_order_relaxed);
        return status;
    }
    if (patience_.spin(deadline_ns, mode, ready)) return Status::ok;
    uint32_t announced = state_->items.announce_sleeper();
    if (ready()) return Status::ok;
    return sleep(state_->items, announced, people_.mine().waiting_consumers, deadline_ns, mode);
}

// Whether there is memory for a message only the pool can say, by trying. So the first call announces
// and sends the caller to try once more; what it then calls this for again was not there after the
// announcement, and it may sleep.
inline Status Queue::wait_room(uint32_t& announced, int64_t deadline_ns, Waiting mode) noexcept {
    if (!announced) {
        const bool by_count = !has_room();
        // Memory comes back by extents: a try at each message that is taken would be in vain.
        const uint64_t extent = geometry_.extent_units * Pool::kUnitBytes;
        auto part = [&] { return Mark::offset(state_->head.load(std::memory_order_acquire)) / extent; };
        const uint64_t before = part();
        bool found = patience_.spin(deadline_ns, mode, [&] { return shut() != 0 || (by_count ? has_room() : part() != before); });
        if (!found) announced = state_->room.announce_sleeper();
        return Status::ok;
    }
    uint32_t since = announced;
    announced = 0;
    return sleep(state_->room, since, people_.mine().waiting_producers, deadline_ns, mode);
}

}  // namespace weft
