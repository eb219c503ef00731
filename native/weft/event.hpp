// "Something has changed": sleeping until it has, and waking who sleeps, for one load when nobody does.
//
// One futex word: bit 0 somebody may be asleep, bit 1 a doorbell is armed, the rest a sequence. A
// sleeper raises the sequence when it announces itself, looks once more at what it waits for, and only
// then sleeps on the value it made. A waker publishes first and looks at the word after a full fence:
// either it sees the announcement, or the sleeper's second look sees what was published.
//
// A flag left by somebody who died costs one futile wake; a wake taken along by somebody who died before
// it acted on it costs the others one tick: no sleep is longer than kTickNs.
#pragma once

#include "lock.hpp"

namespace weft {

class Event {
public:
    static constexpr int64_t kTickNs = 250'000'000;
    // While somebody's death would have to be noticed by whoever waits.
    static constexpr int64_t kWatchfulTickNs = 25'000'000;
    // The first piece of a main thread's sleep.
    static constexpr int64_t kSignalTickNs = 40'000'000;

    uint32_t announce_sleeper() noexcept { return announce(kSleepers); }
    uint32_t announce_bell() noexcept { return announce(kBell); }

    // Has the bell rung at the next change; false if something has changed since `announced`.
    bool arm_bell(uint32_t announced) noexcept {
        return word_.compare_exchange_strong(announced, announced | kBell, std::memory_order_seq_cst);
    }

    os::Sleep sleep(uint32_t announced, int64_t timeout_ns) noexcept {
        return os::futex_wait(word_, announced, timeout_ns);
    }

    // Wakes up to `count` sleepers. True if a doorbell is to be rung too. The caller has published by,
    // or done after publishing, an atomic read-modify-write.
    bool notify(int count) noexcept {
        fence_after_rmw();
        uint32_t seen = word_.load(std::memory_order_relaxed);
        if (!(seen & (kSleepers | kBell))) return false;
        return notify_slow(count);
    }

    // Nobody has announced itself since somebody found none asleep.
    bool is_quiet() const noexcept { return !(word_.load(std::memory_order_seq_cst) & (kSleepers | kBell)); }

private:
    static constexpr uint32_t kSleepers = 1, kBell = 2, kStep = 4;

    uint32_t announce(uint32_t flag) noexcept {
        uint32_t seen = word_.load(std::memory_order_relaxed), next;
        do next = (seen + kStep) | flag;
        while (!word_.compare_exchange_weak(seen, next, std::memory_order_seq_cst));
        return next;
    }

    [[gnu::noinline]] bool notify_slow(int count) noexcept {
        uint32_t seen = word_.fetch_add(kStep, std::memory_order_seq_cst);
        bool bell = seen & kBell;
        seen += kStep;
        if (seen & kSleepers && os::futex_wake(word_, count) < count) {
            // Nobody is left asleep, unless somebody has announced itself since: then the word differs.
            word_.compare_exchange_strong(seen, seen & ~(kSleepers | kBell));
        } else if (bell) {
            word_.fetch_and(~kBell);
        }
        return bell;
    }

    std::atomic<uint32_t> word_;
};
static_assert(sizeof(Event) == 4);

}  // namespace weft
