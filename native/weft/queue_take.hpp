// The consumers' end. A message is copied (or its block marked as held) first; one store of `head` then
// takes it. Dying before that store leaves it to the next consumer, dying after it takes it along,
// unless it was leased: a lease is written before the same store and stands until it is acknowledged.
#pragma once

#include "queue.hpp"

namespace weft {

inline Status Queue::lock_consumers(int64_t patience_ns) noexcept {
    auto [status, dead] = state_->consumers.lock(people_, patience_ns);
    if (dead) repair_consumers();
    return status;
}

// Entries of the lease table that may be looked at. As with the pool, what the segment claims is believed
// only as far as there is memory behind it.
inline uint32_t Queue::lease_count() noexcept {
    uint32_t end = state_->lease_end.load(std::memory_order_relaxed);
    const uint32_t known = known_leases_.load(std::memory_order_relaxed);
    if (end <= known) return end;
    if (end > kMaxLeases) return known;
    // Read first: the pool may grow.
    const uint64_t needed = pool_.reserved_bytes() + end * (sizeof(Lease) + (geometry_.is_ordered ? sizeof(Ranked) : 0));
    if (os::reserved_bytes(segment_.fd()) < needed) return known;
    known_leases_.store(end, std::memory_order_relaxed);
    return end;
}

// The former owner died under the lock, perhaps while it repaired what another had left. `head` is the
// truth: a lease on what it has not passed is void, whoever wrote it.
inline void Queue::repair_consumers() noexcept {
    uint64_t head = state_->head.load(std::memory_order_acquire);
    state_->received = Mark::sequence(state_->received, head);
    state_->seen_tail.store(state_->tail.load(std::memory_order_acquire), std::memory_order_relaxed);
    uint32_t used = lease_count();
    for (uint32_t i = 0; i < used; ++i) {
        uint64_t word = leases()[i].word.load(std::memory_order_acquire);
        if (Lease::state(word) != LeaseState::free && leases()[i].sequence >= state_->received)
            leases()[i].word.store(0, std::memory_order_release);
    }
    count_returned();
    if (geometry_.is_ordered) repair_order();
}

inline void Queue::count_returned() noexcept {
    uint32_t used = lease_count(), count = 0;
    for (uint32_t i = 0; i < used; ++i)
        count += Lease::state(leases()[i].word.load(std::memory_order_acquire)) == LeaseState::returned;
    state_->returned.store(count, std::memory_order_release);
}

// Follows jumps to the record at `offset` and checks that it can be one.
inline Status Queue::find_record(uint64_t& offset, RecordHeader& header) noexcept {
    for (int jumps = 0; jumps < 3; ++jumps) {
        uint64_t unit = offset / Pool::kUnitBytes;
        if (!pool_.is_backed(unit, 1) || (offset & 15)) return Status::corrupted;
        memcpy(&header, at(offset), sizeof header);
        if (header.kind != RecordKind::jump) {
            uint64_t last = (offset + record_bytes(header.size) - 1) / Pool::kUnitBytes;
            bool sound = header.kind == RecordKind::block
                             ? header.size == sizeof(BlockRecord)
                             : (header.kind == RecordKind::raw || header.kind == RecordKind::body) &&
                                   header.size <= geometry_.inline_max;
            return sound && pool_.is_backed(last, 1) ? Status::ok : Status::corrupted;
        }
        uint32_t next;
        memcpy(&next, at(offset) + sizeof header, sizeof next);
        offset = pool_.offset_of(next);
    }
    return Status::corrupted;
}

// The block of a record, checked: its own, or the one that a returned lease names.
inline Status Queue::find_block(const RecordHeader& header, uint64_t offset, uint64_t sequence, uint32_t returned_unit,
                                BlockRecord& block) noexcept {
    memcpy(&block, at(offset) + sizeof header, sizeof block);
    const bool returned = returned_unit != Lease::kNoUnit;
    if (returned) block.unit = returned_unit;
    if (!pool_.is_backed(block.unit, 1)) return Status::corrupted;
    Unit& entry = pool_.entry(block.unit);
    uint64_t word = entry.word.load(std::memory_order_acquire);
    uint64_t units = Unit::units(word);
    const bool sound = (Unit::run(word) == Run::loaned || Unit::run(word) == Run::held) &&
                       (returned || entry.ticket.load(std::memory_order_relaxed) == sequence) && units != 0 &&
                       pool_.is_backed(block.unit, units) && block.total <= units * Pool::kUnitBytes &&
                       block.body_size <= block.total && ((header.marks & kInner) == 1 || (header.marks & kInner) == 2);
    return sound ? Status::ok : Status::corrupted;
}

// Copies an inline record, or finds its block.
inline Status Queue::read_record(uint64_t offset, const RecordHeader& header, uint64_t sequence,
                                 uint32_t returned_unit, Incoming& message, char* buffer) noexcept {
    const char* payload = at(offset) + sizeof header;
    message.sequence = sequence;
    message.priority = header.priority;
    message.unit = Pool::kNowhere;
    message.marks = header.marks & kOwn;
    if (header.kind != RecordKind::block) {
        message.kind = header.kind;
        message.size = header.size;
        copy_short(buffer, payload, header.size);
        WEFT_FAULT(get_copied);
        return Status::ok;
    }
    BlockRecord block;
    if (find_block(header, offset, sequence, returned_unit, block) != Status::ok) return Status::corrupted;
    message.kind = RecordKind(header.marks & kInner);
    message.marks = header.marks & ~kInner;
    message.unit = block.unit;
    message.total = block.total;
    message.body_size = block.body_size;
    return Status::ok;
}

inline void Queue::advance_head(uint64_t offset, uint64_t sequence) noexcept {
    // sync: release pairs with the acquire of head by producers: what lies before it may be reused.
    state_->head.store(Mark::make(offset, sequence), std::memory_order_release);
    WEFT_FAULT(get_committed);
    state_->received = sequence;
}

inline Status Queue::take_locked(Incoming& message, char* buffer, bool lease) noexcept {
    Status status;
    do status = take_next(message, buffer, lease);
    while (status == Status::orphan);
    return status;
}

// A part, up to the end of its record. Who has taken the first takes the others; those whose taker has died, or has
// given up, or has never been, are nobody's.
[[gnu::noinline]] inline Status Queue::take_part(Incoming& message, uint64_t end) noexcept {
    const Owner taker = state_->taker.load(std::memory_order_relaxed), self = people_.self();
    const bool orphan = message.marks & kContinued && taker != self;
    if (orphan && taker && people_.is_alive(taker)) return Status::busy;
    if (!orphan) state_->taker.store(message.marks & kMore ? self : 0, std::memory_order_relaxed);
    hold_block(message.unit);
    WEFT_FAULT(get_block_held);
    const uint32_t unit = message.unit;
    advance_head(end, message.sequence + 1);
    state_->received_bytes += message.total;
    if (!orphan) return Status::ok;
    message.clear();
    pool_.give(unit);
    notify_room(INT32_MAX);
    return Status::orphan;
}

inline void Queue::abandon_series() noexcept {
    Owner self = people_.self();
    state_->taker.compare_exchange_strong(self, 0);
}

[[gnu::always_inline]] inline Status Queue::take_next(Incoming& message, char* buffer, bool lease) noexcept {
    if (state_->shut.load(std::memory_order_relaxed) == 2) return Status::shut_down;
    bool from_table = state_->returned.load(std::memory_order_acquire) != 0;
    if (geometry_.is_ordered)
        if (Status status = arrange(from_table); status != Status::ok) return status;
    if (lease && state_->leased.load(std::memory_order_relaxed) >= geometry_.most_leases()) return Status::out_of_slots;
    if (from_table) {
        Status status = take_returned(message, buffer, lease);
        if (status != Status::empty) return status;
    }
    const uint64_t head = state_->head.load(std::memory_order_relaxed);
    if (Mark::between(head, state_->seen_tail.load(std::memory_order_relaxed)) == 0) {
        // sync: acquire pairs with commit's release.
        const uint64_t tail = state_->tail.load(std::memory_order_acquire);
        state_->seen_tail.store(tail, std::memory_order_relaxed);
        if (Mark::between(head, tail) == 0) return has_ended() ? Status::shut_down : Status::empty;
    }
    uint64_t offset = Mark::offset(head);
    const uint64_t begin = offset;
    if (Mark::between(head, state_->seen_tail.load(std::memory_order_relaxed)) > 8) {
        __builtin_prefetch(at(offset) + kAhead);
        __builtin_prefetch(at(offset) + kAhead + 64);
    }
    const uint64_t sequence = state_->received;
    RecordHeader header;
    Status status = find_record(offset, header);
    if (status == Status::ok) status = read_record(offset, header, sequence, Lease::kNoUnit, message, buffer);
    if (status != Status::ok) return status;
    const uint64_t bytes = message.unit == Pool::kNowhere ? message.size : message.total;
    if (lease) {
        status = reserve_lease(message.lease);
        if (status != Status::ok) return status;
        if (message.unit != Pool::kNowhere) unhold_block(message.unit);
        Lease& entry = leases()[message.lease];
        entry.place.store(offset, std::memory_order_relaxed);
        entry.sequence = sequence;
        entry.priority = header.priority;
        entry.deliveries = message.deliveries = 1;
        state_->leased.fetch_add(1, std::memory_order_relaxed);
        entry.word.store(Lease::make(LeaseState::leased, people_.self(), message.unit), std::memory_order_release);
        WEFT_FAULT(lease_prepared);
    } else if (message.unit != Pool::kNowhere) {
        if (message.marks & kSeries) {
            message.left_extent = offset != begin;
            return take_part(message, offset + record_bytes(header.size));
        }
        hold_block(message.unit);
        WEFT_FAULT(get_block_held);
    }
    advance_head(offset + record_bytes(header.size), sequence + 1);
    state_->received_bytes += bytes;
    message.left_extent = offset != begin;
    return Status::ok;
}

// Messages have been taken: that makes room where their number is limited. Memory it sets free only when
// the head leaves an extent, and then for many; a block makes room when it is given back.
inline void Queue::notify_taken(uint32_t count, bool left_extent) noexcept {
    if (left_extent) notify_room(INT32_MAX);
    else if (geometry_.limit) notify_room(int(count));
}

// A busy queue has nobody who waits and so looks after the dead: whoever takes does, now and then, while
// there are leases that a death would have to give back. Without patience: this is not a wait.
inline void Queue::look_after_leases() noexcept {
    if (state_->leased.load(std::memory_order_relaxed)) recover(false, 0);
}

inline Status Queue::take(Incoming& message, char* buffer, int64_t patience_ns) noexcept {
    look_after_leases();
    // Whoever waits comes by often: the lock of an empty queue is left alone. What a consumer has seen
    // is asked first, since the producers' line is theirs as long as nobody reads it.
    if (!has_seen_items() && !has_items() && !shut()) return Status::empty;
    Status status = lock_consumers(patience_ns);
    if (status != Status::ok) return status;
    status = take_locked(message, buffer, false);
    state_->consumers.unlock();
    WEFT_FAULT(get_unlocked);
    if (status == Status::ok) notify_taken(1, message.left_extent);
    else if (status == Status::busy && patience_ns) usleep(1000);  // another takes a message in parts
    return status;
}

inline Status Queue::take_lease(Incoming& message, char* buffer, int64_t patience_ns) noexcept {
    look_after_leases();
    Status status = lock_consumers(patience_ns);
    if (status != Status::ok) return status;
    status = take_locked(message, buffer, true);
    if (status == Status::ok) WEFT_FAULT(lease_committed);
    state_->consumers.unlock();
    if (status == Status::ok) notify_taken(1, message.left_extent);
    return status;
}

// Many messages under one lock, and with one store of the head: a death before it takes nothing along.
inline Status Queue::take_batch(char* buffer, uint64_t size, uint32_t count, uint32_t& done,
                                int64_t patience_ns) noexcept {
    look_after_leases();
    done = 0;
    Status status = lock_consumers(patience_ns);
    if (status != Status::ok) return status;
    bool left_extent = false, from_table = state_->returned.load(std::memory_order_acquire) != 0;
    if (geometry_.is_ordered) {
        status = arrange(from_table);
        // As many as are known to have one priority.
        const uint64_t run = Mark::between(state_->head.load(std::memory_order_relaxed), state_->order.run_end);
        if (run && run < count) count = uint32_t(run);
    }
    if (status == Status::ok && !from_table)
        status = copy_batch(buffer, size, count, done, left_extent);
    state_->consumers.unlock();
    WEFT_FAULT(get_unlocked);
    if (done) notify_taken(done, left_extent);
    return done ? Status::ok : status;
}

// What is copied has been checked in the copy: nobody can change it any more.
inline Status Queue::copy_batch(char* buffer, uint64_t size, uint32_t count, uint32_t& done,
                                bool& left_extent) noexcept {
    if (state_->shut.load(std::memory_order_relaxed) == 2) return Status::shut_down;
    const uint64_t head = state_->head.load(std::memory_order_relaxed);
    uint64_t there = Mark::between(head, state_->seen_tail.load(std::memory_order_relaxed));
    if (there < count) {
        // sync: acquire pairs with commit's release.
        const uint64_t tail = state_->tail.load(std::memory_order_acquire);
        state_->seen_tail.store(tail, std::memory_order_relaxed);
        there = Mark::between(head, tail);
        if (there == 0) return has_ended() ? Status::shut_down : Status::empty;
        if (there < count) count = uint32_t(there);
    }
    uint64_t offset = Mark::offset(head), used = 0, bytes = 0;
    Status status = Status::ok;
    while (done < count) {
        __builtin_prefetch(at(offset) + kAhead);
        RecordHeader header;
        const uint64_t begin = offset;
        status = find_record(offset, header);
        if (status != Status::ok || header.kind == RecordKind::block) break;
        const uint64_t step = record_bytes(header.size);
        if (used + step > size) break;
        copy_steps(buffer + used, at(offset), step);
        memcpy(buffer + used, &header, sizeof header);
        WEFT_FAULT(get_copied);
        left_extent |= offset != begin;
        used += step;
        offset += step;
        bytes += header.size;
        ++done;
    }
    if (done) {
        advance_head(offset, state_->received + done);
        state_->received_bytes += bytes;
    }
    return status;
}

// A free entry of the lease table, with memory behind it. Consumers' lock held.
inline Status Queue::reserve_lease(uint32_t& index) noexcept {
    const uint32_t end = lease_count();
    if (end != state_->lease_end.load(std::memory_order_relaxed)) return Status::corrupted;
    // A search is short when many entries are free; otherwise the table grows as long as it can.
    const uint32_t used = state_->leased.load(std::memory_order_relaxed) + state_->returned.load(std::memory_order_relaxed);
    bool found = used < end / 2 && find_free_lease(end, index);
    if (found) return Status::ok;
    if (end < kMaxLeases) {
        const uint64_t at = at_ + QueueGeometry::kLeasesAt + end * sizeof(Lease);
        const uint64_t ranked = at_ + geometry_.heap_at() + end * sizeof(Ranked);
        if ((at % os::kPage != 0 || os::reserve(segment_.fd(), at, os::kPage) == 0) &&
            (!geometry_.is_ordered || ranked % os::kPage != 0 || os::reserve(segment_.fd(), ranked, os::kPage) == 0)) {
            index = end;
            state_->lease_end.store(end + 1, std::memory_order_relaxed);
            return Status::ok;
        }
        return find_free_lease(end, index) ? Status::ok : Status::no_space;
    }
    return find_free_lease(end, index) ? Status::ok : Status::out_of_slots;
}

inline bool Queue::find_free_lease(uint32_t end, uint32_t& index) noexcept {
    const uint32_t start = state_->lease_rover < end ? state_->lease_rover : 0;
    for (uint32_t tries = 0; tries < end; ++tries) {
        const uint32_t i = start + tries < end ? start + tries : start + tries - end;
        if (Lease::state(leases()[i].word.load(std::memory_order_acquire)) != LeaseState::free) continue;
        state_->lease_rover = i + 1;
        index = i;
        return true;
    }
    return false;
}

inline void Queue::hold_block(uint32_t unit) noexcept {
    Unit& entry = pool_.entry(unit);
    uint64_t units = Unit::units(entry.word.load(std::memory_order_relaxed));
    entry.word.store(Unit::make(Run::held, people_.self(), units), std::memory_order_release);
}

// A getter that died before it had taken the block has left its mark on it; what a lease stands for is
// the message's, lest recovery take it for the dead getter's. Consumers' lock held.
inline void Queue::unhold_block(uint32_t unit) noexcept {
    Unit& entry = pool_.entry(unit);
    uint64_t word = entry.word.load(std::memory_order_relaxed);
    if (Unit::run(word) == Run::held)
        entry.word.store(Unit::make(Run::loaned, 0, Unit::units(word)), std::memory_order_release);
}

inline Lease* Queue::oldest_returned() noexcept {
    uint32_t end = lease_count();
    Lease* oldest = nullptr;
    for (uint32_t i = 0; i < end; ++i) {
        Lease& entry = leases()[i];
        if (Lease::state(entry.word.load(std::memory_order_acquire)) == LeaseState::returned &&
            (!oldest || entry.sequence < oldest->sequence))
            oldest = &entry;
    }
    return oldest;
}

// Takes the first of the messages that somebody gave back, or left when it died, or that were moved there from the
// ring. Consumers' lock held.
inline Status Queue::take_returned(Incoming& message, char* buffer, bool lease) noexcept {
    bool damaged = false;
    Lease* oldest = geometry_.is_ordered ? best_returned(damaged) : oldest_returned();
    if (damaged) return Status::corrupted;
    if (!oldest) {
        state_->returned.store(0, std::memory_order_release);
        return Status::empty;
    }
    RecordHeader header;
    uint64_t offset = oldest->place.load(std::memory_order_relaxed);
    const uint32_t unit = Lease::unit(oldest->word.load(std::memory_order_relaxed));
    Status status = find_record(offset, header);
    if (status == Status::ok) status = read_record(offset, header, oldest->sequence, unit, message, buffer);
    if (status != Status::ok) return status;
    message.priority = uint16_t(oldest->priority & kMaxPriority);
    const bool again = oldest->deliveries != 0;
    message.expired = geometry_.max_deliveries && oldest->deliveries >= geometry_.max_deliveries;
    message.deliveries = oldest->deliveries + !message.expired;
    if (message.unit != Pool::kNowhere)
        pool_.entry(message.unit).ticket.store(oldest->sequence, std::memory_order_relaxed);
    if (lease || message.expired) {
        if (message.unit != Pool::kNowhere) unhold_block(message.unit);
        message.lease = uint32_t(oldest - leases());
        oldest->deliveries = message.deliveries;
        state_->leased.fetch_add(1, std::memory_order_relaxed);
        oldest->word.store(Lease::make(LeaseState::leased, people_.self(), message.unit), std::memory_order_release);
    } else {
        if (message.unit != Pool::kNowhere) hold_block(message.unit);
        oldest->word.store(0, std::memory_order_release);
    }
    WEFT_FAULT(returned_taken);
    if (geometry_.is_ordered) unrank_best();
    message.left_extent = true;  // perhaps: one that the head has left long ago may have waited for this lease
    state_->returned.fetch_sub(1, std::memory_order_relaxed);
    if (again && !message.expired) state_->redelivered.fetch_add(1, std::memory_order_relaxed);
    return Status::ok;
}

inline uint64_t Queue::returned_bytes() noexcept {
    uint64_t bytes = 0;
    const uint32_t end = shut() != 2 && state_->returned.load(std::memory_order_acquire) ? lease_count() : 0;
    for (uint32_t i = 0; i < end; ++i) {
        const Lease& entry = leases()[i];
        if (Lease::state(entry.word.load(std::memory_order_acquire)) != LeaseState::returned) continue;
        const uint64_t offset = entry.place.load(std::memory_order_relaxed);
        constexpr uint64_t step = sizeof(RecordHeader) + sizeof(BlockRecord);
        if (offset % sizeof(uint64_t) || !pool_.is_backed(offset / Pool::kUnitBytes, 1) ||
            !pool_.is_backed((offset + step - 1) / Pool::kUnitBytes, 1))
            continue;
        RecordHeader header;
        BlockRecord block;
        memcpy(&header, at(offset), sizeof header);
        memcpy(&block, at(offset) + sizeof header, sizeof block);
        bytes += header.kind == RecordKind::block ? block.total : header.size;
    }
    return bytes;
}

inline void Queue::acknowledge(const Incoming& message) noexcept {
    if (message.unit != Pool::kNowhere) {
        // While the lease stands it is the lease that counts, whatever the block says (recover_leases).
        hold_block(message.unit);
        WEFT_FAULT(lease_ack_block);
    }
    state_->leased.fetch_sub(1, std::memory_order_relaxed);
    leases()[message.lease].word.store(0, std::memory_order_seq_cst);
    WEFT_FAULT(lease_acked);
    if (shut()) notify_items(INT32_MAX);  // it may have been the last: the stream has ended
    notify_room(1);
}

inline Status Queue::give_back(const Incoming& message, uint32_t replacement, int64_t patience_ns) noexcept {
    Status status = lock_consumers(patience_ns);
    if (status != Status::ok) return status;
    uint32_t unit = message.unit;
    if (replacement != Pool::kNowhere) {
        hold_block(message.unit);
        unit = replacement;
    }
    WEFT_FAULT(lease_return);
    leases()[message.lease].word.store(Lease::make(LeaseState::returned, 0, unit), std::memory_order_release);
    state_->returned.fetch_add(1, std::memory_order_relaxed);
    state_->leased.fetch_sub(1, std::memory_order_relaxed);
    if (geometry_.is_ordered) rank(message.lease);
    state_->consumers.unlock();
    WEFT_FAULT(lease_returned);
    notify_items(1);
    return Status::ok;
}

}  // namespace weft
