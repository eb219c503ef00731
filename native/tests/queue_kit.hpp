// Messages whose content follows from their number, and the patience that the layers above have.
#pragma once

#include "kit.hpp"
#include "weft/queue_home.hpp"

namespace test {

struct Shape {
    uint64_t units = 64;
    uint64_t limit = 0;
    uint64_t max_deliveries = 0;
    uint64_t start = 0;  // number of the first message: a queue that has been in use for long
    Lifetime lifetime = Lifetime::attached;
};

// Just before the counts in tail and head run around.
inline constexpr uint64_t kLongAgo = (uint64_t(1) << 30) * 5 - 40;

inline void create(QueueObject& queue, const Shape& shape = {}, const char* name = "q") {
    SegmentSpec spec;
    QueueGeometry{shape.units, 0, 0, shape.limit, shape.units * Pool::kUnitBytes, shape.max_deliveries}.write(spec.geometry);
    spec.lifetime = shape.lifetime;
    Failure why;
    CHECK(QueueGeometry::of(spec.geometry).is_sane());
    CHECK(queue.create(directory, name, spec, why) == Status::ok);
    QueueState& state = queue.state();
    state.sent = state.received = shape.start;
    state.seen_head = Mark::make(0, shape.start);
    state.seen_tail = Mark::make(0, shape.start);
    state.tail = state.head = Mark::make(0, shape.start);
}
inline void open(QueueObject& queue, const char* name = "q") {
    Failure why;
    CHECK(queue.open(directory, name, why) == Status::ok);
}
// A forked child goes on with its parent's handle, as itself.
inline void rejoin(QueueObject& queue) {
    Failure why;
    CHECK(queue.ensure_joined(why) == Status::ok);
}

inline void fill(char* bytes, uint64_t id, uint64_t size) {
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t word = at ? id * 31 + at : id;
        memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}
inline bool is_filled(const char* bytes, uint64_t id, uint64_t size) {
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t word = at ? id * 31 + at : id;
        if (memcmp(bytes + at, &word, size - at < 8 ? size - at : 8)) return false;
    }
    return true;
}

// Mostly small, some as large as the ring takes, some larger than that, by up to `pages`.
inline uint64_t some_size(Random& random, const QueueObject& queue, uint64_t pages) {
    const uint64_t most = queue.geometry().inline_max;
    switch (random.below(8)) {
        case 0: return most - random.below(16);
        case 1: return most + 1 + random.below(pages * Pool::kUnitBytes);
        case 2: return 8 + random.below(most - 8);
        default: return 8 + random.below(60);
    }
}

// Tries until there is room, or something to take; a deadline in the past only tries.
template <class Attempt>
Status patiently(QueueObject& queue, bool for_room, int64_t deadline_ns, Attempt attempt) {
    uint32_t announced = 0;
    for (;;) {
        Status status = attempt();
        const bool contended = status == Status::busy || status == Status::timed_out || status == Status::interrupted;
        if (!contended && status != (for_room ? Status::full : Status::empty)) return status;
        if (status == Status::full && queue.recover(false)) continue;
        if (os::now_ns() >= deadline_ns) return status;
        if (contended) continue;
        if (for_room) queue.wait_room(announced, deadline_ns, Waiting::balanced);
        else queue.wait_items(deadline_ns, Waiting::balanced);
    }
}

inline constexpr int64_t kLockPatience = 10'000;  // milliseconds

// A block with the message in it, or none if it goes into the ring.
inline Status prepare(QueueObject& queue, uint64_t id, uint64_t size, std::vector<char>& bytes, Outgoing& message,
                      int64_t deadline_ns) {
    message = {};
    if (size <= queue.geometry().inline_max) {
        bytes.resize(size);
        fill(bytes.data(), id, size);
        message.data = bytes.data();
        message.size = uint32_t(size);
        return Status::ok;
    }
    Failure why;
    Status status = patiently(queue, true, deadline_ns, [&] {
        return queue.take_block(size, message.unit, in_ms(kLockPatience), why);
    });
    if (status != Status::ok) return status;
    fill(queue.pool().data(message.unit), id, size);
    message.total = size;
    message.body_size = size / 2;
    return Status::ok;
}

inline Status put(QueueObject& queue, uint64_t id, uint64_t size, int64_t deadline_ns = 0) {
    std::vector<char> bytes;
    Outgoing message;
    Failure why;
    Status status = prepare(queue, id, size, bytes, message, deadline_ns);
    if (status != Status::ok) return status;
    status = patiently(queue, true, deadline_ns, [&] { return queue.put(message, in_ms(kLockPatience), why); });
    if (status != Status::ok && message.unit != Pool::kNowhere) queue.give_block(message.unit);
    return status;
}

// What was taken, its content checked.
struct Taken {
    Incoming message;
    std::vector<char> buffer;
    uint64_t id = 0, size = 0;

    void check(QueueObject& queue) {
        const bool in_block = message.unit != Pool::kNowhere;
        const char* bytes = in_block ? queue.pool().data(message.unit) : buffer.data();
        size = in_block ? message.total : message.size;
        CHECK(size >= sizeof id && (!in_block || message.body_size == size / 2));
        memcpy(&id, bytes, sizeof id);
        CHECK(is_filled(bytes, id, size));
    }
    void free(QueueObject& queue) {
        if (message.unit != Pool::kNowhere) queue.give_block(message.unit);
    }
};

inline Status take(QueueObject& queue, Taken& taken, bool lease, int64_t deadline_ns) {
    taken.buffer.resize(queue.geometry().inline_max);
    Status status = patiently(queue, false, deadline_ns, [&] {
        taken.message.clear();
        return lease ? queue.take_lease(taken.message, taken.buffer.data(), in_ms(kLockPatience))
                     : queue.take(taken.message, taken.buffer.data(), in_ms(kLockPatience));
    });
    if (status == Status::ok) taken.check(queue);
    return status;
}
inline Status get(QueueObject& queue, Taken& taken, int64_t deadline_ns = 0) {
    Status status = take(queue, taken, false, deadline_ns);
    if (status == Status::ok) taken.free(queue);
    return status;
}
inline Status lease(QueueObject& queue, Taken& taken, int64_t deadline_ns = 0) { return take(queue, taken, true, deadline_ns); }
inline void acknowledge(QueueObject& queue, Taken& taken) {
    queue.acknowledge(taken.message);
    taken.free(queue);
}
inline Status give_back(QueueObject& queue, Taken& taken) {
    return queue.give_back(taken.message, Pool::kNowhere, in_ms(kLockPatience));
}

// With nothing in the queue nothing of a lease remains, and all memory is to be had again but for the
// extent in which the ring goes on.
inline void check_nothing_is_left(QueueObject& queue) {
    while (queue.recover(true)) {
    }
    CHECK(queue.depth() == 0 && queue.state().returned == 0 && queue.state().leased == 0);
    uint64_t end = 0;
    CHECK(queue.pool().each_run([&](uint32_t unit, uint64_t word) {
        CHECK(unit == end && (Unit::run(word) == Run::ring || Unit::run(word) == Run::free || Unit::run(word) == Run::absorbed));
        end += Unit::units(word);
    }));
    CHECK(end * Pool::kUnitBytes == queue.pool().reserved_bytes());
    std::vector<uint32_t> pages;
    uint32_t unit;
    Failure why;
    while (queue.take_block(1, unit, in_ms(kLockPatience), why) == Status::ok) pages.push_back(unit);
    CHECK(pages.size() == queue.geometry().units - queue.geometry().extent_units);
    for (uint32_t page : pages) queue.give_block(page);
}

}  // namespace test
