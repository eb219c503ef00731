// The queue between processes and threads: everything arrives once, and each producer's messages in order.
#include <thread>

#include "queue_kit.hpp"

using namespace test;

static constexpr uint64_t kMessages = 10'000;  // of each producer
static constexpr int kMost = 4;              // producers, consumers

struct Notes {
    std::atomic<uint8_t> arrived[kMost][kMessages];
    std::atomic<uint64_t> count;
    Rendezvous rendezvous;
};

static uint64_t id_of(uint64_t producer, uint64_t number) { return producer << 32 | number; }

// Each message by itself, or some together.
static void produce(QueueObject& queue, uint64_t producer, uint64_t pages, bool batches) {
    Random random(producer + 1);
    std::vector<char> bytes(16 * 1024);
    for (uint64_t number = 0; number < kMessages;) {
        if (!batches || random.below(4) == 0) {
            uint64_t size = pages ? some_size(random, queue, pages) : 8 + random.below(100);
            CHECK(put(queue, id_of(producer, number++), size, in_ms(60'000)) == Status::ok);
            continue;
        }
        Outgoing messages[16];
        uint32_t count = uint32_t(1 + random.below(16)), done = 0;
        if (count > kMessages - number) count = uint32_t(kMessages - number);
        for (uint32_t i = 0; i < count; ++i) {
            messages[i].data = bytes.data() + i * 1024;
            messages[i].size = uint32_t(8 + random.below(300));
            fill(bytes.data() + i * 1024, id_of(producer, number + i), messages[i].size);
        }
        Failure why;
        Status status = patiently(queue, true, in_ms(60'000), [&] {
            Status tried = queue.put_batch(messages, count, done, in_ms(kLockPatience), why);
            return done ? Status::ok : tried;
        });
        CHECK(status == Status::ok);
        number += done;
    }
}

// Until the end of the stream.
static void consume(QueueObject& queue, Notes& notes, uint64_t seed, bool leases) {
    Random random(seed);
    uint64_t next[kMost] = {};
    Taken taken;
    for (;;) {
        const bool lease = leases && random.below(3) == 0;
        Status status = take(queue, taken, lease, in_ms(60'000));
        if (status == Status::shut_down) return;
        CHECK(status == Status::ok);
        uint64_t producer = taken.id >> 32, number = taken.id & 0xffffffff;
        CHECK(producer < kMost && number < kMessages);
        if (lease && random.below(4) == 0) {
            CHECK(give_back(queue, taken) == Status::ok);
            continue;
        }
        if (lease) acknowledge(queue, taken);
        else taken.free(queue);
        CHECK(++notes.arrived[producer][number] == 1);
        ++notes.count;
        // What was given back comes out of turn.
        CHECK(leases || number >= next[producer]);
        next[producer] = number + 1;
    }
}

struct Plan {
    int producers, consumers;
    Shape shape;
    uint64_t pages;  // of the largest block
    bool batches = false, leases = false;
};

static void check_all_arrived(QueueObject& queue, Notes& notes, const Plan& plan) {
    for (int i = 0; i < plan.producers; ++i)
        for (auto& arrived : notes.arrived[i]) CHECK(arrived == 1);
    CHECK(notes.count == kMessages * uint64_t(plan.producers));
    CHECK(queue.state().sent == plan.shape.start + notes.count);
    check_nothing_is_left(queue);
}

static void run_processes(const Plan& plan) {
    auto& notes = shared<Notes>();
    QueueObject queue;
    create(queue, plan.shape);
    std::vector<Child> producers, consumers;
    for (int i = 0; i < plan.consumers; ++i)
        consumers.emplace_back([&, i] {
            QueueObject own;
            open(own);
            consume(own, notes, uint64_t(i) + 100, plan.leases);
        });
    for (int i = 0; i < plan.producers; ++i)
        producers.emplace_back([&, i] {
            rejoin(queue);
            produce(queue, uint64_t(i), plan.pages, plan.batches);
        });
    for (auto& child : producers) CHECK(child.ended_well());
    queue.shut_down(false);
    for (auto& child : consumers) CHECK(child.ended_well());
    check_all_arrived(queue, notes, plan);
}

static void run_threads(const Plan& plan) {
    auto& notes = shared<Notes>();
    QueueObject queue;
    create(queue, plan.shape);
    std::vector<std::thread> producers, consumers;
    for (int i = 0; i < plan.consumers; ++i)
        consumers.emplace_back([&, i] { consume(queue, notes, uint64_t(i) + 100, plan.leases); });
    for (int i = 0; i < plan.producers; ++i)
        producers.emplace_back([&, i] { produce(queue, uint64_t(i), plan.pages, plan.batches); });
    for (auto& thread : producers) thread.join();
    queue.shut_down(false);
    for (auto& thread : consumers) thread.join();
    check_all_arrived(queue, notes, plan);
}

TEST(threads_one_to_one) { run_threads({1, 1, {.units = 8, .start = kLongAgo}, 0}); }
TEST(threads_many_to_many) { run_threads({3, 3, {.units = 32, .start = kLongAgo}, 4, true}); }
TEST(threads_with_leases) { run_threads({2, 3, {.units = 24}, 3, true, true}); }
TEST(threads_with_a_limit) { run_threads({3, 2, {.units = 64, .limit = 5}, 1}); }

PROCESS_TEST(processes_one_to_one) { run_processes({1, 1, {.units = 8, .start = kLongAgo}, 0, true}); }
PROCESS_TEST(processes_one_to_one_with_blocks) { run_processes({1, 1, {.units = 32}, 8}); }
PROCESS_TEST(processes_many_to_one) { run_processes({4, 1, {.units = 64}, 2, true}); }
PROCESS_TEST(processes_one_to_many) { run_processes({1, 4, {.units = 64}, 2, true}); }
PROCESS_TEST(processes_many_to_many) { run_processes({3, 3, {.units = 16, .start = kLongAgo}, 3, true}); }
PROCESS_TEST(processes_with_leases) { run_processes({3, 3, {.units = 24, .start = kLongAgo}, 3, true, true}); }
PROCESS_TEST(processes_with_a_limit) { run_processes({3, 3, {.units = 64, .limit = 4}, 1, false, true}); }

PROCESS_TEST(a_put_that_succeeds_comes_before_the_end_of_the_stream) {
    QueueObject queue;
    create(queue);
    Child producer([&] {
        rejoin(queue);
        arm("put_record_written", 1, "stop");
        CHECK(put(queue, 7, 100, in_ms(10'000)) == Status::ok);
    });
    producer.wait_stopped();
    queue.shut_down(false);
    Taken taken;
    CHECK(get(queue, taken, in_ms(100)) != Status::shut_down);
    producer.send(SIGCONT);
    CHECK(producer.ended_well());
    CHECK(get(queue, taken, in_ms(5000)) == Status::ok && taken.id == 7);
    CHECK(get(queue, taken, in_ms(5000)) == Status::shut_down);
}

PROCESS_TEST(everything_put_before_a_shutdown_is_taken) {
    // Producers run into the shutdown at full speed.
    for (int round = 0; round < 40; ++round) {
        auto& notes = shared<Notes>();
        QueueObject queue;
        create(queue);
        std::vector<Child> children;
        for (uint64_t i = 0; i < 2; ++i)
            children.emplace_back([&, i] {
                rejoin(queue);
                notes.rendezvous.meet(4);
                for (uint64_t number = 0; put(queue, number, 8 + number % 64, in_ms(10'000)) == Status::ok; ++number)
                    ++notes.arrived[i][0], ++notes.count;
            });
        children.emplace_back([&] {
            rejoin(queue);
            Taken taken;
            notes.rendezvous.meet(4);
            while (get(queue, taken, in_ms(10'000)) == Status::ok) --notes.count;
        });
        notes.rendezvous.meet(4);
        usleep(useconds_t(500 + round * 20));
        queue.shut_down(false);
        for (auto& child : children) CHECK(child.ended_well());
        CHECK(notes.count == 0);
        check_nothing_is_left(queue);
    }
}
