// Sleeping on a 32-bit word in shared memory, and the clock that bounds the sleep.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace weft::os {

inline int64_t now_ns() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// Some milliseconds behind, at a fifth of the price.
inline int64_t coarse_now_ns() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

enum class Sleep { woken, timed_out, interrupted };

// Sleeps while `word` equals `expected`, at most `timeout_ns`. A signal handled in this thread ends
// the sleep as `interrupted`, so that the caller can run what the signal asks for.
inline Sleep futex_wait(const std::atomic<uint32_t>& word, uint32_t expected,
                        int64_t timeout_ns) noexcept {
    if (timeout_ns <= 0) return Sleep::timed_out;
    timespec limit{time_t(timeout_ns / 1'000'000'000), long(timeout_ns % 1'000'000'000)};
    if (syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0) == 0)
        return Sleep::woken;
    if (errno == ETIMEDOUT) return Sleep::timed_out;
    if (errno == EINTR) return Sleep::interrupted;
    return Sleep::woken;  // EAGAIN: the word had changed already
}

// Wakes at most `count` sleepers and returns how many there were.
inline int futex_wake(const std::atomic<uint32_t>& word, int count) noexcept {
    long woken = syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
    return woken < 0 ? 0 : int(woken);
}

}  // namespace weft::os
