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

class RobustLock {
public:
    // How often a waiter asks whether the owner lives.
    static constexpr int64_t kOwnerCheckNs = 20'000'000;

    struct Result {
        Status status;
        Owner dead;  // whose lock was taken over, or 0
    };

    // With the deadline in the past: spins shortly, then `busy`. sync: acquire pairs with unlock's release:
    // the section sees all that the sections before it wrote.
    Result lock(const Participants& people, int64_t deadline_ns) noexcept {
        uint32_t seen = 0;
        if (word_.compare_exchange_strong(seen, people.self(), std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
            WEFT_FAULT(lock_taken);
            return {Status::ok, 0};
        }
        return lock_contended(people, deadline_ns);
    }

    void unlock() noexcept {
        // sync: release pairs with lock's acquire. Dying before this line leaves the lock to whoever
        // finds the owner dead; dying after it, before the wake, leaves a sleeper to its own timeout.
        if (word_.exchange(0, std::memory_order_seq_cst) & kWaiters) os::futex_wake(word_, 1);
    }

    // sync: acquire pairs with unlock's release: who sees it free sees what the last section wrote.
    Owner owner() const noexcept { return word_.load(std::memory_order_acquire) & kOwnerMask; }

private:
    static constexpr uint32_t kWaiters = 1u << 31;
    static constexpr int kSpins = 200;

    [[gnu::noinline]] Result lock_contended(const Participants& people, int64_t deadline_ns) noexcept {
        const uint32_t self = people.self();
        uint32_t seen = 0;
        for (int i = 0; i < kSpins; ++i) {
            seen = word_.load(std::memory_order_relaxed);
            if (seen == 0 && word_.compare_exchange_weak(seen, self, std::memory_order_acquire,
                                                         std::memory_order_relaxed))
                return {Status::ok, 0};
            relax_cpu();
        }
        int64_t now = os::now_ns();
        if (now >= deadline_ns) return {Status::busy, 0};
        int64_t next_check = now + kOwnerCheckNs;
        for (;;) {
            seen = word_.load(std::memory_order_relaxed);
            if (seen == 0) {
                // Others may sleep: only this flag makes the next unlock wake them.
                if (word_.compare_exchange_strong(seen, self | kWaiters, std::memory_order_acquire,
                                                  std::memory_order_relaxed))
                    return {Status::ok, 0};
                continue;
            }
            now = os::now_ns();
            if (now >= next_check) {
                if (!people.is_alive(seen & kOwnerMask)) {
                    uint32_t dead = seen;
                    if (word_.compare_exchange_strong(seen, self | kWaiters, std::memory_order_acquire,
                                                      std::memory_order_relaxed)) {
                        WEFT_FAULT(lock_takeover);
                        return {Status::ok, dead & kOwnerMask};
                    }
                    continue;
                }
                next_check = now + kOwnerCheckNs;
            }
            if (now >= deadline_ns) return {Status::timed_out, 0};
            if (!(seen & kWaiters) &&
                !word_.compare_exchange_strong(seen, seen | kWaiters, std::memory_order_relaxed))
                continue;
            int64_t until = next_check < deadline_ns ? next_check : deadline_ns;
            if (os::futex_wait(word_, seen | kWaiters, until - now) == os::Sleep::interrupted)
                return {Status::interrupted, 0};
        }
    }

    std::atomic<uint32_t> word_;
};
static_assert(sizeof(RobustLock) == 4);

}  // namespace weft
