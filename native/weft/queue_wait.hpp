// Waiting: look, spin for as long as spinning has paid lately, then sleep.
#pragma once

#include "queue.hpp"

namespace weft {

// Spins until ready() or until spinning has cost what it may. Learns from a success how much is enough,
// and from failures in a row that it does not pay now (the other side runs on this very core, or seldom
// has anything): then ever more waits go without, between one try and the next.
template <class Ready>
inline bool Queue::spin(int64_t deadline_ns, Waiting mode, Ready ready) noexcept {
    if (mode == Waiting::power) return ready();
    uint32_t skips = spin_skips_.load(std::memory_order_relaxed);
    if (mode == Waiting::balanced && skips) {
        spin_skips_.store(skips - 1, std::memory_order_relaxed);
        return ready();
    }
    const int64_t start = os::now_ns(), learnt = spin_ns_.load(std::memory_order_relaxed);
    const int64_t limit = mode == Waiting::latency ? kLatencySpinNs : learnt;
    for (int64_t now = start; now - start < limit && now < deadline_ns; now = os::now_ns())
        for (int i = 0; i < 32; ++i) {
            if (ready()) {
                // Twice what was needed: the next wait like this one ends while spinning too.
                int64_t next = (7 * learnt + 2 * (os::now_ns() - start) + kMinSpinNs) / 8;
                spin_ns_.store(next < kMaxSpinNs ? next : kMaxSpinNs, std::memory_order_relaxed);
                spin_failures_.store(0, std::memory_order_relaxed);
                return true;
            }
            relax_cpu();
        }
    uint32_t failures = spin_failures_.load(std::memory_order_relaxed) + 1;
    spin_failures_.store(failures, std::memory_order_relaxed);
    if (failures > 3) spin_skips_.store(failures < 10 ? 1u << failures : 1024, std::memory_order_relaxed);
    return false;
}

// One sleep on what was announced. Who sleeps looks after the dead: often while somebody holds what
// would have to come back.
inline Status Queue::sleep(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers,
                           int64_t deadline_ns, Waiting mode) noexcept {
    const bool learns = mode == Waiting::balanced && !spin_skips_.load(std::memory_order_relaxed);
    const int64_t start = learns || deadline_ns != kForever ? os::now_ns() : 0;
    if (start >= deadline_ns) return Status::timed_out;
    const bool watchful = state_->leased.load(std::memory_order_relaxed) != 0;
    int64_t most = watchful ? Event::kWatchfulTickNs : Event::kTickNs;
    if (deadline_ns - start < most) most = deadline_ns - start;
    sleepers.fetch_add(1, std::memory_order_relaxed);
    os::Sleep how = event.sleep(announced, most);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    if (learns) {
        // A short sleep was dearer than the spin that would have saved it; a long one shows that the
        // spin before it was wasted.
        const int64_t learnt = spin_ns_.load(std::memory_order_relaxed);
        int64_t next = os::now_ns() - start < kMaxSpinNs ? learnt * 2 : learnt / 2;
        next = next < kMinSpinNs ? kMinSpinNs : next < kMaxSpinNs ? next : kMaxSpinNs;
        spin_ns_.store(next, std::memory_order_relaxed);
    }
    if (how == os::Sleep::interrupted) return Status::interrupted;
    if (how == os::Sleep::timed_out) recover(false);
    return Status::ok;
}

// A glance of a microsecond or so, for who holds the GIL: what is on its way already comes without the
// price of letting it go. Who has caught up with a stream looks away for a moment first: a producer whose
// line is looked at all the time misses it at each put, and two that meet at every message are slower
// than two that leave each other alone for a few.
inline bool Queue::glance_items(Waiting mode) noexcept {
    if (mode == Waiting::power || spin_skips_.load(std::memory_order_relaxed)) return has_items();
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
    if (spin(deadline_ns, mode, ready)) return Status::ok;
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
        bool found = spin(deadline_ns, mode, [&] { return shut() != 0 || (by_count ? has_room() : part() != before); });
        if (!found) announced = state_->room.announce_sleeper();
        return Status::ok;
    }
    uint32_t since = announced;
    announced = 0;
    return sleep(state_->room, since, people_.mine().waiting_producers, deadline_ns, mode);
}

}  // namespace weft
