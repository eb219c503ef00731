// Message queues: the highest priority first, and first in, first out within one.
//
// The ring is in the order of arrival. Consumers look at what is new in it, under their lock, before they take.
// As long as all of it has one priority, and nothing in the lease table is as good, they take from the ring
// itself. Else they move it into the lease table, as entries in the state `returned`, and take the best of those.
//
// The lease table is the truth, as it is for leases: an entry counts once `head` has passed its sequence, so one
// store of `head` moves a run of messages, and dying before it has moved none (repair_consumers voids what was
// entered). One store of an entry's word takes a message. The heap that finds the best, and the run that is known
// to have one priority, are hints: after a death under the lock they are made anew.
#pragma once

#include <algorithm>
#include <memory>

#include "queue.hpp"

namespace weft {

// How many messages wait: in the ring before `tail`, and in the table. While some move from one to the other they
// are counted in both; so this looks again until nobody is at it, or until somebody has died or been stopped there.
inline uint64_t Queue::count_waiting(uint64_t tail, uint64_t& head) const noexcept {
    for (int tries = 0;; ++tries) {
        // sync: acquire pairs with move_run's releases: between two looks at the same even number nothing moved.
        const uint32_t moving = state_->order.moving.load(std::memory_order_acquire);
        head = state_->head.load(std::memory_order_acquire);
        const uint64_t returned = state_->returned.load(std::memory_order_acquire);
        std::atomic_thread_fence(std::memory_order_acquire);
        const bool still = !(moving & 1) && state_->order.moving.load(std::memory_order_relaxed) == moving;
        if (still || tries == 200) {
            // A tail that was read before the head may lie behind it.
            return (Mark::reached(head, Mark::count(tail)) ? 0 : Mark::between(head, tail)) + returned;
        }
        relax_cpu();
    }
}

// After the commit, so that whoever sees the new number sees the messages. Dying in between leaves messages whose
// sender has not returned, and which count as sent when the lock is taken over. Producers' lock held.
inline void Queue::note_priorities(const Outgoing* messages, uint32_t count) noexcept {
    OrderState& order = state_->order;
    uint32_t last = order.last_priority;
    bool changed = false;
    for (uint32_t i = 0; i < count; ++i) {
        changed |= messages[i].priority != last;
        last = messages[i].priority;
    }
    if (!changed) return;
    order.last_priority = last;
    order.changes.store(order.changes.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// Looks at what is new. `from_table`: whether anything waits there; afterwards whether the best does. Consumers'
// lock held.
inline Status Queue::arrange(bool& from_table) noexcept {
    OrderState& order = state_->order;
    const uint64_t head = state_->head.load(std::memory_order_relaxed);
    uint64_t known = Mark::between(head, order.run_end);
    // sync: acquire pairs with note_priorities' release. Read before the tail: what comes after that tail with
    // another priority changes it.
    const uint32_t changes = order.changes.load(std::memory_order_acquire);
    if (known && changes == order.seen_changes && known <= kMaxLeases) return choose(known, from_table);
    // sync: acquire pairs with commit's release.
    const uint64_t tail = state_->tail.load(std::memory_order_acquire);
    state_->seen_tail.store(tail, std::memory_order_relaxed);
    uint64_t fresh = Mark::between(head, tail);
    if (known > fresh) {
        order.run_end = head;
        known = 0;
    }
    if (fresh > kMaxLeases) return Status::corrupted;
    fresh -= known;
    uint64_t offset = Mark::offset(order.run_end), sequence = state_->received + known;
    while (fresh) {
        RecordHeader header;
        if (Status status = find_record(offset, header); status != Status::ok) return status;
        if (header.priority > kMaxPriority) return Status::corrupted;
        if (known && header.priority != order.run_priority) {
            if (Status status = move_run(); status != Status::ok) return status;
            from_table = true;
            known = 0;
        }
        order.run_priority = header.priority;
        offset += record_bytes(header.size);
        order.run_end = Mark::make(offset, ++sequence);
        ++known;
        --fresh;
    }
    order.seen_changes = changes;
    return choose(known, from_table);
}

// Between the best in the table, if anything is there, and the run.
inline Status Queue::choose(uint64_t known, bool& from_table) noexcept {
    if (!from_table || !known) return Status::ok;
    bool damaged = false;
    // What is in the table came before what is in the ring.
    const Lease* best = best_returned(damaged);
    if (damaged) return Status::corrupted;
    from_table = best && (best->priority & kMaxPriority) >= state_->order.run_priority;
    return Status::ok;
}

// Moves the messages of the run into the table. All, or by its return nothing.
[[gnu::noinline]] inline Status Queue::move_run() noexcept {
    OrderState& order = state_->order;
    const uint64_t head = state_->head.load(std::memory_order_relaxed);
    const uint64_t count = Mark::between(head, order.run_end), first = state_->received;
    uint64_t offset = Mark::offset(head), bytes = 0;
    Status status = Status::ok;
    uint64_t done = 0;
    for (; done < count && status == Status::ok; ++done) {
        uint32_t index;
        status = fill_lease(offset, first + done, index);
        if (status != Status::ok) break;
        rank(index);
        RecordHeader header;
        memcpy(&header, at(offset), sizeof header);
        uint64_t size = header.size;
        if (header.kind == RecordKind::block) {
            BlockRecord block;
            memcpy(&block, at(offset) + sizeof header, sizeof block);
            size = block.total;
        }
        bytes += size;
        offset += record_bytes(header.size <= geometry_.inline_max ? header.size : 0);
        WEFT_FAULT(order_entered);
    }
    if (status != Status::ok) {
        repair_consumers();  // what has been entered is void, since the head has not passed it
        return status;
    }
    const uint32_t moving = order.moving.load(std::memory_order_relaxed) | 1;
    order.moving.store(moving, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    state_->returned.fetch_add(uint32_t(count), std::memory_order_release);
    WEFT_FAULT(order_counted);
    // sync: release pairs with the acquire of head by producers: the entries are written.
    state_->head.store(Mark::make(offset, first + count), std::memory_order_release);
    WEFT_FAULT(order_moved);
    state_->received = first + count;
    state_->received_bytes += bytes;
    order.moving.store(moving + 1, std::memory_order_release);
    order.run_end = Mark::make(offset, first + count);
    return Status::ok;
}

// Enters the record at `offset`, or where jumps lead from there. Valid once the head has passed it.
inline Status Queue::fill_lease(uint64_t& offset, uint64_t sequence, uint32_t& index) noexcept {
    RecordHeader header;
    if (Status status = find_record(offset, header); status != Status::ok) return status;
    uint32_t unit = Lease::kNoUnit;
    if (header.kind == RecordKind::block) {
        BlockRecord block;
        if (find_block(header, offset, sequence, Lease::kNoUnit, block) != Status::ok) return Status::corrupted;
        unhold_block(block.unit);
        unit = block.unit;
    }
    if (Status status = reserve_lease(index); status != Status::ok) return status;
    Lease& entry = leases()[index];
    entry.place.store(offset, std::memory_order_relaxed);
    entry.sequence = sequence;
    entry.priority = header.priority & kMaxPriority;
    entry.deliveries = 0;
    entry.word.store(Lease::make(LeaseState::returned, 0, unit), std::memory_order_release);
    return Status::ok;
}

inline bool Queue::is_waiting(const Ranked& ranked, uint32_t end) noexcept {
    if (ranked.lease >= end) return false;
    const Lease& entry = leases()[ranked.lease];
    return Lease::state(entry.word.load(std::memory_order_acquire)) == LeaseState::returned &&
           ranked.key == Ranked::make_key(entry.priority, entry.sequence);
}

// The best entry of the table, or nullptr if nothing waits there.
inline Lease* Queue::best_returned(bool& damaged) noexcept {
    OrderState& order = state_->order;
    const uint32_t end = lease_count();
    for (bool anew : {false, true}) {
        if (!order.heap_is_sound || order.heap_size > end || anew) rank_all();
        const uint32_t size = order.heap_size;
        if (size == 0) return nullptr;
        const Ranked best = heap()[0];
        if (size <= end && is_waiting(best, end)) return &leases()[best.lease];
    }
    damaged = true;
    return nullptr;
}

// Least key first: std's heaps have the greatest at the front.
inline bool comes_later(const Ranked& a, const Ranked& b) noexcept { return a.key > b.key; }

inline void Queue::rank(uint32_t index) noexcept {
    OrderState& order = state_->order;
    const uint32_t end = lease_count(), size = order.heap_size;
    if (!order.heap_is_sound) return;
    if (size >= end) {
        order.heap_is_sound = 0;
        return;
    }
    heap()[size] = {Ranked::make_key(leases()[index].priority, leases()[index].sequence), index, 0};
    order.heap_size = size + 1;
    std::push_heap(heap(), heap() + size + 1, comes_later);
}

// After the best has been taken.
inline void Queue::unrank_best() noexcept {
    OrderState& order = state_->order;
    const uint32_t size = order.heap_size;
    if (size == 0 || size > lease_count()) {
        order.heap_is_sound = 0;
        return;
    }
    std::pop_heap(heap(), heap() + size, comes_later);
    order.heap_size = size - 1;
}

inline void Queue::rank_all() noexcept {
    OrderState& order = state_->order;
    const uint32_t end = lease_count();
    uint32_t size = 0;
    for (uint32_t i = 0; i < end; ++i) {
        const Lease& entry = leases()[i];
        if (Lease::state(entry.word.load(std::memory_order_acquire)) == LeaseState::returned)
            heap()[size++] = {Ranked::make_key(entry.priority, entry.sequence), i, 0};
    }
    std::make_heap(heap(), heap() + size, comes_later);
    order.heap_size = size;
    order.heap_is_sound = 1;
}

// Consumers' lock held, after a death under it.
inline void Queue::repair_order() noexcept {
    OrderState& order = state_->order;
    order.heap_is_sound = 0;
    order.run_end = state_->head.load(std::memory_order_relaxed);  // nothing is known, so all is looked at
    order.moving.store((order.moving.load(std::memory_order_relaxed) | 1) + 1, std::memory_order_release);
}

// Gives back the pages of the ring that the head has left and of which the table has nothing: all in one walk
// through the table, so that a page costs little however much waits. Producers' lock held, under which alone pages
// of the ring are taken and given back.
[[gnu::noinline]] inline void Queue::look_for_spent_pages(bool at_once) noexcept {
    OrderState& order = state_->order;
    const uint64_t reserved = pool_.reserved_bytes() / Pool::kUnitBytes;
    const uint32_t end = lease_count();
    const uint64_t due = std::max<uint64_t>({16, reserved / 64, end / 256});
    if (++order.pages_taken < due && !at_once) return;
    order.pages_taken = 0;
    if (reserved > geometry_.units) return;
    // sync: acquire pairs with move_run's release: the entries of what lies below are written. What has been taken
    // out of the table since then is not needed any more, whatever is seen of it here.
    const uint64_t head = state_->head.load(std::memory_order_acquire);
    std::unique_ptr<uint8_t[]> kept(new (std::nothrow) uint8_t[reserved / 8 + 1]());
    if (!kept) return;
    for (uint32_t i = 0; i < end; ++i) {
        const Lease& entry = leases()[i];
        if (Lease::state(entry.word.load(std::memory_order_acquire)) == LeaseState::free) continue;
        const uint64_t unit = entry.place.load(std::memory_order_relaxed) / Pool::kUnitBytes;
        if (unit < reserved) kept[unit / 8] |= uint8_t(1 << unit % 8);
    }
    pool_.each_run([&](uint32_t unit, uint64_t word) {
        if (Unit::run(word) != Run::ring || unit >= reserved || kept[unit / 8] & 1 << unit % 8) return;
        if (!has_left_extent(head, unit, word)) return;
        pool_.give(unit);
        WEFT_FAULT(order_page_freed);
    });
}

}  // namespace weft
