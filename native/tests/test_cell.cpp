// One cell, step by step.
#include <vector>

#include "cell_kit.hpp"

using namespace test;

TEST(empty_before_the_first_value) {
    Cell cell;
    create(cell, kSmall);
    CellValue value;
    char bytes[kSmall];
    uint32_t buffer, hold;
    CHECK(cell.read(value, bytes, sizeof bytes) == Status::empty);
    CHECK(cell.hold(value, buffer, hold) == Status::empty);
    CHECK(cell.version() == 0);
}

TEST(what_is_set_is_got) {
    Cell cell, other;
    create(cell, kLarge);
    open(other);
    uint64_t version = 0;
    for (uint64_t size : {8, 9, 15, 16, 63, 64, 65, 4095, 4096, 4097, int(kLarge)}) {
        CHECK(set(cell, size, size) == ++version);
        for (bool only_hold : {false, true}) {
            Got got = get(other, only_hold);
            CHECK(got.version == version && got.number == size && got.size == size);
        }
        CHECK(other.version() == version);
    }
}

TEST(a_value_can_be_empty) {
    Cell cell;
    create(cell, kSmall);
    uint32_t buffer;
    Failure why;
    CHECK(cell.claim(buffer, why) == Status::ok);
    CHECK(cell.publish(buffer, {0, ValueKind::body, 0, 0}) == 1);
    CellValue value;
    CHECK(cell.read(value, nullptr, 0) == Status::ok);
    CHECK(value.version == 1 && value.total == 0 && value.kind == ValueKind::body);
}

TEST(what_does_not_fit_is_not_copied) {
    Cell cell;
    create(cell, kSmall);
    set(cell, 1, kSmall);
    CellValue value;
    char bytes[kSmall + 1];
    memset(bytes, 0x55, sizeof bytes);
    CHECK(cell.read(value, bytes, kSmall - 1) == Status::busy && bytes[0] == 0x55);
    CHECK(cell.read(value, bytes, kSmall) == Status::ok && bytes[kSmall] == 0x55);
}

TEST(buffers_go_round) {
    Cell cell;
    create(cell, kSmall);
    uint32_t last = ~0u, uses[CellGeometry::kFirstSmall] = {};
    for (int i = 0; i < 800; ++i) {
        uint32_t buffer;
        Failure why;
        CHECK(cell.claim(buffer, why) == Status::ok);
        CHECK(buffer != last && buffer < CellGeometry::kFirstSmall);
        ++uses[buffer];
        cell.publish(buffer, {0, ValueKind::raw, 8, 0});
        last = buffer;
    }
    for (uint32_t count : uses) CHECK(count >= 40);
    CHECK(cell.reserved() == cell.geometry().first);
}

TEST(an_abandoned_buffer_changes_nothing) {
    Cell cell;
    create(cell, kSmall);
    set(cell, 7, kSmall);
    for (int i = 0; i < 100; ++i) {
        uint32_t buffer;
        Failure why;
        CHECK(cell.claim(buffer, why) == Status::ok);
        cell.abandon(buffer);
    }
    CHECK(get(cell).number == 7 && cell.version() == 1 && cell.reserved() == cell.geometry().first);
}

TEST(a_held_value_stays) {
    Cell cell;
    create(cell, kSmall);
    set(cell, 1, kSmall);
    CellValue value;
    uint32_t buffer, hold;
    CHECK(cell.hold(value, buffer, hold) == Status::ok);
    for (uint64_t i = 2; i < 1000; ++i) set(cell, i, kSmall);
    CHECK(value.version == 1 && number_of(cell.data(buffer)) == 1 && is_value(cell.data(buffer), kSmall));
    cell.give_up(hold);
    for (uint64_t i = 0; i < 16; ++i) set(cell, i, kSmall);
    CHECK(number_of(cell.data(buffer)) != 1);
}

TEST(it_grows_while_all_are_written_or_held) {
    Cell cell;
    create(cell, kLarge);
    set(cell, 1, kLarge);
    std::vector<uint32_t> claimed;
    for (uint32_t i = 0; i < 100; ++i) {
        Failure why;
        claimed.emplace_back();
        CHECK(cell.claim(claimed.back(), why) == Status::ok);
    }
    std::vector<bool> seen(cell.reserved());
    for (uint32_t buffer : claimed) {
        CHECK(!seen[buffer]);
        seen[buffer] = true;
    }
    for (uint32_t buffer : claimed) cell.abandon(buffer);
    CHECK(get(cell).number == 1);
    const uint32_t reserved = cell.reserved();
    for (uint64_t i = 0; i < 500; ++i) set(cell, i, kLarge);
    CHECK(cell.reserved() == reserved);
}

TEST(full_when_there_can_be_no_more) {
    Cell cell;
    create(cell, kLarge);
    set(cell, 1, kLarge);
    uint32_t buffer, count = 0;
    Failure why;
    Status status;
    while ((status = cell.claim(buffer, why)) == Status::ok) ++count;
    CHECK(status == Status::full && count == cell.geometry().buffers - 1);
    CHECK(get(cell).number == 1);
}

TEST(holds_run_out) {
    Cell cell;
    create(cell, kLarge);
    set(cell, 1, kLarge);
    CellValue value;
    uint32_t buffer, hold;
    for (uint32_t i = 0; i < kMaxHolds; ++i) CHECK(cell.hold(value, buffer, hold) == Status::ok);
    uint32_t none;
    CHECK(cell.hold(value, buffer, none) == Status::busy);
    set(cell, 2, kLarge);
    cell.give_up(hold);
    CHECK(cell.hold(value, buffer, hold) == Status::ok && value.version == 2);
}

// --- what no honest process writes ---------------------------------------------------------------

TEST(a_buffer_that_cannot_be) {
    Cell cell;
    create(cell, kSmall);
    CellValue value;
    char bytes[kSmall];
    uint32_t buffer, hold;
    for (uint32_t wrong : {16u, 2047u, 4095u}) {
        cell.state().latest.store(Latest::make(5, wrong));
        CHECK(cell.read(value, bytes, sizeof bytes) == Status::corrupted);
        CHECK(cell.hold(value, buffer, hold) == Status::corrupted);
    }
}

TEST(more_memory_than_there_is) {
    Cell cell;
    create(cell, kLarge);
    CellValue value;
    char bytes[kSmall];
    uint32_t buffer;
    Failure why;
    for (uint32_t wrong : {0u, 3u, 5u, 2048u, ~0u}) {
        cell.state().reserved.store(wrong);
        cell.state().latest.store(Latest::make(5, 4));
        CHECK(cell.read(value, bytes, sizeof bytes) == Status::corrupted);
        CHECK(cell.claim(buffer, why) == Status::corrupted);
    }
}

TEST(a_value_that_cannot_be) {
    Cell cell;
    create(cell, kSmall);
    uint32_t buffer, hold;
    Failure why;
    CellValue value;
    char bytes[kSmall];
    for (CellValue wrong : {CellValue{0, ValueKind::raw, kSmall + 1, 0}, {0, ValueKind::raw, ~0ull, 0},
                            {0, ValueKind::body, 8, 9}, {0, ValueKind(3), 8, 0}}) {
        CHECK(cell.claim(buffer, why) == Status::ok);
        cell.publish(buffer, wrong);
        CHECK(cell.read(value, bytes, sizeof bytes) == Status::corrupted);
        CHECK(cell.hold(value, buffer, hold) == Status::corrupted);
    }
}

TEST(any_rover_and_end_will_do) {
    Cell cell;
    create(cell, kSmall);
    cell.state().rover.store(~0u);
    cell.state().hold_end.store(~0u);
    for (uint64_t i = 0; i < 20; ++i) set(cell, i, kSmall);
    CHECK(get(cell).number == 19 && get(cell, true).number == 19);
}

TEST(a_size_that_cannot_be) {
    for (uint64_t wrong : {uint64_t(0), CellGeometry::kMaxSize + 1, ~uint64_t(0)}) {
        const uint64_t words[kGeometryWords] = {wrong};
        CHECK(!CellGeometry::of(words).is_sane());
    }
    const uint64_t largest[kGeometryWords] = {CellGeometry::kMaxSize};
    CHECK(CellGeometry::of(largest).buffers == CellGeometry::kMinBuffers);
}
