// A user's condition: an entry of the arena's table of waiters for each thread that waits, with a futex word of
// its own. Who waits and who notifies holds the user's lock; an entry goes from waiting to notified by one
// compare-and-swap, so that a wait that times out and a notification can't both have it.
//
// The dead are not notified. One that died with a notification in its hands is found by those who wait, and by
// the next who notifies, and its notification goes to another.
#pragma once

#include "arena.hpp"

namespace weft {

class ConditionView {
public:
    ConditionView() noexcept = default;
    ConditionView(Arena& arena, Record& record) noexcept : arena_(&arena), record_(&record) {}

    // Null if the table is full.
    Waiter* announce(uint32_t thread) noexcept {
        Waiter* mine = arena_->claim_waiter(*record_, thread);
        if (!mine) return nullptr;
        mine->ticket.store(arena_->next_ticket(), std::memory_order_relaxed);
        mine->state.store(kWaiting, std::memory_order_seq_cst);
        WEFT_FAULT(condition_announced);
        return mine;
    }

    // One sleep. `ok`: notified, or worth a look.
    Status sleep(Waiter& mine, int64_t deadline_ns) noexcept {
        WEFT_FAULT(condition_released);
        const int64_t now = os::now_ns();
        if (is_notified(mine)) return Status::ok;
        if (now >= deadline_ns) return Status::timed_out;
        const int64_t left = deadline_ns - now;
        os::Sleep how = os::futex_wait(mine.state, kWaiting, left < Event::kWatchfulTickNs ? left : Event::kWatchfulTickNs);
        if (how == os::Sleep::timed_out) pass_on();
        return how == os::Sleep::interrupted ? Status::interrupted : Status::ok;
    }
    static bool is_notified(const Waiter& mine) noexcept { return mine.state.load(std::memory_order_acquire) == kNotified; }

    // The entry is given back; whether it had been notified.
    bool leave(Waiter& mine) noexcept {
        WEFT_FAULT(condition_woken);
        uint32_t seen = kWaiting;
        const bool notified = !mine.state.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);
        Arena::release_waiter(&mine);
        return notified;
    }

    // Wakes up to `count` of those who have waited for longest; how many.
    uint32_t notify(uint32_t count) noexcept {
        pass_on();
        uint32_t done = 0;
        while (done < count && notify_one()) ++done;
        if (done) arena_->notify_event(record_->changed, INT32_MAX);  // those in event loops
        return done;
    }

    uint32_t waiting() const noexcept {
        uint32_t count = 0;
        arena_->each_waiter(*record_, [&](Waiter& waiter, Owner owner) {
            count += waiter.state.load(std::memory_order_relaxed) == kWaiting && arena_->people().is_alive(owner);
        });
        return count;
    }
    void arm_bell() noexcept { record_->changed.announce_bell(); }

private:
    static constexpr uint32_t kWaiting = 1, kNotified = 2;

    bool notify_one() noexcept {
        for (;;) {
            Waiter* first = nullptr;
            uint64_t best = UINT64_MAX;
            arena_->each_waiter(*record_, [&](Waiter& waiter, Owner) {
                const uint64_t ticket = waiter.ticket.load(std::memory_order_relaxed);
                if (waiter.state.load(std::memory_order_seq_cst) != kWaiting || ticket >= best) return;
                first = &waiter;
                best = ticket;
            });
            if (!first) return false;
            Owner owner = first->owner.load(std::memory_order_acquire);
            uint32_t seen = kWaiting;
            if (owner && !arena_->people().is_alive(owner)) {
                if (first->state.compare_exchange_strong(seen, 0)) Arena::release_waiter(first);
                continue;
            }
            // A wait that ends at this moment has its entry back: then another is looked for.
            if (!first->state.compare_exchange_strong(seen, kNotified, std::memory_order_seq_cst)) continue;
            WEFT_FAULT(condition_notified);
            os::futex_wake(first->state, 1);
            return true;
        }
    }

    // Notifications of the dead go to others. Whoever changes the entry's state has it.
    void pass_on() noexcept {
        uint32_t lost = 0;
        arena_->each_waiter(*record_, [&](Waiter& waiter, Owner owner) {
            uint32_t seen = kNotified;
            if (waiter.state.load(std::memory_order_relaxed) != kNotified || arena_->people().is_alive(owner)) return;
            if (!waiter.state.compare_exchange_strong(seen, 0)) return;
            Arena::release_waiter(&waiter);
            ++lost;
        });
        while (lost && notify_one()) --lost;
    }

    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
};

}  // namespace weft
