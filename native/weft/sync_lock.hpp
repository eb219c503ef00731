// A user's lock: RobustLock with what is told about its holder, and recursion.
//
// Dying with it marks it (or hands it on, as its creator chose). The moment of death does not matter: what
// stands beside the word is for display, but for `thread` and `depth`, which are written anew by each holder
// before it returns.
#pragma once

#include "arena.hpp"

namespace weft {

class LockView {
public:
    LockView() noexcept = default;
    LockView(Arena& arena, Record& record) noexcept : arena_(&arena), record_(&record) {}

    // The whole of an acquisition that meets nobody.
    bool try_acquire(uint32_t thread) noexcept {
        if (!record_->lock.try_lock(self())) return false;
        WEFT_FAULT(user_lock_taken);
        hold(thread);
        return true;
    }

    // Tries again for a moment, for who holds the GIL; whether it has it now. In vain where another thread of
    // this process has it, which needs the GIL to let it go.
    bool glance(uint32_t thread, int turns) noexcept {
        for (int i = 0; i < turns && record_->lock.owner() != self() && !is_marked(); ++i) {
            if (!is_held() && try_acquire(thread)) {
                bump(record_->holding.contended);
                return true;
            }
            relax_cpu();
        }
        return false;
    }

    // The same without the GIL, for as long as that has paid lately. Also true if a mark is in the way.
    bool spin(Patience& patience, uint32_t thread, int64_t deadline_ns, Waiting mode, bool& mine) noexcept {
        mine = false;
        return patience.spin(deadline_ns, mode, [&] {
            if (is_marked()) return true;
            mine = !is_held() && try_acquire(thread);
            if (mine) bump(record_->holding.contended);
            return mine;
        });
    }

    // Spins for so many turns, sleeps until the deadline or a signal. `busy`: time was up before it slept.
    // `dead`: whose lock has been inherited, or marked.
    Status acquire(uint32_t thread, int64_t deadline_ns, int spins, bool recovers, Owner& dead) noexcept {
        Participants& people = arena_->people();
        auto note = [this](Owner owner) { arena_->note_death(*record_, owner); };
        auto contend = [&]<LockTerms terms>() {
            return record_->lock.lock_contended<terms>(people, deadline_ns, spins, note);
        };
        const bool marks = record_->on_death == OnDeath::marks;
        auto [status, whose] = !marks   ? contend.template operator()<LockTerms{false, false, true}>()
                               : recovers ? contend.template operator()<LockTerms{true, true, true}>()
                                          : contend.template operator()<LockTerms{true, false, true}>();
        dead = whose;
        if (whose) record_->owner_deaths.fetch_add(1, std::memory_order_relaxed);
        if (status == Status::ok) {
            hold(thread);
            bump(record_->holding.contended);
            stamp(os::now_ns());
        }
        return status;
    }

    Status release() noexcept {
        bool bell = false;
        Status status = record_->lock.release(bell);
        if (bell) arena_->ring();
        return status;
    }

    // By its holder: free, or marked again.
    void unlock(bool marked) noexcept {
        record_->holding.who.store(0, std::memory_order_relaxed);
        if (record_->lock.unlock(marked)) arena_->ring();
    }

    // By its holder: repaired.
    void clear_mark() noexcept { record_->lock.clear_mark(); }

    // Whether this thread, or task, of this process holds it.
    bool is_mine(uint32_t thread) const noexcept {
        return record_->lock.owner() == self() && record_->holding.who.load(std::memory_order_relaxed) == who(thread);
    }
    bool is_process_own() const noexcept { return record_->lock.owner() == self(); }
    bool is_held() const noexcept { return record_->lock.owner() != 0; }
    bool is_marked() const noexcept { return record_->lock.is_marked(); }
    // For a look that takes nothing: a try would succeed, or say something else than "busy".
    bool is_worth_a_try() const noexcept {
        return !is_held() || is_marked() || !arena_->people().is_alive(record_->lock.owner());
    }
    bool arm_bell() noexcept { return record_->lock.arm_bell(); }

    // To know the time would cost a third of an acquisition. So who meets the holder notes when it first did.
    void note_time() noexcept {
        if (record_->holding.is_stamped()) return;
        stamp(os::now_ns());
    }

    uint32_t depth() const noexcept { return record_->holding.depth.load(std::memory_order_relaxed); }
    void set_depth(uint32_t depth) noexcept { record_->holding.depth.store(depth, std::memory_order_relaxed); }

private:
    uint64_t who(uint32_t thread) const noexcept { return uint64_t(self()) << 32 | thread; }
    Owner self() const noexcept { return arena_->people().self(); }

    void stamp(int64_t now) noexcept {
        Holding& it = record_->holding;
        it.since_ns.store(now, std::memory_order_relaxed);
        it.stamped.store(uint32_t(it.acquisitions.load(std::memory_order_relaxed)), std::memory_order_relaxed);
    }

    // Counters under the lock need no atomic addition.
    static void bump(std::atomic<uint64_t>& counter) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    void hold(uint32_t thread) noexcept {
        Holding& it = record_->holding;
        it.who.store(who(thread), std::memory_order_relaxed);
        it.depth.store(1, std::memory_order_relaxed);
        it.pid.store(arena_->people().mine().pid, std::memory_order_relaxed);
        bump(it.acquisitions);
        WEFT_FAULT(user_lock_held);
    }

    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
};

}  // namespace weft
