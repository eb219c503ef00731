// A segment of locks: thousands of small objects in one file, one descriptor and one mapping.
//
//   kObjectAt     ArenaState
//   kWaitersAt    Waiter[4096]        threads that are asleep, or about to be
//   kHashesAt     u32[cells]          which cells hold a record, by the hash of its name
//   kCellsAt      cells of 1 KiB      a record: one cell, or a page where it counts what each participant has
//   kOverflowAt   u64[640] per page   … for participants beyond the 384 that fit into the page
//
// Memory is reserved a page at a time, as records are made. A named record's file name is a hard link to
// the arena's file: whoever follows the name finds the file, and in it the record.
#pragma once

#include "waiting.hpp"

namespace weft {

inline constexpr uint32_t kLocksKind = 5;

enum class Sort : uint32_t { none, lock, rlock, rwlock, semaphore, bounded, condition, event, barrier };

// What becomes of a lock whose owner died.
enum class OnDeath : uint32_t { marks, inherits };

// What one participant has of a record: permits, a reader's share, a party's place. Valid for the slot's
// incarnation that it names; another one's is what a dead participant left.
struct Share {
    static constexpr uint64_t kMost = 0xffff;
    static constexpr uint64_t make(Owner owner, uint64_t count, uint32_t stamp) noexcept {
        return count | uint64_t(owner_generation(owner)) << 16 | uint64_t(stamp) << 32;
    }
    static constexpr uint32_t count(uint64_t word) noexcept { return uint32_t(word & kMost); }
    static constexpr uint32_t generation(uint64_t word) noexcept { return uint32_t(word >> 16 & 0xffff); }
    static constexpr uint32_t stamp(uint64_t word) noexcept { return uint32_t(word >> 32); }
    static constexpr Owner owner(uint64_t word, uint32_t slot) noexcept { return make_owner(slot, generation(word)); }
};

// Who holds a lock: display, but for `who` and `depth`, by which a recursive one knows its owner. Written by
// the lock's holder alone.
struct Holding {
    // Thread in bits 0-31: the kernel's number, or a task's (with the highest bit). Owner above, lest a thread
    // take what another participant's left there for its own. A recursive lock's holder clears it before it
    // lets go: between another thread's taking the word and its store here, nobody is to be taken for the owner.
    std::atomic<uint64_t> who;
    std::atomic<uint32_t> depth;
    std::atomic<uint32_t> pid;
    uint32_t thread() const noexcept { return uint32_t(who.load(std::memory_order_relaxed)); }
    std::atomic<uint32_t> stamped;  // the acquisition, by its number, that since_ns tells of; its low bits
    std::atomic<int64_t> since_ns;  // monotonic: when it began, or when somebody first met it
    std::atomic<uint64_t> acquisitions;
    std::atomic<uint64_t> contended;

    bool is_stamped() const noexcept {
        return stamped.load(std::memory_order_relaxed) == uint32_t(acquisitions.load(std::memory_order_relaxed));
    }
};

struct Record {
    // --- the hot line. The lock: of a Lock, an RLock, the writers of an RWLock, a Condition of its own; of a
    // Barrier the core's.
    RobustLock lock;
    Event changed;                   // permits, the flag, the barrier's turn, the way in for readers
    Event drained;                   // RWLock: a reader has left
    std::atomic<uint32_t> gate;      // RWLock: closed to readers while not 0. Stored by the holder of `lock`
    Holding holding;

    // --- a semaphore's word (semaphore.hpp), an event's, a barrier's turn
    alignas(64) std::atomic<uint64_t> word;
    std::atomic<int64_t> surplus;    // semaphore: permits that nobody need give back. Under the word's owner
    std::atomic<uint32_t> top;       // shares from this slot on have never been used; only ever raised
    std::atomic<uint32_t> stamps;    // semaphore: acquisitions, by which the longest owner is found
    std::atomic<uint32_t> arrived;   // barrier: under `lock`
    std::atomic<uint32_t> broken_by; // barrier: pid of the dead that broke it, or 0
    std::atomic<uint64_t> owner_deaths;
    std::atomic<uint64_t> acquisitions, contended;  // of what is not under `lock`: any participant adds

    // --- what it is: written by its creator under the arena's guard, before its hash stands in the table
    alignas(64) Sort sort;
    OnDeath on_death;
    uint32_t cells;                  // 1, or 4: a page
    uint32_t size;                   // permits, or parties
    uint32_t prefers_readers;
    uint32_t name_bytes;
    uint64_t serial;                 // tells it from all others that its name ever led to
    char partner[56];                // condition: the identity of the lock it goes with, or empty
    char reserved[24];

    // --- the last owner that died with the lock in its hands. For display
    struct Dead {
        std::atomic<uint32_t> pid, thread;
        std::atomic<int64_t> started_ns;
        char command[40];
    } dead;

    // Which participants have it open, by slot. Each sets its own bit; it, or who knows it dead, clears it
    // under the arena's guard.
    std::atomic<uint64_t> open[kMaxSlots / 64];
    char name[256];
};

// A thread that sleeps. Claimed by a compare-and-swap of `owner` from nobody, and given back by a store;
// the rest is the claimer's, but for `state`, which others change as the object's protocol says.
struct Waiter {
    std::atomic<Owner> owner;
    std::atomic<uint32_t> thread;
    std::atomic<uint32_t> record;    // index of its cell, plus 1
    std::atomic<uint32_t> state;     // conditions: futex word, 1 waiting, 2 notified
    std::atomic<int64_t> since_ns;
    std::atomic<uint64_t> ticket;    // conditions: the order of arrival
};
static_assert(sizeof(Waiter) == 32);

struct ArenaState {
    RobustLock guard;                // making, opening and closing records
    std::atomic<uint32_t> pages;     // of cells, reserved so far; under the guard
    std::atomic<uint32_t> waiters;   // entries backed by memory; only ever raised
    uint32_t reserved;
    uint64_t serials;                // under the guard
    std::atomic<uint64_t> tickets;
};

struct ArenaGeometry {
    static constexpr uint32_t kCellBytes = 1024, kCellsPerPage = os::kPage / kCellBytes;
    static constexpr uint32_t kPages = 16384, kCells = kPages * kCellsPerPage;
    static constexpr uint32_t kMaxWaiters = 4096, kWaitersPerPage = os::kPage / sizeof(Waiter);
    static constexpr uint32_t kNearShares = (os::kPage - kCellBytes) / sizeof(uint64_t);
    static constexpr uint32_t kLines = kNearShares / 8;
    static constexpr uint64_t kOverflowBytes = 2 * os::kPage;
    static_assert((kMaxSlots - kNearShares) * sizeof(uint64_t) <= kOverflowBytes);

    static constexpr uint64_t kWaitersAt = kObjectAt + os::kPage;
    static constexpr uint64_t kHashesAt = kWaitersAt + kMaxWaiters * sizeof(Waiter);
    static constexpr uint64_t kCellsAt = kHashesAt + kCells * sizeof(uint32_t);
    static constexpr uint64_t kOverflowAt = kCellsAt + uint64_t(kPages) * os::kPage;
    static constexpr uint64_t kFileBytes = kOverflowAt + kPages * kOverflowBytes;
};
static_assert(sizeof(Record) <= ArenaGeometry::kCellBytes);
static_assert(sizeof(ArenaState) <= os::kPage);

}  // namespace weft
