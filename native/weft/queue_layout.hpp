// A queue's part of its segment, from where it begins; a queue's own segment has it at kObjectAt.
//
//   0                    QueueState
//   + 1 page             Lease[kMaxLeases]      who holds what it has not acknowledged
//   + leases             Unit[units]            the pool's table
//   + table              Ranked[kMaxLeases]     of message queues alone: a heap of what waits, best first
//   + heap               pages                  ring extents and payload blocks
//
// Messages are numbered from 0 in the order in which they are put. The ring is a chain of extents: runs
// of pages filled from front to back with records; the last record of a full extent is a jump to the
// next. `tail` and `head` say where the next record goes, or is, and carry the low bits of its number:
// one store publishes or takes a message, position and count together.
//
// In a message queue each message has a priority, and the best goes first: consumers move what is in the ring
// into the table of leases, as if it had been given back, and take from there (queue_order.hpp).
#pragma once

#include "event.hpp"
#include "pool.hpp"

namespace weft {

inline constexpr uint32_t kQueueKind = 1, kMessageQueueKind = 7;
inline constexpr uint16_t kMaxPriority = 32767;

// Where in the chain, and how many before: position in bits 0-33 (in 16-byte steps), count above.
struct Mark {
    static constexpr int kPositionBits = 34;
    static constexpr uint64_t kCountMask = (uint64_t(1) << 30) - 1;
    static constexpr uint64_t make(uint64_t offset, uint64_t sequence) noexcept {
        return offset >> 4 | (sequence & kCountMask) << kPositionBits;
    }
    static constexpr uint64_t offset(uint64_t mark) noexcept {
        return (mark & ((uint64_t(1) << kPositionBits) - 1)) << 4;
    }
    static constexpr uint64_t count(uint64_t mark) noexcept { return mark >> kPositionBits; }
    // How many messages stand between two marks.
    static constexpr uint64_t between(uint64_t from, uint64_t to) noexcept {
        return (count(to) - count(from)) & kCountMask;
    }
    // The full sequence number whose low bits the mark carries, given one at or shortly before it.
    static constexpr uint64_t sequence(uint64_t near, uint64_t mark) noexcept {
        return near + ((count(mark) - near) & kCountMask);
    }
    // Whether the mark has reached `sequence`.
    static constexpr bool reached(uint64_t mark, uint64_t sequence) noexcept {
        return ((count(mark) - sequence) & kCountMask) <= kCountMask / 2;
    }
};

enum class RecordKind : uint8_t { raw = 1, body = 2, block = 3, jump = 4 };

// What a record's `marks` say. A message in parts is put by one producer, with no part of another in between, and
// taken by one consumer; a part is a block, and the first and last are those without the one mark or the other.
inline constexpr uint8_t kInner = 3;      // block: raw or body
inline constexpr uint8_t kMore = 4;       // another part follows
inline constexpr uint8_t kContinued = 8;  // … the one before
inline constexpr uint8_t kSeries = kMore | kContinued;
inline constexpr uint8_t kOwn = 0xf0;     // what the object's messages carry of its own

// Eight bytes before each payload; records start at multiples of 16.
struct RecordHeader {
    uint32_t size;      // of the payload behind it
    RecordKind kind;
    uint8_t marks;
    uint16_t priority;  // of message queues: 0 to kMaxPriority
};
static_assert(sizeof(RecordHeader) == 8);

// The payload of a block record.
struct BlockRecord {
    uint32_t unit;
    uint32_t reserved;
    uint64_t total;      // bytes of the whole message in the block
    uint64_t body_size;  // of which its encoded body
};

constexpr uint64_t record_bytes(uint64_t size) noexcept {
    return (sizeof(RecordHeader) + size + 15) & ~uint64_t(15);
}
inline constexpr uint64_t kJumpBytes = 16;
// How far ahead of a record its end of the queue asks for the ring's lines: some small messages, so that
// they have come from the other end's cache when they are needed.
inline constexpr uint64_t kAhead = 512;

// Copies a multiple of 16 bytes; without a call where it is little.
inline void copy_steps(char* to, const char* from, uint64_t bytes) noexcept {
    if (bytes > 256) {
        memcpy(to, from, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i += 16) memcpy(to + i, from + i, 16);
}

// Copies a payload; where it is as small as most are, without a call.
inline void copy_short(char* to, const char* from, uint64_t bytes) noexcept {
    if (bytes - 16 > 240) {
        memcpy(to, from, bytes);
        return;
    }
    for (uint64_t i = 0; i + 16 <= bytes; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16);
}

enum class LeaseState : uint32_t { free = 0, leased = 1, returned = 2 };

struct Lease {
    static constexpr uint32_t kNoUnit = Pool::kNowhere;
    // LeaseState in bits 0-3, Owner in bits 4-31, block's unit (or kNoUnit) above. The store that leases
    // is valid once `head` has passed `sequence`; after that the owner writes it, or recovery when the
    // owner is dead; a returned one whoever holds the consumers' lock.
    std::atomic<uint64_t> word;
    std::atomic<uint64_t> place;  // the record, in bytes from the first page. A producer that looks whether an
                                  // extent is spent may see the next lease's: that one stands elsewhere
    uint64_t sequence;
    uint32_t deliveries;   // how often it was handed out: 0 only where a message queue's waits
    uint32_t priority;

    static constexpr uint64_t make(LeaseState state, Owner owner, uint32_t unit) noexcept {
        return uint64_t(state) | uint64_t(owner) << 4 | uint64_t(unit) << 32;
    }
    static LeaseState state(uint64_t word) noexcept { return LeaseState(word & 15); }
    static Owner owner(uint64_t word) noexcept { return word >> 4 & kOwnerMask; }
    static uint32_t unit(uint64_t word) noexcept { return uint32_t(word >> 32); }
};
static_assert(sizeof(Lease) == 32);
inline constexpr uint32_t kMaxLeases = 65536;

// What waits in the lease table of a message queue, as an entry of the heap: the least key is the best.
struct Ranked {
    uint64_t key;
    uint32_t lease;
    uint32_t reserved;

    // Higher priorities first, and in the order of their sequence within one.
    static constexpr uint64_t make_key(uint32_t priority, uint64_t sequence) noexcept {
        return uint64_t(kMaxPriority - (priority & kMaxPriority)) << 48 | (sequence & ((uint64_t(1) << 48) - 1));
    }
};
static_assert(sizeof(Ranked) == 16);

inline constexpr uint32_t kJournalFailed = 2;

// What message queues have besides.
struct OrderState {
    // Under the consumers' lock. The heap is a hint: what waits is what the lease table says.
    uint64_t run_end;       // a mark: the records from head to here are known to have one priority
    uint32_t run_priority;
    uint32_t heap_size;
    uint32_t heap_is_sound; // 0: to be made anew from the lease table
    // Odd while messages move from the ring to the table, and are counted in both. Stored by the holder of the
    // consumers' lock, read by all. sync: see count_waiting.
    std::atomic<uint32_t> moving;
    uint32_t seen_changes;  // `changes` when all there was in the ring was last looked at

    // Under the producers' lock.
    alignas(128) uint32_t pages_taken;  // pages of the ring since it was last looked which are spent
    uint32_t last_priority;             // of the message put last; follows tail, ~0 after a death

    // How often a message had another priority than the one before it. As long as it stands still consumers need not
    // look at what is new in the ring. Raised by the holder of the producers' lock, read by consumers. sync: release
    // pairs with arrange's acquire.
    alignas(128) std::atomic<uint32_t> changes;

    // Who is to be told when a message comes into an empty queue: Owner in bits 0-27, the number of the
    // registration above; 0 nobody. Changed by compare-and-swap alone, by whoever registers, gives up or tells.
    alignas(128) std::atomic<uint64_t> registrant;
    std::atomic<uint64_t> registrations;
    Event notices;                      // a registration has ended

    // Of the journal that a durable queue has beside it, changed under `append`, but for `synced`: under `sync`.
    alignas(128) RobustLock append;
    RobustLock sync;
    std::atomic<uint32_t> journal_state;       // 0 none, or its messages are not all here yet; 1 at work; 2 failed
    std::atomic<uint64_t> journal_end;         // bytes of it that hold whole records
    std::atomic<uint64_t> journal_synced;      // bytes of it that are on the disk
    std::atomic<uint64_t> journal_generation;  // of the file: another after each compaction
    std::atomic<uint64_t> journal_torn;        // bytes that were dropped when it was read
};

// Each group of fields has a pair of cache lines of its own, so that the two ends of the queue do not meet:
// processors fetch a line's neighbour along with it.
struct QueueState {
    PoolState pool;

    // Under the producers' lock.
    alignas(128) RobustLock producers;
    uint32_t extent;        // first unit of the extent that tail points into; follows tail
    uint64_t sent;          // messages ever put; follows tail's count
    uint64_t seen_head;     // head as last read by a producer
    std::atomic<uint32_t> series;  // Owner that is putting a message in parts: from 0, or a dead one, by
                                   // compare-and-swap, and back by the owner
    uint64_t sent_bytes;    // apart from `sent`, lest a compiler copy both at once from where they were just stored one by one

    // Stored by the holder of the producers' lock, read by all. sync: release pairs with the consumers'
    // acquire: who sees the count sees the records below it.
    alignas(128) std::atomic<uint64_t> tail;

    // Read at each put and get, written seldom.
    alignas(128) Event items;
    std::atomic<uint32_t> shut;       // 0 open, 1 shut down, 2 at once; only ever raised
    std::atomic<uint32_t> returned;   // at least the number of returned leases; recounted by recovery

    // Under the consumers' lock.
    alignas(128) RobustLock consumers;
    std::atomic<uint32_t> lease_end;  // leases from here on have never been used; producers read it too
    uint64_t received;      // messages ever taken from the ring; follows head's count
    uint64_t received_bytes;
    std::atomic<uint64_t> seen_tail;  // tail as last read by a consumer; to the others a hint
    uint32_t lease_rover;
    std::atomic<uint32_t> taker;      // Owner that is taking a message in parts

    // Stored by the holder of the consumers' lock, read by all. sync: release pairs with the producers'
    // acquire: who sees the count may reuse what lies before it.
    alignas(128) std::atomic<uint64_t> head;

    alignas(128) Event room;

    // Counters for those who look; any participant adds.
    alignas(128) std::atomic<uint64_t> dropped_oldest;
    std::atomic<uint64_t> dropped_newest;
    std::atomic<uint64_t> redelivered;
    std::atomic<uint64_t> dead_lettered;
    std::atomic<uint32_t> leased;     // at least the number of leases out; recounted by recovery
    std::atomic<int64_t> scanned_ns;  // when somebody last looked for the dead

    alignas(128) OrderState order;
};
static_assert(sizeof(QueueState) <= os::kPage);

// Where things stand for a given number of units. Computed from the geometry by everybody for himself.
struct QueueGeometry {
    uint64_t units;         // pages of capacity
    uint64_t extent_units;  // pages of a ring extent
    uint64_t inline_max;    // larger messages go to a block
    uint64_t limit;         // messages, 0 for no limit
    uint64_t max_message;   // bytes
    uint64_t max_deliveries;  // a message handed out this often without success is expired; 0: never
    bool is_ordered = false;  // by priority

    // All from where the queue begins.
    static constexpr uint64_t kLeasesAt = os::kPage;
    static constexpr uint64_t kTableAt = kLeasesAt + kMaxLeases * sizeof(Lease);
    uint64_t heap_at() const noexcept {
        return (kTableAt + units * sizeof(Unit) + os::kPage - 1) / os::kPage * os::kPage;
    }
    uint64_t units_at() const noexcept { return heap_at() + (is_ordered ? kMaxLeases * sizeof(Ranked) : 0); }
    uint64_t bytes() const noexcept { return units_at() + units * Pool::kUnitBytes; }

    // How many pages a fast stream goes through before it comes back to the first: well beyond a core's own
    // cache (1 MiB or 2 as a rule) on both sides, and little of what the cores share.
    uint64_t fresh_units() const noexcept { return units / 8 < 1024 ? units / 8 : 1024; }

    // Entries of the lease table that a message queue has from the beginning, so that who takes needs no memory.
    uint32_t first_leases() const noexcept {
        if (!is_ordered) return 0;
        return limit && limit < 1024 ? uint32_t(limit) : 1024;
    }
    // How many leases may be out: what waits must always find a place in the table.
    uint64_t most_leases() const noexcept { return is_ordered ? kMaxLeases - limit : kMaxLeases; }

    static constexpr uint64_t kMinUnits = 8;
    static constexpr uint64_t kMaxUnits = uint64_t(1) << 26;  // 256 GiB, what a Mark can address

    void write(uint64_t (&words)[kGeometryWords]) const noexcept {
        words[0] = units;
        words[1] = limit;
        words[2] = max_message;
        words[3] = max_deliveries;
    }

    // From what the header holds. The extent is an eighth of a small queue, lest the ring alone fill it, and a
    // page where a message that is never the best may keep it for ever.
    static QueueGeometry of(const uint64_t (&words)[kGeometryWords], uint32_t kind = kQueueKind) noexcept {
        const bool ordered = kind == kMessageQueueKind;
        const uint64_t extent = ordered ? 1 : words[0] / 8 < 16 ? words[0] / 8 : 16;
        QueueGeometry g{words[0], extent, 0, words[1], words[2], words[3], ordered};
        g.inline_max = g.extent_units * Pool::kUnitBytes / 4;
        if (g.inline_max > 8192) g.inline_max = 8192;
        return g;
    }
    bool is_sane() const noexcept {
        return units >= kMinUnits && units <= kMaxUnits && limit <= Mark::kCountMask / 2 &&
               max_message >= 1 && max_message <= units * Pool::kUnitBytes && max_deliveries <= UINT32_MAX &&
               (!is_ordered || (limit >= 1 && limit < kMaxLeases));
    }
};

}  // namespace weft
