// Cells, and values that show whether they are whole.
#pragma once

#include "kit.hpp"
#include "weft/cell.hpp"

namespace test {

inline constexpr uint64_t kSmall = 64, kLarge = 40'000;

inline Cell& create(Cell& cell, uint64_t size, const char* name = "c") {
    SegmentSpec spec;
    spec.geometry[0] = size;
    Failure why;
    CHECK(cell.create(directory, name, spec, why) == Status::ok);
    return cell;
}
inline Cell& open(Cell& cell, const char* name = "c") {
    Failure why;
    CHECK(cell.open(directory, name, why) == Status::ok);
    return cell;
}

// The number, and bytes that follow from it.
inline void make_value(char* bytes, uint64_t number, uint64_t size) {
    for (uint64_t i = 0; i < size; i += 8) {
        uint64_t word = number * 0x9e3779b97f4a7c15 + i;
        if (i == 0) word = number;
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}
inline uint64_t number_of(const char* bytes) {
    uint64_t number;
    memcpy(&number, bytes, 8);
    return number;
}
inline bool is_value(const char* bytes, uint64_t size) {
    const uint64_t number = number_of(bytes);
    for (uint64_t i = 8; i < size; i += 8) {
        uint64_t word = number * 0x9e3779b97f4a7c15 + i;
        if (memcmp(bytes + i, &word, size - i < 8 ? size - i : 8)) return false;
    }
    return true;
}

// Returns the version.
inline uint64_t set(Cell& cell, uint64_t number, uint64_t size) {
    static thread_local char bytes[kLarge + 8];
    make_value(bytes, number, size);
    uint32_t buffer;
    Failure why;
    CHECK(cell.claim(buffer, why) == Status::ok);
    cell.fill(buffer, 0, bytes, size);
    return cell.publish(buffer, {0, ValueKind::raw, size, 0});
}

struct Got {
    uint64_t version = 0, number = 0, size = 0;
};

// As the binding reads: a copy, or else a hold. `only_hold`: nothing but a hold.
inline Got get(Cell& cell, bool only_hold = false) {
    static thread_local char bytes[CellGeometry::kCopied];
    CellValue value;
    Status status = only_hold ? Status::busy : cell.read(value, bytes, sizeof bytes);
    if (status == Status::empty) return {};
    if (status == Status::ok) {
        CHECK(is_value(bytes, value.total));
        return {value.version, number_of(bytes), value.total};
    }
    CHECK(status == Status::busy);
    uint32_t buffer, hold;
    status = cell.hold(value, buffer, hold);
    if (status == Status::empty) return {};
    CHECK(status == Status::ok);
    const char* place = cell.data(buffer);
    CHECK(is_value(place, value.total));
    Got got{value.version, number_of(place), value.total};
    cell.give_up(hold);
    return got;
}

}  // namespace test
