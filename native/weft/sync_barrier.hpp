// A user's barrier: so many parties wait for one another.
//
// The word holds the turn, how the last turns ended, and whether the barrier is broken: one store ends a turn.
// Everything is changed under the record's lock, the core's.
//
// Each participant that has used the barrier has a share, which counts 1, and 1 for each of its threads that
// waits, and holds its pid. One that dies without having closed the barrier leaves its share: whoever waits
// finds it, and breaks the barrier.
#pragma once

#include "arena.hpp"

namespace weft {

class BarrierView {
public:
    BarrierView() noexcept = default;
    BarrierView(Arena& arena, Record& record) noexcept : arena_(&arena), record_(&record) {}

    // The core's lock. What its owner died with breaks the barrier.
    Status enter(int64_t deadline_ns) noexcept {
        auto [status, dead] = record_->lock.lock(arena_->people(), deadline_ns);
        if (status != Status::ok) return status;
        if (dead) {
            const uint64_t share = arena_->share(*record_, owner_slot(dead)).load();
            break_now(Share::owner(share, owner_slot(dead)) == dead ? Share::stamp(share) : kUnknown);
        }
        join();
        return Status::ok;
    }
    void leave() noexcept { record_->lock.unlock(); }

    // --- under the lock
    // The number of arrival in this turn; `turn` is what to wait for the end of.
    uint32_t arrive(uint64_t& turn) noexcept {
        turn = turn_of(record_->word.load(std::memory_order_relaxed));
        const uint32_t before = record_->arrived.load(std::memory_order_relaxed);
        arena_->my_share(*record_).fetch_add(1, std::memory_order_relaxed);
        record_->arrived.store(before + 1, std::memory_order_relaxed);
        WEFT_FAULT(barrier_arrived);
        return before;
    }
    // A thread of this participant waits no more.
    void depart() noexcept {
        auto& mine = arena_->my_share(*record_);
        if (Share::count(mine.load(std::memory_order_relaxed)) > 1) mine.fetch_sub(1, std::memory_order_relaxed);
    }
    // Ends the turn: those who wait go on, or learn that it was given up.
    void end_turn(bool passed) noexcept {
        const uint64_t word = record_->word.load(std::memory_order_relaxed);
        record_->word.store((turn_of(word) + 1) << 32 | ((word << 1 | (passed ? 1 : 0)) & kHistory), std::memory_order_seq_cst);
        WEFT_FAULT(barrier_opened);
        record_->arrived.store(0, std::memory_order_relaxed);
        arena_->notify_event(record_->changed, INT32_MAX);
    }
    // Until it is reset.
    void break_now(uint32_t pid) noexcept {
        const uint64_t word = record_->word.load(std::memory_order_relaxed);
        if (word & kBroken) return;
        record_->broken_by.store(pid, std::memory_order_relaxed);
        record_->word.store((turn_of(word) + 1) << 32 | (word << 1 & kHistory) | kBroken, std::memory_order_seq_cst);
        record_->arrived.store(0, std::memory_order_relaxed);
        arena_->notify_event(record_->changed, INT32_MAX);
    }
    void reset() noexcept {
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, auto& place) {
            if (!arena_->people().is_alive(Share::owner(word, slot))) place.store(0, std::memory_order_relaxed);
        });
        record_->broken_by.store(0, std::memory_order_relaxed);
        end_turn(false);
    }
    // Breaks it if a party has died.
    void check_dead() noexcept {
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, auto& place) {
            if (arena_->people().is_alive(Share::owner(word, slot))) return;
            place.store(0, std::memory_order_relaxed);
            record_->owner_deaths.fetch_add(1, std::memory_order_relaxed);
            break_now(Share::stamp(word));
        });
    }
    // This participant is no party any more.
    void withdraw() noexcept { arena_->my_share(*record_).store(0, std::memory_order_relaxed); }

    // --- without it
    bool has_dead() const noexcept {
        bool any = false;
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, auto&) {
            any = any || !arena_->people().is_alive(Share::owner(word, slot));
        });
        return any;
    }
    bool is_broken() const noexcept { return record_->word.load(std::memory_order_acquire) & kBroken; }
    bool is_over(uint64_t turn) const noexcept { return turn_of(record_->word.load(std::memory_order_acquire)) != turn; }
    bool has_passed(uint64_t turn) const noexcept {
        const uint64_t word = record_->word.load(std::memory_order_acquire), ago = turn_of(word) - turn - 1;
        return ago >= 31 || (word >> ago & 1);
    }
    uint32_t arrived() const noexcept { return record_->arrived.load(std::memory_order_relaxed); }
    uint32_t broken_by() const noexcept { return record_->broken_by.load(std::memory_order_relaxed); }
    static constexpr uint32_t kUnknown = ~0u;

    // One sleep. `marked`: a party may have died, and somebody should look.
    Status wait(Patience& patience, uint64_t turn, int64_t deadline_ns, Waiting mode) noexcept {
        auto ready = [&] { return is_over(turn); };
        if (patience.spin(deadline_ns, mode, ready)) return Status::ok;
        uint32_t announced = record_->changed.announce_sleeper();
        if (ready()) return Status::ok;
        bool unwoken = false;
        Status status = patience.sleep(record_->changed, announced, arena_->sleepers(), deadline_ns,
                                       Event::kWatchfulTickNs, mode, unwoken);
        return unwoken && has_dead() ? Status::marked : status;
    }
    void arm_bell() noexcept { record_->changed.announce_bell(); }

private:
    static constexpr uint64_t kHistory = 0x7fffffff, kBroken = uint64_t(1) << 31;
    static constexpr uint64_t turn_of(uint64_t word) noexcept { return word >> 32; }

    // From its first use in a process on, the process is a party. A dead one that had its place breaks the barrier.
    void join() noexcept {
        auto& mine = arena_->my_share(*record_);
        const uint64_t word = mine.load(std::memory_order_relaxed);
        const Owner self = arena_->people().self();
        if (Share::count(word) && Share::generation(word) == owner_generation(self)) return;
        if (Share::count(word)) {
            record_->owner_deaths.fetch_add(1, std::memory_order_relaxed);
            break_now(Share::stamp(word));
        }
        mine.store(Share::make(self, 1, arena_->people().mine().pid), std::memory_order_release);
    }

    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
};

}  // namespace weft
