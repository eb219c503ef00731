// Waiting: look, spin for as long as spinning has paid lately, then sleep. This is the part that learns;
// what is waited for, and what a sleeper looks after, is the object's.
#pragma once

#include "event.hpp"
#include "thread.hpp"

namespace weft {

enum class Waiting { latency, balanced, power };

inline constexpr int64_t kNow = 0;              // a deadline that has passed
inline constexpr int64_t kForever = INT64_MAX;

class Patience {
public:
    static constexpr int64_t kMinSpinNs = 2'000, kMaxSpinNs = 50'000, kLatencySpinNs = 2'000'000;

    // Called where a call begins to wait.
    void begin() noexcept { pieces_.store(0, std::memory_order_relaxed); }

    // Spins until ready() or until spinning has cost what it may. Learns from a success how much is
    // enough, and from failures in a row that it does not pay now (the other side runs on this very core,
    // or seldom has anything): then ever more waits go without, between one try and the next.
    template <class Ready>
    bool spin(int64_t deadline_ns, Waiting mode, Ready ready) noexcept {
        if (mode == Waiting::power) return ready();
        if (pieces_.load(std::memory_order_relaxed) && ThisThread::get().is_main) return ready();  // the sleep goes on
        uint32_t skips = skips_.load(std::memory_order_relaxed);
        if (mode == Waiting::balanced && skips) {
            skips_.store(skips - 1, std::memory_order_relaxed);
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
                    failures_.store(0, std::memory_order_relaxed);
                    return true;
                }
                relax_cpu();
            }
        uint32_t failures = failures_.load(std::memory_order_relaxed) + 1;
        failures_.store(failures, std::memory_order_relaxed);
        if (failures > 3) skips_.store(failures < 10 ? 1u << failures : 1024, std::memory_order_relaxed);
        return false;
    }

    // One sleep by `how(nanoseconds)`, `most_ns` at most. `sleepers` counts those asleep, for display.
    // `unwoken`: for that long nothing has woken it, so that the object may look for the dead.
    //
    // A signal that comes while a main thread spins, or just before it sleeps, does not end the sleep: the
    // first piece of it is short, so that Python's handlers run soon all the same.
    template <class How>
    Status sleep(How how, std::atomic<uint32_t>& sleepers, int64_t deadline_ns, int64_t most_ns, Waiting mode,
                 bool& unwoken) noexcept {
        const bool learns = mode == Waiting::balanced && !skips_.load(std::memory_order_relaxed);
        const int64_t start = learns || deadline_ns != kForever ? os::now_ns() : 0;
        if (start >= deadline_ns) return Status::timed_out;
        const bool in_pieces = most_ns > Event::kSignalTickNs && ThisThread::get().is_main;
        const uint32_t pieces = in_pieces ? pieces_.load(std::memory_order_relaxed) : 2;
        if (pieces == 0) most_ns = Event::kSignalTickNs;
        if (pieces == 1) most_ns -= Event::kSignalTickNs;
        const bool is_last = deadline_ns - start < most_ns;
        if (is_last) most_ns = deadline_ns - start;
        sleepers.fetch_add(1, std::memory_order_relaxed);
        const os::Sleep end = how(most_ns);
        sleepers.fetch_sub(1, std::memory_order_relaxed);
        if (learns) {
            // A short sleep was dearer than the spin that would have saved it; a long one shows that the
            // spin before it was wasted.
            const int64_t learnt = spin_ns_.load(std::memory_order_relaxed);
            int64_t next = os::now_ns() - start < kMaxSpinNs ? learnt * 2 : learnt / 2;
            next = next < kMinSpinNs ? kMinSpinNs : next < kMaxSpinNs ? next : kMaxSpinNs;
            spin_ns_.store(next, std::memory_order_relaxed);
        }
        const bool woken = end != os::Sleep::timed_out;
        if (in_pieces) pieces_.store(woken ? 0 : pieces == 0 ? 1 : 2, std::memory_order_relaxed);
        unwoken = !woken && (pieces || is_last);
        return end == os::Sleep::interrupted ? Status::interrupted : Status::ok;
    }

    // On what was announced.
    Status sleep(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers, int64_t deadline_ns,
                 int64_t most_ns, Waiting mode, bool& unwoken) noexcept {
        return sleep([&](int64_t ns) { return event.sleep(announced, ns); }, sleepers, deadline_ns, most_ns, mode, unwoken);
    }

    // Whether spinning has been found not to pay at present.
    bool is_resting() const noexcept { return skips_.load(std::memory_order_relaxed) != 0; }

private:
    std::atomic<int64_t> spin_ns_{20'000};  // how long spinning pays, as far as this handle has learnt
    std::atomic<uint32_t> pieces_{0};       // of the main thread's sleep that have ended unwoken: 0, 1, or more
    std::atomic<uint32_t> failures_{0}, skips_{0};
};

}  // namespace weft
