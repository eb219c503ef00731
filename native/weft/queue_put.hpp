// The producers' end: a record is written where no consumer looks yet, and one store of `tail` makes it
// a message. Dying before that store has changed nothing that counts; repair_producers puts right what
// was noted for it.
#pragma once

#include "queue.hpp"

namespace weft {

inline Status Queue::lock_producers(int64_t patience_ns) noexcept {
    auto [status, dead] = state_->producers.lock(people_, patience_ns);
    if (dead) repair_producers();
    return status;
}

// The former owner died under the lock, perhaps while it repaired what another had left. `tail` is the
// truth; what follows it is set right from it, whoever wrote it.
inline void Queue::repair_producers() noexcept {
    const uint64_t tail = state_->tail.load(std::memory_order_acquire);
    const uint64_t offset = Mark::offset(tail);
    state_->sent = Mark::sequence(state_->sent, tail);
    state_->seen_head = state_->head.load(std::memory_order_acquire);
    if (geometry_.is_ordered) {
        state_->order.changes.fetch_add(1, std::memory_order_release);
        state_->order.last_priority = ~0u;
        tell_registrant(0);
    }
    pool_.each_run([&](uint32_t unit, uint64_t word) {
        Unit& entry = pool_.entry(unit);
        uint64_t ticket = entry.ticket.load(std::memory_order_relaxed);
        if (Unit::run(word) == Run::ring) {
            uint64_t begin = pool_.offset_of(unit);
            if (offset >= begin && offset < begin + Unit::units(word) * Pool::kUnitBytes) {
                state_->extent = unit;
                entry.ticket.store(Unit::kNoTicket, std::memory_order_relaxed);
            } else if (ticket > state_->sent) {
                entry.ticket.store(0, std::memory_order_relaxed);  // never reached: spent at once
            }
        } else if (Unit::run(word) == Run::loaned && ticket >= state_->sent) {
            // Its number will be another message's.
            entry.ticket.store(Unit::kNoTicket, std::memory_order_relaxed);
        }
    });
}

inline Status Queue::check_room(const Cursor& cursor) noexcept {
    uint64_t mark = Mark::make(cursor.offset, cursor.sequence);
    uint64_t limit = geometry_.limit ? geometry_.limit : Mark::kCountMask / 2;
    uint64_t returned = state_->returned.load(std::memory_order_relaxed);
    if (Mark::between(state_->seen_head, mark) + returned < limit) return Status::ok;
    if (geometry_.is_ordered) return count_waiting(mark, state_->seen_head) < limit ? Status::ok : Status::full;
    state_->seen_head = state_->head.load(std::memory_order_acquire);
    return Mark::between(state_->seen_head, mark) + returned < limit ? Status::ok : Status::full;
}

// Whether the head has passed an extent's last message and has left it.
inline bool Queue::has_left_extent(uint64_t head, uint32_t unit, uint64_t word) noexcept {
    const uint64_t end_sequence = pool_.entry(unit).ticket.load(std::memory_order_relaxed);
    if (end_sequence == Unit::kNoTicket) return false;
    const uint64_t begin = pool_.offset_of(unit), at_head = Mark::offset(head);
    return !end_sequence || (Mark::reached(head, end_sequence) &&
                             (at_head < begin || at_head >= begin + Unit::units(word) * Pool::kUnitBytes));
}

// An extent is spent when the head has passed its last message, has left it, and no lease looks into it.
inline bool Queue::is_extent_spent(uint32_t unit, uint64_t word) noexcept {
    if (geometry_.is_ordered) return false;  // see look_for_spent_pages
    const uint64_t begin = pool_.offset_of(unit);
    const uint64_t end = begin + Unit::units(word) * Pool::kUnitBytes;
    // sync: acquire pairs with advance_head's release: leases of what lies below are written.
    if (!has_left_extent(state_->head.load(std::memory_order_acquire), unit, word)) return false;
    uint32_t used = lease_count();
    for (uint32_t i = 0; i < used; ++i) {
        const Lease& lease = leases()[i];
        if (Lease::state(lease.word.load(std::memory_order_acquire)) == LeaseState::free) continue;
        const uint64_t place = lease.place.load(std::memory_order_relaxed);
        if (place >= begin && place < end) return false;
    }
    return true;
}

// In a stream memory is written anew only after some megabytes of other memory: what a consumer has just read
// lies in its core's own cache, from where it is fetched for writing at twice the price of what has moved on to
// the cache that all cores share. Who takes memory seldom is not to reserve as much for that.
inline uint64_t Queue::fresh_units(int64_t now_ns) noexcept {
    const int64_t before = taken_ns_.exchange(now_ns, std::memory_order_relaxed);
    return now_ns - before < kStreamNs ? geometry_.fresh_units() : 0;
}

// Takes another extent and leads the chain there. Seldom: kept out of the way of the rest. The old one's
// ticket says which message it ends before; the jump counts from the next commit on.
[[gnu::noinline]] inline Status Queue::next_extent(Cursor& cursor, Failure& why) noexcept {
    uint32_t next = 0;
    const int64_t now = os::now_ns();
    auto take = [&] {
        return pool_.take(
            people_, geometry_.extent_units, Run::ring, Unit::kNoTicket, fresh_units(now), now + 1'000'000'000,
            [this](uint32_t unit, uint64_t word) { return is_extent_spent(unit, word); }, next, why);
    };
    if (geometry_.is_ordered) look_for_spent_pages(false);
    Status status = take();
    if (geometry_.is_ordered && (status == Status::full || status == Status::no_space)) {
        look_for_spent_pages(true);
        status = take();
    }
    if (status == Status::timed_out || status == Status::interrupted) return Status::full;
    if (status != Status::ok) return status;
    auto jump = reinterpret_cast<RecordHeader*>(at(cursor.offset));
    *jump = {4, RecordKind::jump, 0, 0};
    *reinterpret_cast<uint32_t*>(jump + 1) = next;
    pool_.entry(cursor.extent).ticket.store(cursor.sequence, std::memory_order_relaxed);
    WEFT_FAULT(put_extent_linked);
    cursor.extent = next;
    cursor.offset = pool_.offset_of(next);
    return Status::ok;
}

inline Status Queue::write_record(const Outgoing& message, Cursor& cursor, Failure& why) noexcept {
    const bool in_block = message.unit != Pool::kNowhere;
    const uint64_t size = in_block ? sizeof(BlockRecord) : message.size;
    const uint64_t begin = pool_.offset_of(cursor.extent);
    const uint64_t end = begin + geometry_.extent_units * Pool::kUnitBytes;
    if (cursor.offset < begin || cursor.offset + kJumpBytes > end || !pool_.is_backed(cursor.extent, geometry_.extent_units))
        return Status::corrupted;
    // Each extent keeps room for the jump out of it.
    if (cursor.offset + record_bytes(size) + kJumpBytes > end) {
        Status status = next_extent(cursor, why);
        if (status != Status::ok) return status;
    }
    auto header = reinterpret_cast<RecordHeader*>(at(cursor.offset));
    if (in_block) {
        *header = {uint32_t(size), RecordKind::block, uint8_t(uint8_t(message.kind) | message.marks), message.priority};
        *reinterpret_cast<BlockRecord*>(header + 1) = {message.unit, 0, message.total, message.body_size};
        // From the commit on this number makes the block the message's, whoever its owner was.
        pool_.entry(message.unit).ticket.store(cursor.sequence, std::memory_order_relaxed);
        cursor.bytes += message.total;
    } else {
        // These lines are in the cache of the consumer that read what stood there.
        prepare_write(at(cursor.offset) + kAhead);
        prepare_write(at(cursor.offset) + kAhead + 64);
        *header = {uint32_t(size), message.kind, message.marks, message.priority};
        copy_short(reinterpret_cast<char*>(header + 1), message.data, size);
        cursor.bytes += size;
    }
    cursor.offset += record_bytes(size);
    ++cursor.sequence;
    WEFT_FAULT(put_record_written);
    return Status::ok;
}

inline void Queue::commit(const Cursor& cursor) noexcept {
    // sync: release pairs with the acquire of tail by consumers.
    state_->tail.store(Mark::make(cursor.offset, cursor.sequence), std::memory_order_release);
    WEFT_FAULT(put_committed);
    state_->sent = cursor.sequence;
    state_->sent_bytes = cursor.bytes;
    state_->extent = cursor.extent;
}

// One message in parts at a time; the others, which may come between its parts, do not wait for it. A dead
// producer's has ended: consumers see that by the first part of the next.
inline Status Queue::claim_series() noexcept {
    Owner owner = state_->series.load(std::memory_order_relaxed), self = people_.self();
    if (owner && (owner == self || people_.is_alive(owner))) return Status::full;
    return state_->series.compare_exchange_strong(owner, self) ? Status::ok : Status::full;
}

inline void Queue::end_series() noexcept {
    Owner self = people_.self();
    if (state_->series.compare_exchange_strong(self, 0)) notify_room(INT32_MAX);
}

// Compiled once for many messages and once, without the loop, for one.
[[gnu::always_inline]] inline Status Queue::put_all(const Outgoing* messages, uint32_t count, uint32_t& done,
                                                    int64_t patience_ns, Failure& why,
                                                    uint64_t* sequence) noexcept {
    done = 0;
    if (messages->unit != Pool::kNowhere) WEFT_FAULT(put_block_written);
    Status status = lock_producers(patience_ns);
    if (status != Status::ok) return status;
    Cursor cursor{Mark::offset(state_->tail.load(std::memory_order_relaxed)), state_->sent, state_->sent_bytes,
                  state_->extent};
    const bool in_parts = messages->unit != Pool::kNowhere && messages->marks & kSeries;
    if (sequence) *sequence = cursor.sequence;
    if (state_->shut.load(std::memory_order_relaxed)) status = Status::shut_down;
    else if (in_parts && state_->series.load(std::memory_order_relaxed) != people_.self()) status = Status::broken;
    while (status == Status::ok && done < count) {
        status = check_room(cursor);
        if (status == Status::ok) status = write_record(messages[done], cursor, why);
        if (status == Status::ok) ++done;
    }
    if (done) commit(cursor);
    const bool ends = in_parts && done && !(messages->marks & kMore);
    if (ends) state_->series.store(0, std::memory_order_relaxed);
    if (done && geometry_.is_ordered) note_priorities(messages, done);
    if (done && state_->order.registrant.load(std::memory_order_relaxed)) tell_registrant(done);
    state_->producers.unlock();
    if (done) WEFT_FAULT(put_unlocked);  // what is in the queue, nobody has been told of
    if (ends) notify_room(INT32_MAX);
    if (done) notify_items(int(done));
    else if (status == Status::shut_down) notify_items(INT32_MAX);  // the end waited for this lock
    return status;
}

inline Status Queue::put_batch(const Outgoing* messages, uint32_t count, uint32_t& done, int64_t patience_ns,
                               Failure& why, uint64_t* sequence) noexcept {
    return put_all(messages, count, done, patience_ns, why, sequence);
}

inline Status Queue::put(const Outgoing& message, int64_t patience_ns, Failure& why, uint64_t* sequence) noexcept {
    uint32_t done;
    return put_all(&message, 1, done, patience_ns, why, sequence);
}

inline Status Queue::take_block(uint64_t bytes, uint32_t& unit, int64_t patience_ns, Failure& why) noexcept {
    auto take = [&] {
        return pool_.take(
            people_, Pool::units_for(bytes), Run::loaned, Unit::kNoTicket, fresh_units(os::now_ns()), patience_ns,
            [this](uint32_t ring, uint64_t word) { return is_extent_spent(ring, word); }, unit, why);
    };
    Status status = take();
    if (!geometry_.is_ordered || (status != Status::full && status != Status::no_space)) return status;
    // The ring's spent pages, which a search of the pool does not find there.
    if (Status locked = lock_producers(patience_ns); locked != Status::ok) return locked;
    look_for_spent_pages(true);
    state_->producers.unlock();
    return take();
}

inline void Queue::give_block(uint32_t unit, bool read) noexcept {
    pool_.give(unit, read);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    notify_room(1);
}

inline Status Queue::drop_oldest(int64_t patience_ns) noexcept {
    Status status = lock_consumers(patience_ns);
    if (status != Status::ok) return status;
    Incoming oldest;
    char waste[8192];
    status = take_locked(oldest, waste, false);
    state_->consumers.unlock();
    if (status != Status::ok) return status;
    state_->dropped_oldest.fetch_add(1, std::memory_order_relaxed);
    if (oldest.expired) acknowledge(oldest);
    if (oldest.unit != Pool::kNowhere) pool_.give(oldest.unit);
    return Status::ok;
}

}  // namespace weft
