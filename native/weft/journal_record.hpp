// A record of a message queue's journal, as weft._journal reads it: written here, since many are written at a time.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace weft {

// CRC-32 as zlib has it, eight bytes at a time (Kounavis and Berry, 2005).
class Crc32 {
public:
    void add(const char* data, uint64_t size) noexcept {
        uint32_t sum = sum_;
        for (; size >= 8; size -= 8, data += 8) {
            uint64_t word;
            memcpy(&word, data, 8);
            word ^= sum;
            sum = 0;
            for (int i = 0; i < 8; ++i) sum ^= kTables[size_t(7 - i)][word >> 8 * i & 0xff];
        }
        for (; size; --size, ++data) sum = kTables[0][(sum ^ uint8_t(*data)) & 0xff] ^ sum >> 8;
        sum_ = sum;
    }
    uint32_t value() const noexcept { return ~sum_; }

private:
    using Tables = std::array<std::array<uint32_t, 256>, 8>;
    static constexpr Tables make() noexcept {
        Tables tables{};
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t sum = i;
            for (int bit = 0; bit < 8; ++bit) sum = sum & 1 ? 0xEDB88320u ^ sum >> 1 : sum >> 1;
            tables[0][i] = sum;
        }
        for (size_t t = 1; t < 8; ++t)
            for (uint32_t i = 0; i < 256; ++i)
                tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
        return tables;
    }
    static const Tables kTables;

    uint32_t sum_ = ~uint32_t(0);
};
inline constexpr Crc32::Tables Crc32::kTables = Crc32::make();

// What stands before each payload.
struct JournalRecord {
    char magic[4];
    uint32_t checksum;  // of all that follows, payload included
    uint64_t size;      // of the payload
    uint64_t number;
    uint64_t synced;    // bytes of the journal that were known to be on the disk
    uint64_t body_size;
    uint8_t what;       // 1 bytes, 2 an encoded message, 3 taken
    uint8_t reserved = 0;
    uint16_t priority;
    uint32_t more = 0;

    // The record that begins there, if it is whole and sound.
    bool read_from(const char* place, uint64_t available) noexcept {
        if (available < sizeof *this) return false;
        memcpy(this, place, sizeof *this);
        if (memcmp(magic, "wRec", 4) || size > available - sizeof *this) return false;
        Crc32 sum;
        sum.add(place + 8, sizeof *this - 8 + size);
        return sum.value() == checksum;
    }

    // Whether it is one that is written today; another may be a later version's.
    bool is_known(uint16_t most_priority) const noexcept {
        return what == 3 || ((what == 1 || what == 2) && priority <= most_priority && body_size <= size);
    }

    // Writes the whole record; returns where the next one goes.
    char* write_to(char* place, const char* payload) noexcept {
        memcpy(magic, "wRec", 4);
        Crc32 sum;
        sum.add(reinterpret_cast<const char*>(this) + 8, sizeof *this - 8);
        sum.add(payload, size);
        checksum = sum.value();
        memcpy(place, this, sizeof *this);
        if (size) memcpy(place + sizeof *this, payload, size);
        return place + sizeof *this + size;
    }
};
static_assert(sizeof(JournalRecord) == 48);

}  // namespace weft
