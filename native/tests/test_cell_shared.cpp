// The cell between threads and processes, some of which are killed: values are whole, versions only rise.
#include <thread>
#include <vector>

#include "cell_kit.hpp"

using namespace test;

struct Notes {
    std::atomic<uint64_t> sets, ended;
    std::atomic<uint32_t> ready;
};

static void write_for(Cell& cell, Notes& notes, uint64_t writer, uint64_t count, bool large) {
    Random random(writer + 1);
    uint64_t last = 0;
    for (uint64_t i = 1; i <= count; ++i) {
        uint64_t size = large && random.below(4) == 0 ? 4000 + random.below(kLarge - 4000) : 8 + random.below(kSmall);
        uint64_t version = set(cell, writer << 48 | i, size);
        CHECK(version > last);
        last = version;
        ++notes.sets;
    }
    ++notes.ended;
}

// Until all writers have ended.
static void read_until(Cell& cell, Notes& notes, uint64_t writers, bool holds) {
    Random random(writers);
    Got before;
    uint64_t numbers[8] = {};
    for (bool over = false; !over;) {
        over = notes.ended == writers;
        Got got = get(cell, holds && random.below(2));
        CHECK(got.version >= before.version);
        CHECK(got.version != before.version || got.number == before.number);
        if (got.version) {
            const uint64_t writer = got.number >> 48, number = got.number & 0xffffffffffff;
            CHECK(writer < 8 && number >= numbers[writer]);
            numbers[writer] = number;
        }
        before = got;
    }
    CHECK(before.version == notes.sets);
}

static void run_threads(int writers, int readers, uint64_t count, bool large, bool holds) {
    Cell cell;
    create(cell, kLarge);
    Notes notes{};
    std::vector<std::thread> threads;
    for (int i = 0; i < readers; ++i)
        threads.emplace_back([&, i] { read_until(cell, notes, uint64_t(writers), holds || i % 2); });
    for (int i = 0; i < writers; ++i)
        threads.emplace_back([&, i] { write_for(cell, notes, uint64_t(i), count, large); });
    for (auto& thread : threads) thread.join();
}

TEST(threads_one_writer_one_reader) { run_threads(1, 1, 40'000, false, false); }
TEST(threads_small_values) { run_threads(3, 3, 20'000, false, false); }
TEST(threads_of_all_sizes) { run_threads(3, 3, 5'000, true, false); }
TEST(threads_that_hold) { run_threads(2, 4, 5'000, true, true); }

PROCESS_TEST(processes_of_all_sizes) {
    constexpr int kWriters = 3, kReaders = 3;
    Cell cell;
    create(cell, kLarge);
    Notes& notes = shared<Notes>();
    std::vector<Child> children;
    for (int i = 0; i < kWriters + kReaders; ++i)
        children.emplace_back([&] {
            Cell own;
            open(own);
            i < kWriters ? write_for(own, notes, uint64_t(i), 10'000, i % 2)
                         : read_until(own, notes, kWriters, i % 2);
        });
    for (auto& child : children) CHECK(child.ended_well());
    CHECK(cell.version() == notes.sets);
}

// --- waiting -------------------------------------------------------------------------------------

static void follow(Cell& cell, uint64_t last, Waiting mode) {
    for (uint64_t seen = 0; seen < last;) {
        Status status = cell.wait_newer(seen, in_ms(60'000), mode);
        CHECK(status == Status::ok);
        Got got = get(cell);
        CHECK(got.version >= seen);
        seen = got.version;
    }
}

TEST(all_who_wait_are_woken) {
    Cell cell;
    create(cell, kSmall);
    std::vector<std::thread> threads;
    for (Waiting mode : {Waiting::balanced, Waiting::power, Waiting::latency, Waiting::power})
        threads.emplace_back([&cell, mode] { follow(cell, 2'000, mode); });
    for (uint64_t i = 1; i <= 2'000; ++i) {
        set(cell, i, kSmall);
        if (i % 10 == 0) sched_yield();
    }
    for (auto& thread : threads) thread.join();
}

TEST(a_wait_ends_at_its_deadline) {
    Cell cell;
    create(cell, kSmall);
    set(cell, 1, kSmall);
    Status status = Status::ok;
    const int64_t deadline = in_ms(30);
    while (status == Status::ok && cell.version() == 1) status = cell.wait_newer(1, deadline, Waiting::power);
    CHECK(status == Status::timed_out && os::now_ns() >= deadline);
    CHECK(cell.wait_newer(0, kNow, Waiting::power) == Status::ok);
}

// --- deaths --------------------------------------------------------------------------------------

PROCESS_TEST(a_writer_killed_at_each_point) {
    for (const char* point : {"cell_claimed", "cell_filled", "cell_published"})
        for (int turn : {1, 2, 9, 30}) {
            Cell cell;
            create(cell, kLarge);
            set(cell, 1000, kLarge);
            Child victim([&] {
                Cell own;
                open(own);
                arm(point, turn);
                for (uint64_t i = 1;; ++i) set(own, i, kLarge);
            });
            CHECK(victim.was_killed());
            const bool published = !strcmp(point, "cell_published");
            const uint64_t last = uint64_t(turn) - !published;
            for (bool only_hold : {false, true}) {
                Got got = get(cell, only_hold);
                CHECK(got.version == last + 1 && got.number == (last ? last : 1000));
            }
            // The buffer that it had comes back.
            for (uint64_t i = 1; i < 100; ++i) set(cell, i, kLarge);
            CHECK(get(cell).number == 99 && cell.reserved() == cell.geometry().first);
        }
}

PROCESS_TEST(a_reader_killed_with_a_hold) {
    Cell cell;
    create(cell, kLarge);
    set(cell, 1, kLarge);
    for (int i = 0; i < 20; ++i) {
        Child victim([&] {
            Cell own;
            open(own);
            arm("cell_held");
            get(own, true);
        });
        CHECK(victim.was_killed());
        set(cell, uint64_t(i) + 2, kLarge);
    }
    for (uint64_t i = 0; i < 100; ++i) set(cell, i, kLarge);
    // An entry of the dead ends when its buffer has its turn.
    CHECK(cell.reserved() == cell.geometry().first);
    CHECK(cell.state().hold_end.load() <= 2 * cell.geometry().first);
}

PROCESS_TEST(a_writer_killed_as_it_grows) {
    Cell cell;
    create(cell, kLarge);
    set(cell, 1, kLarge);
    Child victim([&] {
        Cell own;
        open(own);
        arm("cell_grown");
        uint32_t buffer;
        Failure why;
        while (own.claim(buffer, why) == Status::ok) continue;
    });
    CHECK(victim.was_killed());
    for (uint64_t i = 2; i < 100; ++i) set(cell, i, kLarge);
    CHECK(get(cell).number == 99 && cell.reserved() == cell.geometry().first);
}

// Nobody waits for a writer that is stopped in the middle, or takes its buffer.
PROCESS_TEST(a_stopped_writer_keeps_its_buffer) {
    Cell cell;
    create(cell, kLarge);
    Child stopped([&] {
        Cell own;
        open(own);
        arm("cell_filled", 1, "stop");
        set(own, 77, kLarge);
    });
    stopped.wait_stopped();
    for (uint64_t i = 1; i <= 100; ++i) CHECK(set(cell, i, kLarge) == i);
    CHECK(get(cell).number == 100);
    stopped.send(SIGCONT);
    CHECK(stopped.ended_well());
    CHECK(get(cell).number == 77 && get(cell).version == 101);
}

PROCESS_TEST(a_sleeper_is_woken_after_a_death_before_the_wake) {
    Cell cell;
    create(cell, kSmall);
    Child sleeper([&] {
        Cell own;
        open(own);
        follow(own, 1, Waiting::power);
    });
    Child victim([&] {
        Cell own;
        open(own);
        arm("cell_published");
        set(own, 1, kSmall);
    });
    CHECK(victim.was_killed());
    CHECK(sleeper.ended_well());
}

PROCESS_TEST(writers_and_holders_killed_at_random) {
    constexpr int kVictims = 4, kKills = 120;
    Cell cell;
    create(cell, kLarge);
    Notes& notes = shared<Notes>();
    uint64_t writer = 0;
    auto start = [&](int i) {
        const uint64_t id = ++writer;
        return Child([&, id, i] {
            Cell own;
            open(own);
            ++notes.ready;
            for (uint64_t n = 1;; ++n)
                if (i < 3) set(own, id << 32 | n, n % 3 ? kLarge : kSmall);
                else get(own, true);
        });
    };
    std::vector<Child> victims;
    for (int i = 0; i < kVictims; ++i) victims.push_back(start(i));
    Random random(5);
    Got before;
    for (int kill = 0; kill < kKills; ++kill) {
        const uint32_t ready = notes.ready;
        for (uint64_t reads = random.below(3'000); reads-- || notes.ready < uint32_t(kill + kVictims);) {
            if (reads > 5'000) reads = 0;
            Got got = get(cell, reads % 2);
            CHECK(got.version >= before.version && (got.version != before.version || got.number == before.number));
            before = got;
        }
        CHECK(notes.ready >= ready);
        const int chosen = int(random.below(kVictims));
        victims[chosen].kill();
        victims[chosen] = start(chosen);
    }
    for (auto& victim : victims) victim.kill();
    for (uint64_t i = 0; i < 200; ++i) set(cell, i, kLarge);
    CHECK(get(cell).number == 199 && get(cell).version >= before.version + 200);
    CHECK(cell.reserved() <= cell.geometry().first + 8);
    CHECK(is_alone(cell.segment()));
}
