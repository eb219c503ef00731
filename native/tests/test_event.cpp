// Sleeping until something has changed: no wake-up is ever lost.
//
// Every sleep here may last far longer than a tick. A waker that misses a sleeper shows as a sleep that
// ended by itself although there was something to wake for.
#include <thread>

#include "processes.hpp"
#include "weft/event.hpp"

using namespace test;
using namespace weft;

static constexpr int64_t kLong = 5'000'000'000;

struct Shared {
    alignas(64) Event event;
    alignas(64) std::atomic<int64_t> value;
    alignas(64) Event back;
    alignas(64) std::atomic<uint32_t> done, overslept, slept;
};

// Waits as the queue does: look, announce, look again, sleep.
template <class Ready>
static void wait_for(Shared& all, Event& event, Ready ready) {
    while (!ready()) {
        uint32_t announced = event.announce_sleeper();
        if (ready()) return;
        ++all.slept;
        if (event.sleep(announced, kLong) == os::Sleep::timed_out && ready()) ++all.overslept;
    }
}

static void ping_pong(Shared& all, bool first, int64_t rounds) {
    Event& mine = first ? all.back : all.event;
    Event& other = first ? all.event : all.back;
    for (int64_t i = first ? 0 : 1; i < rounds; i += 2) {
        wait_for(all, mine, [&] { return all.value.load(std::memory_order_acquire) == i; });
        all.value.fetch_add(1);
        other.notify(1);
    }
}

// More sleepers than work, one wake for each piece.
static void consume(Shared& all) {
    for (;;) {
        int64_t seen = all.value.load();
        while (seen > 0 && !all.value.compare_exchange_weak(seen, seen - 1)) {
        }
        if (seen > 0) continue;
        if (all.done) return;
        wait_for(all, all.event, [&] { return all.value.load(std::memory_order_acquire) > 0 || all.done != 0; });
    }
}

static void produce(Shared& all, uint64_t seed, int pieces) {
    Random random(seed);
    for (int i = 0; i < pieces; ++i) {
        all.value.fetch_add(1);
        all.event.notify(1);
        // Now and then all have time to fall asleep.
        if (random.below(8) == 0) usleep(useconds_t(random.below(100)));
    }
}

static void finish(Shared& all) {
    all.done.fetch_add(1);
    all.event.notify(INT32_MAX);
}

TEST(nothing_is_done_for_nobody) {
    Event event;
    CHECK(!event.notify(1) && !event.notify(INT32_MAX));
    event.announce_sleeper();
    CHECK(!event.notify(1));
    // The first futile wake has shown that nobody is there: the word is as quiet as before.
    uint32_t before, after;
    memcpy(&before, &event, 4);
    CHECK(!event.notify(1));
    memcpy(&after, &event, 4);
    CHECK(before == after);
}

TEST(who_announced_before_a_change_does_not_sleep) {
    Event event;
    uint32_t announced = event.announce_sleeper();
    event.notify(1);
    CHECK(event.sleep(announced, kLong) == os::Sleep::woken);
    announced = event.announce_sleeper();
    event.announce_sleeper();
    CHECK(event.sleep(announced, kLong) == os::Sleep::woken);
    announced = event.announce_sleeper();
    CHECK(event.sleep(announced, 1'000'000) == os::Sleep::timed_out);
    CHECK(event.sleep(announced, 0) == os::Sleep::timed_out);
}

TEST(a_bell_is_rung_once_for_each_time_it_is_armed) {
    Event event;
    event.announce_bell();
    CHECK(event.notify(1) && !event.notify(1));
    event.announce_bell();
    event.announce_sleeper();
    CHECK(event.notify(1) && !event.notify(1));
    event.announce_sleeper();
    event.announce_bell();
    CHECK(event.notify(INT32_MAX) && !event.notify(INT32_MAX));
}

TEST(handoffs_between_threads) {
    Shared all{};
    std::thread other([&] { ping_pong(all, false, 10'000); });
    ping_pong(all, true, 10'000);
    other.join();
    CHECK(all.value == 10'000 && all.overslept == 0);
}

TEST(threads_share_the_work) {
    Shared all{};
    std::vector<std::thread> consumers, producers;
    for (int i = 0; i < 4; ++i) consumers.emplace_back([&] { consume(all); });
    for (uint64_t i = 0; i < 2; ++i) producers.emplace_back([&, i] { produce(all, i + 1, 5'000); });
    for (auto& thread : producers) thread.join();
    finish(all);
    for (auto& thread : consumers) thread.join();
    CHECK(all.value == 0 && all.overslept == 0);
}

PROCESS_TEST(handoffs_between_processes) {
    auto& all = shared<Shared>();
    Child other([&] { ping_pong(all, false, 40'000); });
    ping_pong(all, true, 40'000);
    CHECK(other.ended_well() && all.value == 40'000);
    CHECK(all.slept > 1000 && all.overslept == 0);
}

PROCESS_TEST(processes_share_the_work) {
    auto& all = shared<Shared>();
    std::vector<Child> consumers, producers;
    for (int i = 0; i < 4; ++i) consumers.emplace_back([&] { consume(all); });
    for (uint64_t i = 0; i < 2; ++i) producers.emplace_back([&, i] { produce(all, i + 1, 10'000); });
    for (auto& child : producers) CHECK(child.ended_well());
    finish(all);
    for (auto& child : consumers) CHECK(child.ended_well());
    CHECK(all.value == 0 && all.slept > 1000 && all.overslept == 0);
}

PROCESS_TEST(the_killed_leave_at_most_a_futile_wake) {
    auto& all = shared<Shared>();
    for (int i = 0; i < 50; ++i) {
        Child sleeper([&] { all.event.sleep(all.event.announce_sleeper(), kLong); });
        usleep(300);
        sleeper.kill();
    }
    Child living([&] { wait_for(all, all.event, [&] { return all.value.load() > 0; }); });
    usleep(5000);
    all.value.fetch_add(1);
    all.event.notify(1);
    CHECK(living.ended_well() && all.overslept == 0);
    all.event.notify(1);
    CHECK(!all.event.notify(1));
}
