// Signals: catching them with all that the kernel tells, masks, waiting, timers.
//
// `catch_signal` stands before the handler that the interpreter has installed. It records who sent the signal
// and what came with it, and then calls that handler, which has the interpreter's main thread run the Python
// side at a safe point. All it calls is safe in a handler: atomics, futex, sigaction, pthread_kill.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>

#include "futex.hpp"
#include "signal_ring.hpp"

namespace weft::os {

inline constexpr int kSignals = 65;                    // numbers are 1 to 64
inline constexpr uint32_t kStandardRing = 256;         // records
inline constexpr uint32_t kRealTimeRing = 4096;
inline constexpr uint32_t kThreadRing = 65536;         // touched as it fills

// One signal that is caught. Fields are written by the binding, in one thread at a time, and read by handlers.
struct Catch {
    SignalRing* ring = nullptr;            // allocated at the first catch, kept for ever: a handler may be in it
    std::atomic<bool> to_main{false};      // record in `ring`
    std::atomic<bool> to_thread{false};    // record in the ring of the signals' thread
    std::atomic<void (*)(int)> next{nullptr};  // the handler to call afterwards
    std::atomic<bool> throttled{false};    // written by handlers: some thread has the signal blocked for want of room
    struct sigaction before{};             // what was there
    bool caught = false;
};

struct SignalState {
    Catch catches[kSignals];
    SignalRing* thread_ring = nullptr;
    std::atomic<uint32_t> thread_turn{0};   // written by handlers, at each record for the thread: it sleeps on it
    std::atomic<bool> thread_lives{false};
    pthread_t main_thread{};
    struct sigaction before_nudges{};
    uint32_t forks = 0;
};

inline SignalState signals;

inline SignalRing* new_ring(uint32_t size) noexcept {
    const size_t bytes = sizeof(SignalRing) + size * sizeof(SignalRing::Cell);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    auto* ring = new (memory) SignalRing;
    ring->use(reinterpret_cast<SignalRing::Cell*>(ring + 1), size);
    return ring;
}

// Ends the main thread's system call when a signal was handled in another thread. The one signal that nobody
// minds: ignored by default, so that one left over at the end does no harm.
inline constexpr int kNudge = SIGURG;
inline void be_nudged(int) noexcept {}

inline void nudge_main() noexcept {
    struct sigaction there;
    if (sigaction(kNudge, nullptr, &there) == 0 && there.sa_handler == be_nudged)
        pthread_kill(signals.main_thread, kNudge);
}

inline bool has_sender(int number, int code) noexcept {
    return code == SI_USER || code == SI_QUEUE || code == SI_TKILL || code == SI_MESGQ ||
           (number == SIGCHLD && code > 0 && code != SI_KERNEL);
}

inline SignalRecord record_of(int number, const siginfo_t& info) noexcept {
    SignalRecord record{};
    record.number = number;
    record.code = info.si_code;
    if (info.si_code == SI_TIMER) {
        record.value = int64_t(reinterpret_cast<intptr_t>(info.si_value.sival_ptr));
        record.overrun = info.si_overrun;
    } else if (has_sender(number, info.si_code)) {
        record.pid = info.si_pid;
        record.uid = info.si_uid;
        if (info.si_code == SI_QUEUE || info.si_code == SI_MESGQ) record.value = info.si_value.sival_int;
    }
    return record;
}

// The handler. When a ring fills up, the signal is blocked in the thread that was interrupted: what comes then
// stays in the kernel's queue, in order, until `relieve`; and its senders are told when that is full too.
inline void catch_signal(int number, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    Catch& mine = signals.catches[number];
    const SignalRecord record = record_of(number, *info);
    const bool to_main = mine.to_main.load(std::memory_order_acquire);      // sync: catch_begin
    const bool to_thread = mine.to_thread.load(std::memory_order_acquire);  // sync: catch_begin
    bool roomy = true;
    if (to_main) roomy = mine.ring->push(record);
    if (to_thread) {
        roomy = signals.thread_ring->push(record) && roomy;
        signals.thread_turn.fetch_add(1, std::memory_order_release);  // sync: wait_thread
        futex_wake(signals.thread_turn, 1);
    }
    if (!roomy) {
        mine.throttled.store(true, std::memory_order_release);  // sync: relieve
        sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, number);
    }
    auto next = mine.next.load(std::memory_order_acquire);  // sync: catch_begin
    if (next && (to_main || to_thread)) {
        next(number);
        if (!pthread_equal(pthread_self(), signals.main_thread)) nudge_main();
    }
    errno = error;
}

inline bool is_caught(int number) noexcept {
    struct sigaction there;
    return sigaction(number, nullptr, &there) == 0 && (there.sa_flags & SA_SIGINFO) &&
           there.sa_sigaction == catch_signal;
}

// Remembers what is there, before the interpreter is told of a handler; 0 or an errno.
inline int catch_prepare(int number) noexcept {
    Catch& mine = signals.catches[number];
    if (!mine.ring) mine.ring = new_ring(number < SIGRTMIN ? kStandardRing : kRealTimeRing);
    if (!signals.thread_ring) signals.thread_ring = new_ring(kThreadRing);
    if (!mine.ring || !signals.thread_ring) return ENOMEM;
    if (mine.caught) return 0;
    return sigaction(number, nullptr, &mine.before) == 0 ? 0 : errno;
}

// Puts `catch_signal` before the handler that is there, which is called after it if `chain`.
inline int catch_begin(int number, bool to_main, bool to_thread, bool chain) noexcept {
    Catch& mine = signals.catches[number];
    struct sigaction there;
    if (sigaction(number, nullptr, &there) != 0) return errno;
    const bool ours = (there.sa_flags & SA_SIGINFO) && there.sa_sigaction == catch_signal;
    if (!ours) {
        const bool function = there.sa_handler != SIG_DFL && there.sa_handler != SIG_IGN;
        mine.next.store(chain && function ? there.sa_handler : nullptr, std::memory_order_release);  // sync: catch_signal
    } else if (!chain) {
        mine.next.store(nullptr, std::memory_order_release);  // sync: catch_signal
    }
    mine.to_main.store(to_main, std::memory_order_release);      // sync: catch_signal
    mine.to_thread.store(to_thread, std::memory_order_release);  // sync: catch_signal
    mine.caught = true;
    if (ours) return 0;
    struct sigaction action {};
    action.sa_sigaction = catch_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, nullptr) == 0 ? 0 : errno;
}

// Stops recording, and restores what `catch_prepare` found, flags, mask and all, if that is wanted.
inline void catch_end(int number, bool restore) noexcept {
    Catch& mine = signals.catches[number];
    if (mine.caught && restore) sigaction(number, &mine.before, nullptr);
    mine.caught = false;
    mine.to_main.store(false, std::memory_order_release);
    mine.to_thread.store(false, std::memory_order_release);
}

inline bool is_default(const struct sigaction& action) noexcept {
    return !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

// The nudge is caught only where nobody else does.
inline void nudge_begin() noexcept {
    struct sigaction there;
    if (sigaction(kNudge, nullptr, &there) != 0 || !is_default(there)) return;
    struct sigaction action {};
    action.sa_handler = be_nudged;
    action.sa_flags = SA_ONSTACK;
    sigaction(kNudge, &action, &signals.before_nudges);
}

inline void nudge_end() noexcept {
    struct sigaction there;
    if (sigaction(kNudge, nullptr, &there) == 0 && there.sa_handler == be_nudged)
        sigaction(kNudge, &signals.before_nudges, nullptr);
}

inline sigset_t one_signal(int number) noexcept {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

// What this thread keeps blocked with `Mask`: known without asking the kernel.
inline thread_local uint64_t kept_blocked = 0;

inline uint64_t bit_of(int number) noexcept { return uint64_t(1) << (number - 1); }

// Lets a signal in again that this thread had blocked for want of room. The main thread clears the mark: other
// threads may keep the signal blocked, and it comes to those that do not.
inline void relieve(int number, bool in_main) noexcept {
    Catch& mine = signals.catches[number];
    if (!mine.throttled.load(std::memory_order_acquire)) return;  // sync: catch_signal
    if (kept_blocked & bit_of(number)) return;                    // later, by ~Mask
    if (in_main) mine.throttled.store(false, std::memory_order_relaxed);
    const sigset_t set = one_signal(number);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Ends, stops or leaves this process as the signal does by default, whatever has been bound.
inline void act_by_default(int number) noexcept {
    struct sigaction plain {}, there;
    plain.sa_handler = SIG_DFL;
    sigset_t set = one_signal(number), mask;
    sigaction(number, &plain, &there);
    pthread_sigmask(SIG_UNBLOCK, &set, &mask);
    pthread_kill(pthread_self(), number);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    sigaction(number, &there, nullptr);
}

// A forked child has caught nothing yet, and its one thread is the main one.
inline void forget_parent() noexcept {
    ++signals.forks;
    signals.main_thread = pthread_self();
    signals.thread_lives.store(false, std::memory_order_relaxed);
    for (int number = 1; number < kSignals; ++number) {
        Catch& mine = signals.catches[number];
        if (mine.ring && mine.caught) mine.ring->clear();
        relieve(number, true);
    }
    if (signals.thread_ring && signals.thread_turn.load(std::memory_order_relaxed)) signals.thread_ring->clear();
}

inline void signals_begin(uint64_t main_thread) noexcept {
    signals.main_thread = pthread_t(main_thread);
    pthread_atfork(nullptr, nullptr, forget_parent);
}

// Sleeps until there is a record for the signals' thread after `turn`, at most so long.
inline void wait_thread(uint32_t turn, int64_t timeout_ns) noexcept {
    if (signals.thread_turn.load(std::memory_order_acquire) == turn)  // sync: catch_signal
        futex_wait(signals.thread_turn, turn, timeout_ns);
}

inline void wake_thread() noexcept {
    signals.thread_turn.fetch_add(1, std::memory_order_release);
    futex_wake(signals.thread_turn, 1);
}

// --- Masks and waiting ---

inline sigset_t set_of(uint64_t bits) noexcept {
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number < kSignals; ++number)
        if (bits >> (number - 1) & 1) sigaddset(&set, number);
    return set;
}

// Blocks signals in this thread; returns what was blocked before. The kernel's sets are these 64 bits.
inline uint64_t block(uint64_t bits) noexcept {
    uint64_t before = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &bits, &before, sizeof bits);
    return before;
}

inline void set_mask(uint64_t bits) noexcept {
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &bits, nullptr, sizeof bits);
}

// Signals that this thread keeps blocked from `begin` to `end`, which must nest.
struct Mask {
    uint64_t bits = 0, before = 0, kept_before = 0;

    void begin() noexcept {
        before = block(bits);
        kept_before = kept_blocked;
        kept_blocked |= bits;
    }

    void end() noexcept {
        kept_blocked = kept_before;
        set_mask(before);
        const bool in_main = pthread_equal(pthread_self(), signals.main_thread);
        for (int number = 1; number < kSignals; ++number)
            if (bits & bit_of(number)) relieve(number, in_main);
    }
};

// Whether all of these are known to be blocked in this thread.
inline bool keeps_blocked(uint64_t bits) noexcept { return !(bits & ~kept_blocked); }

// Takes one of the blocked signals: its number, or 0 when the time is up, or a negative errno.
inline int take_signal(uint64_t bits, int64_t timeout_ns, SignalRecord& record) noexcept {
    timespec limit{time_t(timeout_ns / 1'000'000'000), long(timeout_ns % 1'000'000'000)};
    siginfo_t info;
    const long number = syscall(SYS_rt_sigtimedwait, &bits, &info, timeout_ns < 0 ? nullptr : &limit, sizeof bits);
    if (number < 0) return errno == EAGAIN ? 0 : -errno;
    record = record_of(int(number), info);
    return int(number);
}

inline int open_signalfd(uint64_t bits) noexcept {
    const sigset_t set = set_of(bits);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// 1 and a record, 0 if there is none, or a negative errno.
inline int read_signalfd(int fd, SignalRecord& record) noexcept {
    signalfd_siginfo info;
    const ssize_t size = read(fd, &info, sizeof info);
    if (size < 0) return errno == EAGAIN ? 0 : -errno;
    record = SignalRecord{};
    record.number = int32_t(info.ssi_signo);
    record.code = info.ssi_code;
    if (info.ssi_code == SI_TIMER) {
        record.value = int64_t(info.ssi_ptr);
        record.overrun = int32_t(info.ssi_overrun);
    } else if (has_sender(record.number, record.code)) {
        record.pid = int32_t(info.ssi_pid);
        record.uid = info.ssi_uid;
        if (record.code == SI_QUEUE || record.code == SI_MESGQ) record.value = info.ssi_int;
    }
    return 1;
}

// --- Timers ---

enum class Ticks : int { real, virtual_time, profiling };

// A timer of its own that signals one thread; alarm() and setitimer() are not touched. 0 or an errno.
inline int make_timer(Ticks ticks, int number, int64_t value, int thread, timer_t& timer) noexcept {
    // The kernel's clocks of this process's time in user space, and in both (CPUCLOCK_VIRT, CPUCLOCK_PROF).
    constexpr clockid_t kUser = -7, kUserAndSystem = -8;
    const clockid_t clock = ticks == Ticks::real ? CLOCK_MONOTONIC : ticks == Ticks::profiling ? kUserAndSystem : kUser;
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = number;
    event.sigev_value.sival_ptr = reinterpret_cast<void*>(intptr_t(value));
    event._sigev_un._tid = thread;
    return timer_create(clock, &event, &timer) == 0 ? 0 : errno;
}

inline timespec span_of(int64_t ns) noexcept {
    return timespec{time_t(ns / 1'000'000'000), long(ns % 1'000'000'000)};
}

// Expires after `first`, then each `interval` (0: once); 0 or an errno.
inline int start_timer(timer_t timer, int64_t first_ns, int64_t interval_ns) noexcept {
    const itimerspec times{span_of(interval_ns), span_of(first_ns)};
    return timer_settime(timer, 0, &times, nullptr) == 0 ? 0 : errno;
}

// Nanoseconds until it expires; 0 if it will not.
inline int64_t timer_left(timer_t timer) noexcept {
    itimerspec times{};
    timer_gettime(timer, &times);
    return int64_t(times.it_value.tv_sec) * 1'000'000'000 + times.it_value.tv_nsec;
}

inline void end_timer(timer_t timer) noexcept { timer_delete(timer); }

}  // namespace weft::os
