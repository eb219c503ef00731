// What stands where in every segment, whatever its kind. All numbers little-endian, no pointers.
//
//   0x00000  SegmentHeader      written once before the file gets its name, never after
//   0x01000  Participant[1024]  one per attached process; memory reserved a page at a time
//   0x11000  the object         its own header describes it (queue_layout.hpp, …)
//
// A change of meaning anywhere in a segment raises kLayoutVersion.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "platform/platform.hpp"

namespace weft {

inline constexpr uint64_t kMagic = 0x31304745'54464557;  // "WEFTEG01"
inline constexpr uint32_t kLayoutVersion = 1;
inline constexpr uint32_t kMaxSlots = 1024;
inline constexpr uint32_t kGeometryWords = 8;
inline constexpr uint32_t kConfigBytes = 2048;

enum class Lifetime : uint32_t { attached = 0, kept = 1 };

// Written by the creator alone; read by whoever opens, who checks all of it first and keeps a copy of
// what it uses, so that a later change by a hostile peer changes nothing for those already attached.
struct SegmentHeader {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_bytes;
    uint32_t kind;
    Lifetime lifetime;
    uint64_t file_bytes;                // size of the file, or of the part before what grows and shrinks
    uint64_t id[2];                     // random: tells this segment from all others of its name
    int64_t created_ns;                 // wall clock, for display
    uint32_t creator_pid;               // for display
    uint32_t config_bytes;
    uint64_t geometry[kGeometryWords];  // the kind's own sizes
    char config[kConfigBytes];          // the kind's own settings, as JSON text
    char creator[128];                  // command line, for display
    uint64_t checksum;                  // FNV-1a of all that stands before it, eight bytes at a time

    uint64_t sum() const noexcept {
        constexpr uint64_t prime = 0x100000001b3;
        uint64_t hash = 0xcbf29ce484222325;
        auto add = [&](const char* from, const char* to) {
            for (uint64_t word; from != to; from += 8) {
                memcpy(&word, from, 8);
                hash = (hash ^ word) * prime;
            }
        };
        // Settings are short as a rule, and what follows them is zeros, which do nothing but multiply: by the
        // power of all of them at once. Opening would take a tenth longer otherwise.
        const char* end = config + kConfigBytes;
        for (uint64_t word = 0; end != config; end -= 8) {
            memcpy(&word, end - 8, 8);
            if (word) break;
        }
        add(reinterpret_cast<const char*>(this), end);
        uint64_t power = prime;
        for (uint64_t zeros = uint64_t(config + kConfigBytes - end) / 8; zeros; zeros >>= 1, power *= power)
            if (zeros & 1) hash *= power;
        add(config + kConfigBytes, reinterpret_cast<const char*>(&checksum));
        return hash;
    }
};
static_assert(sizeof(SegmentHeader) <= os::kPage);

// A participant is one attachment of one process. Its word says which incarnation uses the slot; that
// it lives is said by the kernel alone: the lock on the slot's byte.
struct Participant {
    // bits 0-15 generation, bit 16 in use. Written by the holder of the slot's byte lock.
    std::atomic<uint32_t> word;
    uint32_t pid;                              // display only, like all that follows
    int64_t started_ns;
    std::atomic<uint32_t> waiting_producers;   // threads of this participant asleep for room
    std::atomic<uint32_t> waiting_consumers;   // … and for messages
    char command[40];
};
static_assert(sizeof(Participant) == 64);

inline constexpr uint64_t kParticipantsAt = os::kPage;
inline constexpr uint64_t kObjectAt = kParticipantsAt + kMaxSlots * sizeof(Participant);
static_assert(kObjectAt % os::kPage == 0);

// Who owns something in shared memory: slot + 1 in bits 0-11, generation in bits 12-27. 0 is nobody.
using Owner = uint32_t;
inline constexpr uint32_t kOwnerBits = 28;
inline constexpr Owner kOwnerMask = (1u << kOwnerBits) - 1;

constexpr Owner make_owner(uint32_t slot, uint32_t generation) noexcept {
    return (slot + 1) | (generation & 0xffff) << 12;
}
constexpr uint32_t owner_slot(Owner owner) noexcept { return (owner & 0xfff) - 1; }
constexpr uint32_t owner_generation(Owner owner) noexcept { return owner >> 12 & 0xffff; }
static_assert(kMaxSlots < 0xfff);

}  // namespace weft
