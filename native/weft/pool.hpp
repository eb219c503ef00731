// Memory for payloads: runs of pages within a segment, each with an owner.
//
// A table beside the pages has one entry per page; only the entry of a run's first page means
// something: how long the run is, what it is for, who owns it. To walk the pool, hop from run to run.
// Every change is one store to one entry:
//   take     the remainder's entry is written first, where no hop reaches it yet; then the run's own
//            entry is stored, shorter and owned
//   merge    the second of two free runs is marked as absorbed, then the first is stored longer
//   give     the owner stores its entry as free, without any lock
// so a process that dies in between has changed nothing, or all; at worst an owned run is left, which
// recovery gives back because its owner is dead.
//
// Who writes: free entries, and the table's growth, by the holder of the pool's lock; an owned entry by
// its owner alone. A run's length changes only while it is free.
//
// Memory is reserved from the front as the pool grows, up to the capacity chosen at creation.
#pragma once

#include "lock.hpp"

namespace weft {

enum class Run : uint32_t {
    none = 0,
    free = 1,
    absorbed = 2,  // free, but about to be part of the free run before it
    loaned = 3,    // being written, or, once its ticket is below the tail's sequence, queued
    held = 4,      // taken by a consumer
    ring = 5,      // an extent of the ring
};

struct Unit {
    static constexpr uint64_t kNoTicket = ~uint64_t(0);
    std::atomic<uint64_t> word;    // Run in bits 0-3, Owner in bits 4-31, length in units in bits 32-59
    std::atomic<uint64_t> ticket;  // the object's own mark; written by the run's owner

    static constexpr uint64_t make(Run run, Owner owner, uint64_t units) noexcept {
        return uint64_t(run) | uint64_t(owner) << 4 | units << 32;
    }
    static Run run(uint64_t word) noexcept { return Run(word & 15); }
    static Owner owner(uint64_t word) noexcept { return word >> 4 & kOwnerMask; }
    static uint64_t units(uint64_t word) noexcept { return word >> 32 & 0xfffffff; }
};
static_assert(sizeof(Unit) == 16);

struct PoolState {
    RobustLock lock;
    std::atomic<uint32_t> rover;             // where the last search ended; under the lock
    std::atomic<uint64_t> reserved;          // units with memory behind them; under the lock, grows only
    std::atomic<uint32_t> hints[12];         // 1 + unit given back last (or kRead), by size; anybody, checked when used
};
static_assert(sizeof(PoolState) == 64);

class Pool {
public:
    static constexpr uint64_t kUnitBytes = os::kPage;
    static constexpr uint32_t kNowhere = ~uint32_t(0);

    void bind(Segment& segment, PoolState* state, uint64_t table_at, uint64_t units_at, uint64_t units) noexcept {
        segment_ = &segment;
        state_ = state;
        table_ = reinterpret_cast<Unit*>(segment.base() + table_at);
        table_at_ = table_at;
        units_at_ = units_at;
        capacity_ = units;
        known_ = 0;
    }

    // The other pool in the segment: what is known to be behind that one is not behind this.
    void set_sibling(const Pool& other) noexcept { sibling_ = &other; }

    static constexpr uint64_t units_for(uint64_t bytes) noexcept {
        return bytes == 0 ? 1 : (bytes + kUnitBytes - 1) / kUnitBytes;
    }

    char* data(uint32_t unit) const noexcept { return segment_->base() + units_at_ + unit * kUnitBytes; }
    uint64_t offset_of(uint32_t unit) const noexcept { return unit * kUnitBytes; }
    Unit& entry(uint32_t unit) const noexcept { return table_[unit]; }
    uint64_t capacity_bytes() const noexcept { return capacity_ * kUnitBytes; }
    uint64_t reserved_bytes() const noexcept {
        return state_->reserved.load(std::memory_order_relaxed) * kUnitBytes;
    }

    // Whether `count` units from `unit` on have memory behind them. What the segment claims is checked
    // against what the file system says before it is believed.
    bool is_backed(uint64_t unit, uint64_t count) noexcept {
        if (unit + count <= known_) return true;
        if (unit + count > capacity_ || unit + count < unit) return false;
        uint64_t claimed = state_->reserved.load(std::memory_order_acquire);
        if (claimed > capacity_ || unit + count > claimed) return false;
        const uint64_t elsewhere = sibling_ ? sibling_->known_.load(std::memory_order_relaxed) : 0;
        if (os::reserved_bytes(segment_->fd()) < (claimed + elsewhere) * kUnitBytes) return false;
        known_ = claimed;
        return true;
    }

    // Finds and takes a run of `count` units for `owner`. is_spent(unit, word) says of a ring extent
    // whether nobody needs it any more. While fewer units than `fresh` are reserved it rather reserves more than
    // use what has just been read. Status: ok, full (capacity is used up now), no_space, or the lock's.
    template <class IsSpent>
    Status take(const Participants& people, uint64_t count, Run run, uint64_t ticket, uint64_t fresh,
                int64_t deadline_ns, IsSpent is_spent, uint32_t& unit, Failure& why) noexcept {
        if (count > capacity_) return Status::full;
        auto [status, dead] = state_->lock.lock(people, deadline_ns);
        if (status != Status::ok) return status;
        if (dead) scrub();
        status = take_locked(people.self(), count, run, ticket, fresh, is_spent, unit, why);
        state_->lock.unlock();
        return status;
    }

    // Gives a run back; only its owner may, and only once. `read`: all of it has been read just now, so that
    // this core has it, and whoever writes to it had better take another.
    void give(uint32_t unit, bool read = false) noexcept {
        Unit& place = table_[unit];
        uint64_t units = Unit::units(place.word.load(std::memory_order_relaxed));
        place.ticket.store(Unit::kNoTicket, std::memory_order_relaxed);
        // sync: release pairs with the acquire in take_locked: the next owner's writes come after our reads.
        place.word.store(Unit::make(Run::free, 0, units), std::memory_order_release);
        state_->hints[hint_of(units)].store(read ? kRead : unit + 1, std::memory_order_relaxed);
    }

    // Calls visit(unit, word) for each run; false if the chain of runs is broken.
    template <class Visit>
    bool each_run(Visit visit) noexcept {
        uint64_t end = state_->reserved.load(std::memory_order_acquire);
        if (end > capacity_ || (end && !is_backed(0, end))) return false;
        for (uint64_t at = 0; at < end;) {
            uint64_t word = table_[at].word.load(std::memory_order_acquire);
            uint64_t units = Unit::units(word);
            if (units == 0 || at + units > end) return false;
            visit(uint32_t(at), word);
            at += units;
        }
        return true;
    }

    // Pages by Run (six of them); false if the chain of runs is broken.
    bool count_pages(uint64_t* pages) noexcept {
        for (int i = 0; i < 6; ++i) pages[i] = 0;
        return each_run([&](uint32_t, uint64_t word) {
            if (uint32_t(Unit::run(word)) < 6) pages[uint32_t(Unit::run(word))] += Unit::units(word);
        });
    }

private:
    static constexpr uint64_t kGrowUnits = 16;
    static constexpr uint32_t kRead = ~uint32_t(0);  // a hint: what was given back last has just been read

    static uint32_t hint_of(uint64_t units) noexcept {
        uint32_t log = 63 - uint32_t(__builtin_clzll(units | 1));
        return log < 11 ? log : 11;
    }

    template <class IsSpent>
    Status take_locked(Owner owner, uint64_t count, Run run, uint64_t ticket, uint64_t fresh, IsSpent& is_spent,
                       uint32_t& unit, Failure& why) noexcept {
        uint64_t end = state_->reserved.load(std::memory_order_relaxed);
        if (end > capacity_ || (end && !is_backed(0, end))) return Status::corrupted;
        // What was given back last is likely to be in the cache of whoever wrote it still.
        uint32_t hint = state_->hints[hint_of(count)].exchange(0, std::memory_order_relaxed);
        if (hint && hint <= end) {
            uint64_t word = table_[hint - 1].word.load(std::memory_order_acquire);
            uint64_t units = Unit::units(word);
            if (Unit::run(word) == Run::free && units >= count && hint - 1 + units <= end) {
                unit = occupy(hint - 1, units, count, run, owner, ticket);
                return Status::ok;
            }
        }
        const bool read = hint == kRead || run == Run::ring;
        if (read && end < fresh && fresh <= capacity_ && grow(count, end, why) == Status::ok) {
            const uint64_t before = end;
            end = state_->reserved.load(std::memory_order_relaxed);
            const Status status = search(before, end, owner, count, run, ticket, is_spent, unit);
            if (status != Status::empty) return status;
        }
        uint32_t start = state_->rover.load(std::memory_order_relaxed);
        Status status = search(start < end ? start : 0, end, owner, count, run, ticket, is_spent, unit);
        if (status == Status::empty && start) status = search(0, end, owner, count, run, ticket, is_spent, unit);
        if (status != Status::empty) return status;
        if (end == capacity_) return Status::full;
        status = grow(count, end, why);
        if (status != Status::ok) return status;
        // What is new may make one run with what was free before it.
        status = search(0, state_->reserved.load(std::memory_order_relaxed), owner, count, run, ticket, is_spent, unit);
        return status == Status::empty ? Status::full : status;
    }

    // First fit from `from` on, merging free neighbours on the way; empty if there is none.
    template <class IsSpent>
    Status search(uint64_t from, uint64_t end, Owner owner, uint64_t count, Run run, uint64_t ticket,
                  IsSpent& is_spent, uint32_t& unit) noexcept {
        for (uint64_t at = from; at < end;) {
            uint64_t word = usable(at, is_spent);
            uint64_t units = Unit::units(word);
            if (units == 0 || at + units > end) return Status::corrupted;
            if (!is_free(word)) {
                at += units;
                continue;
            }
            while (units < count && at + units < end) {
                uint64_t next = usable(at + units, is_spent);
                uint64_t more = Unit::units(next);
                if (!is_free(next)) break;
                if (more == 0 || at + units + more > end) return Status::corrupted;
                // The next search may not start inside a run.
                if (state_->rover.load(std::memory_order_relaxed) == at + units)
                    state_->rover.store(uint32_t(at), std::memory_order_relaxed);
                table_[at + units].word.store(Unit::make(Run::absorbed, 0, more), std::memory_order_relaxed);
                WEFT_FAULT(pool_merging);
                units += more;
                table_[at].word.store(Unit::make(Run::free, 0, units), std::memory_order_release);
            }
            if (units >= count) {
                unit = occupy(at, units, count, run, owner, ticket);
                uint64_t next = at + count;
                state_->rover.store(next < end ? uint32_t(next) : 0, std::memory_order_relaxed);
                return Status::ok;
            }
            at += units;
        }
        return Status::empty;
    }

    static bool is_free(uint64_t word) noexcept {
        return Unit::run(word) == Run::free || Unit::run(word) == Run::absorbed;
    }

    // After a death half-way through a split, the unreached remainder looks like a free run to whoever
    // comes by a hint instead of by hops. Lock held.
    void scrub() noexcept {
        for (auto& hint : state_->hints) hint.store(0, std::memory_order_relaxed);
        state_->rover.store(0, std::memory_order_relaxed);
        each_run([this](uint32_t at, uint64_t word) {
            if (!is_free(word)) return;
            for (uint64_t i = 1; i < Unit::units(word); ++i) table_[at + i].word.store(0, std::memory_order_relaxed);
        });
    }

    // The run's word; a ring extent that nobody needs any more is free from here on.
    template <class IsSpent>
    uint64_t usable(uint64_t at, IsSpent& is_spent) noexcept {
        uint64_t word = table_[at].word.load(std::memory_order_acquire);
        if (Unit::run(word) == Run::ring && is_spent(uint32_t(at), word)) {
            word = Unit::make(Run::free, 0, Unit::units(word));
            table_[at].word.store(word, std::memory_order_relaxed);
        }
        return word;
    }

    uint32_t occupy(uint64_t at, uint64_t units, uint64_t count, Run run, Owner owner, uint64_t ticket) noexcept {
        if (units > count) {
            table_[at + count].word.store(Unit::make(Run::free, 0, units - count), std::memory_order_relaxed);
            WEFT_FAULT(pool_split);
        }
        table_[at].ticket.store(ticket, std::memory_order_relaxed);
        table_[at].word.store(Unit::make(run, owner, count), std::memory_order_release);
        WEFT_FAULT(pool_taken);
        return uint32_t(at);
    }

    // Reserves memory for `count` more units in one run, or for what is left of the capacity.
    Status grow(uint64_t count, uint64_t end, Failure& why) noexcept {
        if (count > capacity_ - end) count = capacity_ - end;
        uint64_t more = end / 4 > kGrowUnits ? end / 4 : kGrowUnits;
        if (more > 4096) more = 4096;
        if (more < count) more = count;
        if (more > capacity_ - end) more = capacity_ - end;
        int error = reserve(end, more);
        if (error == ENOSPC && more > count) error = reserve(end, more = count);
        if (error) {
            why = {error, "reserving memory", more * kUnitBytes, os::free_bytes(segment_->fd())};
            return error == ENOSPC || error == EDQUOT ? Status::no_space : Status::os_error;
        }
        table_[end].word.store(Unit::make(Run::free, 0, more), std::memory_order_relaxed);
        WEFT_FAULT(pool_grown);
        // sync: release pairs with is_backed's acquire. Dying before this line leaves memory reserved
        // that the next growth reserves again, which costs nothing.
        state_->reserved.store(end + more, std::memory_order_release);
        known_ = end + more;
        os::touch(data(uint32_t(end)), more * kUnitBytes);
        return Status::ok;
    }

    int reserve(uint64_t from, uint64_t count) noexcept {
        uint64_t first = (table_at_ + from * sizeof(Unit)) / os::kPage * os::kPage;
        uint64_t last = (table_at_ + (from + count) * sizeof(Unit) + os::kPage - 1) / os::kPage * os::kPage;
        int error = os::reserve(segment_->fd(), first, last - first);
        return error ? error : os::reserve(segment_->fd(), units_at_ + from * kUnitBytes, count * kUnitBytes);
    }

    Segment* segment_ = nullptr;
    const Pool* sibling_ = nullptr;
    PoolState* state_ = nullptr;
    Unit* table_ = nullptr;
    uint64_t table_at_ = 0, units_at_ = 0, capacity_ = 0;
    std::atomic<uint64_t> known_{0};  // units this process has seen to be backed
};

}  // namespace weft
