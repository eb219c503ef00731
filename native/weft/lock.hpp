// A lock in shared memory that has an owner, and outlives it.
//
// One futex word: who owns it, and whether somebody may be asleep (after Drepper, "Futexes Are
// Tricky", 2011, mutex 2). A waiter never sleeps unbounded without asking the kernel whether the owner
// lives; the first to find it dead takes the lock over by one compare-and-swap on the dead owner's very
// word and is told, since what the lock guards may be half changed. A stopped owner is alive: nobody
// takes its lock.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "participants.hpp"

namespace weft {

inline void relax_cpu() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

// Asks for the line at `place` to write to, long enough before. Never faults.
inline void prepare_write(const void* place) noexcept {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(place)));
#else
    __builtin_prefetch(place, 1);
#endif
}

// Orders what was stored before an atomic read-modify-write with what is loaded after it. On x86-64
// that operation is a full fence already.
inline void fence_after_rmw() noexcept {
#if defined(__x86_64__)
    std::atomic_signal_fence(std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// What a death means to whoever wants the lock next.
struct LockTerms {
    bool marks = false;     // the lock is marked, and nobody has it before somebody recovers it; else it is inherited
    bool recovers = false;  // … and this one does
    bool checks_at_once = false;  // whether the owner lives is asked before the first sleep, not only during it
};

class RobustLock {
public:
    // How often a waiter asks whether the owner lives.
    static constexpr int64_t kOwnerCheckNs = 20'000'000;

    struct Result {
        Status status;
        Owner dead;  // whose lock was taken over, or has been marked just now, or 0
    };

    // The core's own use: inherited from the dead, and told. With the deadline in the past: tries for a
    // microsecond or two, then `busy`. sync: acquire pairs with unlock's release: the section sees all that the
    // sections before it wrote.
    Result lock(const Participants& people, int64_t deadline_ns) noexcept {
        if (try_lock(people.self())) {
            WEFT_FAULT(lock_taken);
            return {Status::ok, 0};
        }
        return lock_in_runs(people, deadline_ns);
    }

    // One compare-and-swap: only a lock that is free, and not marked.
    bool try_lock(Owner self) noexcept {
        uint32_t seen = 0;
        return word_.compare_exchange_strong(seen, self, std::memory_order_acquire, std::memory_order_relaxed);
    }

    // Leaves the lock free, or marked. True if the doorbell is to be rung.
    bool unlock(bool marked = false) noexcept {
        // sync: release pairs with lock's acquire. Dying before this line leaves the lock to whoever
        // finds the owner dead; dying after it, before the wake, leaves a sleeper to its own timeout.
        uint32_t seen = word_.exchange(marked ? kMarked : 0, std::memory_order_seq_cst);
        return wake(seen, marked ? INT32_MAX : 1);
    }

    // The same for whoever comes, as long as somebody has it: `not_held` if nobody does. A mark stays.
    Status release(bool& bell) noexcept {
        uint32_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (!(seen & kOwnerMask)) return Status::not_held;
        } while (!word_.compare_exchange_weak(seen, seen & kMarked, std::memory_order_seq_cst));
        bell = wake(seen, 1);
        return Status::ok;
    }

    // Marks it if that owner has it still: the owner is dead, or leaves with the lock in its hands.
    bool mark(Owner owner, bool& bell) noexcept {
        uint32_t seen = word_.load(std::memory_order_relaxed);
        do {
            if ((seen & kOwnerMask) != owner) return false;
        } while (!word_.compare_exchange_weak(seen, kMarked, std::memory_order_seq_cst));
        bell = wake(seen, INT32_MAX);
        return true;
    }

    // By its owner.
    void clear_mark() noexcept { word_.fetch_and(~kMarked, std::memory_order_relaxed); }

    // Has the bell rung at the next release; false if it is free or marked, and there will be none.
    bool arm_bell() noexcept {
        uint32_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (!(seen & kOwnerMask) || seen & kMarked) return false;
        } while (!word_.compare_exchange_weak(seen, seen | kBell, std::memory_order_seq_cst));
        return true;
    }

    // sync: acquire pairs with unlock's release: who sees it free sees what the last section wrote.
    Owner owner() const noexcept { return word_.load(std::memory_order_acquire) & kOwnerMask; }
    bool is_marked() const noexcept { return word_.load(std::memory_order_acquire) & kMarked; }

    // After try_lock has failed. Gives up when time is up (`timed_out`, or `busy` without having slept), at
    // a signal, and where a mark is in the way.
    // `note(owner)` is called with an owner that is dead, before anything says so.
    template <LockTerms terms, class Note>
    [[gnu::noinline]] Result lock_contended(const Participants& people, int64_t deadline_ns, int spins,
                                            Note note) noexcept {
        const uint32_t self = people.self();
        uint32_t seen = 0;
        auto is_in_the_way = [&] { return !terms.recovers && (seen & kMarked); };
        auto is_free = [&] { return !(seen & kOwnerMask); };
        for (int i = 0; i < spins; ++i) {
            seen = word_.load(std::memory_order_relaxed);
            if (is_in_the_way()) return {Status::marked, 0};
            if (is_free() && word_.compare_exchange_weak(seen, seen | self, std::memory_order_acquire,
                                                         std::memory_order_relaxed))
                return {Status::ok, 0};
            relax_cpu();
        }
        int64_t now = os::now_ns();
        if (now >= deadline_ns && !terms.checks_at_once) return {Status::busy, 0};
        bool slept = false, asked = false;
        int64_t next_check = terms.checks_at_once ? now : now + kOwnerCheckNs;
        for (;;) {
            seen = word_.load(std::memory_order_relaxed);
            if (is_in_the_way()) return {Status::marked, 0};
            if (is_free()) {
                // Others may sleep: only this flag makes the next unlock wake them.
                if (word_.compare_exchange_strong(seen, seen | self | kWaiters, std::memory_order_acquire,
                                                  std::memory_order_relaxed))
                    return {Status::ok, 0};
                continue;
            }
            now = slept ? os::now_ns() : now;
            // Who gives up has asked: on a busy machine all its time may have gone by without a look.
            if (now >= next_check || (now >= deadline_ns && !asked)) {
                asked = true;
                if (!people.is_alive(seen & kOwnerMask)) {
                    const Owner dead = seen & kOwnerMask;
                    note(dead);
                    if (terms.marks && !terms.recovers) {
                        bool bell;  // unheard: who waits in an event loop looks by itself, as who sleeps does
                        if (!mark(dead, bell)) continue;
                        WEFT_FAULT(user_lock_marked);
                        return {Status::marked, dead};
                    }
                    const uint32_t mine = self | kWaiters | (seen & kBell) | (terms.marks ? kMarked : 0);
                    if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire,
                                                      std::memory_order_relaxed)) {
                        WEFT_FAULT(lock_takeover);
                        return {Status::ok, dead};
                    }
                    continue;
                }
                next_check = now + kOwnerCheckNs;
            }
            if (now >= deadline_ns && !slept) return {Status::busy, 0};
            // Before giving up, too: the wake-up that came here is passed on by the next unlock.
            if (!(seen & kWaiters) &&
                !word_.compare_exchange_strong(seen, seen | kWaiters, std::memory_order_relaxed))
                continue;
            if (now >= deadline_ns) return {Status::timed_out, 0};
            int64_t until = next_check < deadline_ns ? next_check : deadline_ns;
            slept = true;
            if (os::futex_wait(word_, seen | kWaiters, until - now) == os::Sleep::interrupted)
                return {Status::interrupted, 0};
        }
    }

private:
    // Beside the owner. Waiters: somebody may be asleep. Marked: an owner died, and who has the lock now, if
    // anybody, repairs. Bell: somebody waits in an event loop.
    static constexpr uint32_t kWaiters = 1u << 31, kMarked = 1u << 30, kBell = 1u << 29;
    // Pauses before each look of lock_in_runs, and what follows before it sleeps.
    static constexpr int kPauses[] = {32, 64};
    static constexpr int kYields = 4;

    // Few looks, far apart: a word that is looked at all the time is slow to change for its owner, and two that
    // take turns at every section are slower than two that take runs of them. Where more run than there are
    // cores the owner may wait for one, and others have work that does not need this lock: they are let on
    // before this one sleeps, which the owner would have to pay for by waking it.
    [[gnu::noinline]] Result lock_in_runs(const Participants& people, int64_t deadline_ns) noexcept {
        const Owner self = people.self();
        auto is_taken = [&] { return word_.load(std::memory_order_relaxed) != 0 || !try_lock(self); };
        for (int pauses : kPauses) {
            for (int i = 0; i < pauses; ++i) relax_cpu();
            if (!is_taken()) return {Status::ok, 0};
        }
        if (os::now_ns() >= deadline_ns) return {Status::busy, 0};
        for (int i = 0; i < kYields; ++i) {
            os::yield_core();
            if (!is_taken()) return {Status::ok, 0};
        }
        constexpr LockTerms last_look{.checks_at_once = true};
        return os::now_ns() < deadline_ns ? lock_contended<LockTerms{}>(people, deadline_ns, 0, [](Owner) {})
                                          : lock_contended<last_look>(people, deadline_ns, 0, [](Owner) {});
    }

    bool wake(uint32_t seen, int count) noexcept {
        if (seen & kWaiters) os::futex_wake(word_, count);
        return seen & kBell;
    }

    std::atomic<uint32_t> word_;
};
static_assert(sizeof(RobustLock) == 4);

}  // namespace weft
