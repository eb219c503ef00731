// Message queues: the highest priority first, in the order of sending within one, whoever dies meanwhile.
#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "queue_kit.hpp"

using namespace test;

static void create_ordered(QueueObject& queue, uint64_t limit = 500, uint64_t start = 0, uint64_t units = 512) {
    create(queue, {.units = units, .limit = limit, .start = start});
}

static Status send(QueueObject& queue, uint64_t id, uint16_t priority, uint64_t size, int64_t deadline_ns = 0) {
    std::vector<char> bytes;
    Outgoing message;
    Failure why;
    Status status = prepare(queue, id, size, bytes, message, deadline_ns);
    if (status != Status::ok) return status;
    message.priority = priority;
    status = patiently(queue, true, deadline_ns, [&] { return queue.put(message, in_ms(kLockPatience), why); });
    if (status != Status::ok && message.unit != Pool::kNowhere) queue.give_block(message.unit);
    return status;
}

// What the queue must give, best first.
class Model {
public:
    using Key = std::pair<int, uint64_t>;
    void add(uint64_t id, uint16_t priority) { waiting_[{-int(priority), id}] = id; }
    void check_next(const Taken& taken) {
        CHECK(!waiting_.empty() && waiting_.begin()->second == taken.id);
        CHECK(taken.message.priority == uint16_t(-waiting_.begin()->first.first));
        waiting_.erase(waiting_.begin());
    }
    uint64_t size() const { return waiting_.size(); }

private:
    std::map<Key, uint64_t> waiting_;
};

TEST(the_highest_goes_first_and_the_oldest_within_one) {
    QueueObject queue(kMessageQueueKind);
    create_ordered(queue, 500, kLongAgo);
    const uint16_t priorities[] = {3, 0, 3, kMaxPriority, 0, 9, kMaxPriority};
    Model model;
    for (uint64_t id = 0; id < 7; ++id) {
        CHECK(send(queue, id, priorities[id], id == 2 ? 20'000 : 100) == Status::ok);
        model.add(id, priorities[id]);
    }
    Taken taken;
    while (model.size()) {
        CHECK(queue.depth() == model.size() && get(queue, taken) == Status::ok);
        model.check_next(taken);
    }
    CHECK(get(queue, taken) == Status::empty);
}

// Long runs of one priority are taken from the ring, mixed ones through the table; both at random, with leases.
TEST(it_is_as_the_model_says) {
    for (uint64_t seed = 0; seed < 12; ++seed) {
        QueueObject queue(kMessageQueueKind);
        create_ordered(queue, 60, seed % 2 ? kLongAgo : 0);
        Random random(seed);
        Model model;
        std::vector<Taken> leases;
        uint64_t id = 0;
        const uint64_t priorities = seed % 4 + 1;
        for (int step = 0; step < 3000; ++step) {
            switch (random.below(6)) {
                case 0: case 1: {
                    const auto priority = uint16_t(random.below(priorities) * 7);
                    const Status status = send(queue, id, priority, some_size(random, queue, 3));
                    CHECK(status == (model.size() < 60 ? Status::ok : Status::full));
                    if (status == Status::ok) model.add(id, priority);
                    ++id;
                    break;
                }
                case 2: {
                    Taken taken;
                    const Status status = get(queue, taken);
                    CHECK(status == (model.size() ? Status::ok : Status::empty));
                    if (status == Status::ok) model.check_next(taken);
                    break;
                }
                case 3: {
                    uint32_t done = 0;
                    std::vector<char> buffer(8 * (queue.geometry().inline_max + 16));
                    queue.take_batch(buffer.data(), buffer.size(), 8, done, in_ms(kLockPatience));
                    const char* at = buffer.data();
                    for (uint32_t i = 0; i < done; ++i) {
                        Batched batched(at);
                        RecordHeader header;
                        memcpy(&header, at, sizeof header);
                        Taken taken;
                        memcpy(&taken.id, batched.data, sizeof taken.id);
                        taken.message.priority = header.priority;
                        model.check_next(taken);
                        at = batched.next();
                    }
                    break;
                }
                case 4: {
                    Taken taken;
                    if (leases.size() < 5 && lease(queue, taken) == Status::ok) {
                        model.check_next(taken);
                        leases.push_back(std::move(taken));
                    }
                    break;
                }
                default:
                    if (leases.empty()) break;
                    std::swap(leases[random.below(leases.size())], leases.back());
                    if (random.below(2)) acknowledge(queue, leases.back());
                    else if (model.size() < 60) {  // else the model would have more than may wait, as the queue may
                        CHECK(give_back(queue, leases.back()) == Status::ok);
                        model.add(leases.back().id, leases.back().message.priority);
                    } else break;
                    leases.pop_back();
            }
            CHECK(queue.depth() == model.size());
        }
        for (auto& taken : leases) acknowledge(queue, taken);
        Taken taken;
        while (get(queue, taken) == Status::ok) model.check_next(taken);
        CHECK(model.size() == 0);
        check_nothing_is_left(queue);
    }
}

TEST(what_is_never_the_best_does_not_keep_the_memory_of_the_others) {
    QueueObject queue(kMessageQueueKind);
    create_ordered(queue, 16, 0, 48);
    Taken taken;
    CHECK(send(queue, 0, 0, 900) == Status::ok);
    for (uint64_t id = 1; id < 3000; ++id) {
        CHECK(send(queue, id, uint16_t(1 + id % 3), 900) == Status::ok);
        if (id % 40 == 0) CHECK(send(queue, 100'000 + id, 0, 900) == Status::ok);
        CHECK(get(queue, taken) == Status::ok && taken.id == id);
        if (id % 40 == 0 && id > 200) {
            // One of the old comes out, lest they fill it.
            Taken held;
            CHECK(get(queue, held) == Status::ok && held.message.priority == 0);
        }
    }
    while (get(queue, taken) == Status::ok) CHECK(taken.message.priority == 0);
    check_nothing_is_left(queue);
}

TEST(a_large_message_finds_room_where_small_ones_have_been) {
    QueueObject queue(kMessageQueueKind);
    create_ordered(queue, 60, 0, 16);
    Taken taken;
    for (uint64_t id = 0; id < 40; ++id) CHECK(send(queue, id, 0, 900) == Status::ok && get(queue, taken) == Status::ok);
    CHECK(send(queue, 99, 0, 5 * Pool::kUnitBytes) == Status::ok && get(queue, taken) == Status::ok && taken.id == 99);
    check_nothing_is_left(queue);
}

TEST(threads_keep_the_order_of_each_sender_within_a_priority) {
    constexpr uint64_t kSenders = 2, kEach = 4000;
    QueueObject queue(kMessageQueueKind);
    create_ordered(queue, 200);
    std::vector<std::thread> threads;
    std::vector<std::vector<uint64_t>> received(2);
    for (uint64_t s = 0; s < kSenders; ++s)
        threads.emplace_back([&, s] {
            for (uint64_t i = 0; i < kEach; ++i) CHECK(send(queue, s * kEach + i, uint16_t(i / 50 % 3), 64, in_ms(60'000)) == Status::ok);
        });
    for (auto& mine : received)
        threads.emplace_back([&] {
            Taken taken;
            for (uint64_t i = 0; i < kSenders * kEach / 2; ++i) {
                CHECK(get(queue, taken, in_ms(60'000)) == Status::ok);
                CHECK(taken.message.priority == taken.id % kEach / 50 % 3);
                mine.push_back(taken.id);
            }
        });
    for (auto& thread : threads) thread.join();
    std::set<uint64_t> all;
    for (const auto& mine : received) {
        uint64_t last[kSenders][3] = {};
        for (const uint64_t id : mine) {
            CHECK(all.insert(id).second);
            uint64_t& before = last[id / kEach][id % kEach / 50 % 3];
            CHECK(before <= id);
            before = id;
        }
    }
    CHECK(all.size() == kSenders * kEach);
    check_nothing_is_left(queue);
}

// What the victim has done.
struct Ledger {
    std::atomic<uint64_t> getting, sent;
    std::atomic<uint8_t> gone[4000];  // 1 received, 2 never sent
};

// Killed at each point at which what waits is moved, counted, taken or freed: nothing is lost but what the fatal call
// had taken, nothing doubled, and the order stands.
PROCESS_TEST(killed_while_it_puts_in_order) {
    for (const char* point : {"order_entered", "order_counted", "order_moved", "returned_taken", "get_committed",
                              "order_page_freed", "put_committed", "lease_return"})
        for (int count : {1, 3, 20}) {
            auto& ledger = shared<Ledger>();
            auto& [getting, sent, gone] = ledger;
            QueueObject queue(kMessageQueueKind);
            create_ordered(queue, 64, kLongAgo, 96);
            Child victim([&] {
                rejoin(queue);
                arm(point, count);
                Random random{uint64_t(count)};
                Taken taken;
                for (uint64_t id = 0; id < 4000; ++id) {
                    if (send(queue, id, uint16_t(id % 3), 20 + id % 5 * 200) == Status::ok) sent = id + 1;
                    else gone[id] = 2;  // there was no room
                    if (queue.depth() < 30 && random.below(2)) continue;
                    if (random.below(4) == 0 && lease(queue, taken) == Status::ok) {
                        CHECK(give_back(queue, taken) == Status::ok);
                    } else {
                        getting = 1;
                        if (get(queue, taken) == Status::ok) gone[taken.id] = 1;
                        getting = 0;
                    }
                }
            });
            if (!victim.was_killed()) fprintf(stderr, "never came to %s for the %dth time\n", point, count), CHECK(false);
            while (queue.recover(true, 10'000'000'000)) {
            }
            std::set<uint64_t> left;
            Taken taken;
            Model::Key before{-int(kMaxPriority) - 1, 0};
            while (get(queue, taken) == Status::ok) {
                const Model::Key key{-int(taken.message.priority), taken.id};
                CHECK(before < key && left.insert(taken.id).second && gone[taken.id] == 0);
                CHECK(taken.message.priority == taken.id % 3);
                before = key;
            }
            uint64_t missing = 0;
            for (uint64_t id = 0; id < sent; ++id) missing += !gone[id] && !left.contains(id);
            CHECK(missing <= getting);
            CHECK(left.empty() || *left.rbegin() <= sent);
            check_nothing_is_left(queue);
            queue.close();
            munmap(&ledger, sizeof ledger);
        }
}
