// The queue as one process sees it: order, sizes, room, and the end.
#include <deque>

#include "queue_kit.hpp"

using namespace test;

TEST(marks_count_around) {
    const uint64_t end = Mark::kCountMask + 1;
    for (uint64_t sequence : {uint64_t(0), uint64_t(7), end - 1, end, end * 9 - 2}) {
        uint64_t mark = Mark::make(4096 + 16, sequence);
        CHECK(Mark::offset(mark) == 4096 + 16 && Mark::sequence(sequence, mark) == sequence);
        CHECK(Mark::between(mark, Mark::make(0, sequence + 5)) == 5);
        CHECK(Mark::sequence(sequence, Mark::make(0, sequence + 5)) == sequence + 5);
        CHECK(Mark::reached(mark, sequence) && !Mark::reached(mark, sequence + 1));
        CHECK(sequence < 3 || Mark::reached(mark, sequence - 3));
    }
    const uint64_t last = QueueGeometry::kMaxUnits * Pool::kUnitBytes - 16;
    CHECK(Mark::offset(Mark::make(last, end - 1)) == last && Mark::count(Mark::make(last, end - 1)) == end - 1);
}

TEST(one_by_one_in_order) {
    QueueObject queue;
    create(queue);
    Taken taken;
    CHECK(get(queue, taken) == Status::empty && !queue.has_items() && queue.depth() == 0);
    for (uint64_t size : {8, 9, 100, 8192, 8193, 30'000}) {
        CHECK(put(queue, size, size) == Status::ok && queue.has_items() && queue.depth() == 1);
        CHECK(get(queue, taken) == Status::ok && taken.id == size && taken.size == size);
        CHECK(taken.message.kind == RecordKind::raw && taken.message.lease == ~0u);
    }
    CHECK(taken.message.sequence == 5);
    check_nothing_is_left(queue);
}

// Random puts and gets beside a reference, through as many extents as fit in between.
static void agree_with_reference(const Shape& shape, uint64_t pages, int rounds) {
    QueueObject queue;
    create(queue, shape);
    Random random(shape.units + shape.start);
    std::deque<std::pair<uint64_t, uint64_t>> reference;
    Taken taken;
    uint64_t id = 1, refused = 0;
    for (int i = 0; i < rounds; ++i) {
        // In turns mostly filling and mostly emptying.
        if (random.below(100) < (i / 200 % 2 ? 35 : 65)) {
            uint64_t size = some_size(random, queue, pages);
            Status status = put(queue, id, size);
            CHECK(status == Status::ok || status == Status::full);
            if (status == Status::ok) reference.emplace_back(id++, size);
            else ++refused;
            CHECK(status == Status::ok || !reference.empty());
        } else {
            Status status = get(queue, taken);
            CHECK(status == (reference.empty() ? Status::empty : Status::ok));
            if (reference.empty()) continue;
            CHECK(std::pair(taken.id, taken.size) == reference.front());
            CHECK(taken.message.sequence == shape.start + taken.id - 1);
            reference.pop_front();
        }
        CHECK(queue.depth() == reference.size());
        CHECK(queue.state().sent == shape.start + id - 1);
    }
    CHECK(refused > 0 && queue.pool().reserved_bytes() <= shape.units * Pool::kUnitBytes);
    for (; !reference.empty(); reference.pop_front())
        CHECK(get(queue, taken) == Status::ok && taken.id == reference.front().first);
    check_nothing_is_left(queue);
    CHECK(queue.state().sent_bytes == queue.state().received_bytes);
}

TEST(the_smallest_queue_jumps_between_its_extents) { agree_with_reference({.units = 8}, 1, 20'000); }
TEST(a_middling_queue_agrees_with_the_reference) { agree_with_reference({.units = 50}, 8, 10'000); }
TEST(a_long_used_queue_counts_around) { agree_with_reference({.units = 16, .start = kLongAgo}, 2, 10'000); }

TEST(an_empty_queue_has_room_for_a_quarter_of_its_capacity) {
    // Whatever went through it before, and wherever the ring stands by then.
    Random random(8);
    for (uint64_t units : {8, 16, 23, 40, 64, 100, 150, 256}) {
        QueueObject queue;
        create(queue, {.units = units});
        Taken taken;
        for (int round = 0; round < 100; ++round) {
            for (uint64_t n = random.below(40); n; --n) put(queue, 1, some_size(random, queue, units / 4 - 1));
            while (get(queue, taken) == Status::ok) {
            }
            CHECK(put(queue, 2, units / 4 * Pool::kUnitBytes) == Status::ok);
            CHECK(get(queue, taken) == Status::ok);
        }
    }
}

TEST(the_limit_counts_messages) {
    QueueObject queue;
    create(queue, {.limit = 3, .start = kLongAgo});
    Taken taken;
    for (uint64_t i = 0; i < 100; i += 2) {
        while (queue.depth() < 3) CHECK(queue.has_room() && put(queue, i, 8) == Status::ok);
        CHECK(!queue.has_room() && put(queue, i, 8) == Status::full && put(queue, i, 20'000) == Status::full);
        CHECK(get(queue, taken) == Status::ok && get(queue, taken) == Status::ok);
    }
    CHECK(get(queue, taken) == Status::ok);
    check_nothing_is_left(queue);
}

TEST(batches_keep_order_and_stop_where_room_ends) {
    for (uint64_t start : {uint64_t(0), kLongAgo}) {
        QueueObject queue;
        create(queue, {.units = 8, .limit = 100, .start = start});
        Random random(start + 5);
        uint64_t put_next = 1, take_next = 1;
        std::vector<char> bytes(64 * 1024), buffer(40 * 1024);
        for (int round = 0; round < 2000; ++round) {
            Outgoing messages[64];
            uint32_t count = uint32_t(1 + random.below(64)), done = 0;
            for (uint32_t i = 0; i < count; ++i) {
                char* data = bytes.data() + i * 1024;
                messages[i].size = uint32_t(8 + random.below(random.below(10) ? 100 : 1016));
                messages[i].data = data;
                fill(data, put_next + i, messages[i].size);
            }
            Failure why;
            Status status = queue.put_batch(messages, count, done, in_ms(1000), why);
            CHECK(done == count ? status == Status::ok : status == Status::full);
            put_next += done;
            CHECK(queue.depth() == put_next - take_next && queue.depth() <= 100);

            count = uint32_t(1 + random.below(64));
            status = queue.take_batch(buffer.data(), buffer.size(), count, done, in_ms(1000));
            CHECK(status == (done ? Status::ok : Status::empty) && done <= count);
            const char* at = buffer.data();
            for (uint32_t i = 0; i < done; ++i, ++take_next) {
                Batched taken(at);
                CHECK(taken.kind == RecordKind::raw && is_filled(taken.data, take_next, taken.size));
                at = taken.next();
                CHECK(at <= buffer.data() + buffer.size());
            }
        }
        CHECK(put_next > 5000);
    }
}

TEST(a_batch_ends_before_what_is_not_inline) {
    QueueObject queue;
    create(queue);
    for (uint64_t i = 1; i <= 5; ++i) CHECK(put(queue, i, i == 3 ? 20'000 : 50) == Status::ok);
    std::vector<char> buffer(64 * 1024);
    uint32_t done = 0;
    auto batch = [&](uint64_t size) {
        return queue.take_batch(buffer.data(), size, 8, done, in_ms(1000));
    };
    CHECK(batch(buffer.size()) == Status::ok && done == 2);
    CHECK(batch(buffer.size()) == Status::ok && done == 0 && queue.depth() == 3);
    Taken taken;
    CHECK(get(queue, taken) == Status::ok && taken.id == 3);
    CHECK(batch(buffer.size()) == Status::ok && done == 2);
    Batched first(buffer.data()), second(first.next());
    CHECK(is_filled(first.data, 4, first.size) && is_filled(second.data, 5, second.size) && second.size == 50);
    CHECK(batch(buffer.size()) == Status::empty && done == 0);
    // A message for which the buffer has no space stays.
    CHECK(put(queue, 6, 50) == Status::ok);
    CHECK(batch(63) == Status::ok && done == 0 && batch(64) == Status::ok && done == 1);
    // What was given back is for `take`.
    CHECK(put(queue, 7, 50) == Status::ok && lease(queue, taken) == Status::ok && give_back(queue, taken) == Status::ok);
    CHECK(batch(buffer.size()) == Status::ok && done == 0 && get(queue, taken) == Status::ok && taken.id == 7);
}

TEST(a_block_given_up_leaves_no_trace) {
    QueueObject queue;
    create(queue);
    uint32_t unit;
    Failure why;
    for (int i = 0; i < 100; ++i) {
        CHECK(queue.take_block(100'000, unit, in_ms(1000), why) == Status::ok);
        queue.give_block(unit);
    }
    CHECK(queue.take_block(65 * Pool::kUnitBytes, unit, in_ms(1000), why) == Status::full);
    check_nothing_is_left(queue);
}

TEST(the_oldest_makes_room) {
    QueueObject queue;
    create(queue, {.units = 16});
    CHECK(queue.drop_oldest(in_ms(1000)) == Status::empty);
    uint64_t dropped = 0;
    Random random(2);
    for (uint64_t id = 1; id <= 3000; ++id) {
        uint64_t size = some_size(random, queue, 3);
        for (; put(queue, id, size) != Status::ok; ++dropped) CHECK(queue.drop_oldest(in_ms(1000)) == Status::ok);
    }
    CHECK(queue.state().dropped_oldest == dropped && dropped > 1000);
    Taken taken;
    for (uint64_t id = dropped + 1; id <= 3000; ++id) CHECK(get(queue, taken) == Status::ok && taken.id == id);
    check_nothing_is_left(queue);
}

TEST(a_shut_down_queue_takes_nothing_and_is_drained) {
    QueueObject queue;
    create(queue);
    for (uint64_t i = 1; i <= 3; ++i) CHECK(put(queue, i, i * 5000) == Status::ok);
    queue.shut_down(false);
    Taken taken;
    CHECK(put(queue, 4, 10) == Status::shut_down && put(queue, 4, 20'000) == Status::shut_down);
    for (uint64_t i = 1; i <= 3; ++i) CHECK(get(queue, taken) == Status::ok && taken.id == i);
    CHECK(get(queue, taken) == Status::shut_down && queue.has_ended());
    check_nothing_is_left(queue);

    QueueObject other;
    create(other, {}, "other");
    CHECK(put(other, 1, 10) == Status::ok && put(other, 2, 20'000) == Status::ok);
    other.shut_down(true);
    other.shut_down(false);
    CHECK(other.shut() == 2 && get(other, taken) == Status::shut_down && put(other, 4, 10) == Status::shut_down);
}

TEST(a_wait_ends_at_its_deadline) {
    QueueObject queue;
    create(queue, {.limit = 1});
    Taken taken;
    for (int milliseconds : {0, 1, 30, 300}) {
        int64_t start = os::now_ns();
        CHECK(get(queue, taken, in_ms(milliseconds)) == Status::empty);
        CHECK(os::now_ns() - start >= milliseconds * 1'000'000);
        CHECK(put(queue, 1, 8) == Status::ok);
        start = os::now_ns();
        CHECK(put(queue, 2, 8, in_ms(milliseconds)) == Status::full);
        CHECK(os::now_ns() - start >= milliseconds * 1'000'000);
        CHECK(get(queue, taken) == Status::ok);
    }
    CHECK(queue.people().mine().waiting_consumers == 0 && queue.people().mine().waiting_producers == 0);
}

TEST(kept_messages_wait_for_the_next_process) {
    Taken taken;
    {
        QueueObject queue;
        create(queue, {.start = kLongAgo, .lifetime = Lifetime::kept});
        for (uint64_t i = 1; i <= 100; ++i) CHECK(put(queue, i, i * 20) == Status::ok);
        CHECK(lease(queue, taken) == Status::ok && taken.id == 1);
        queue.close();
    }
    QueueObject queue;
    open(queue);
    for (uint64_t i = 1; i <= 100; ++i) CHECK(get(queue, taken) == Status::ok && taken.id == i);
    check_nothing_is_left(queue);
}
