// What a death leaves, and how it returns.
//
// Nothing here is needed for the queue to go on: locks are taken over by whoever needs them, and what
// was not committed does not count. What the dead owned has to find its way back: leases to the front,
// blocks to the pool. Any survivor may do it, at any time, again and again: each step reads the truth
// from marks, leases and owners, and a recoverer that dies is found dead by the next.
#pragma once

#include "queue.hpp"

namespace weft {

inline bool Queue::gone(Owner owner, bool own) noexcept {
    return own ? owner == people_.self() : owner != 0 && !people_.is_alive(owner);
}

// Consumers' lock held. `own`: give back this participant's own leases, as on closing.
inline void Queue::recover_leases(bool own) noexcept {
    uint32_t end = lease_count();
    uint32_t out = 0;
    for (uint32_t i = 0; i < end; ++i) {
        Lease& entry = leases()[i];
        uint64_t word = entry.word.load(std::memory_order_acquire);
        if (Lease::state(word) == LeaseState::leased && !gone(Lease::owner(word), own)) {
            ++out;
            continue;
        }
        if (Lease::state(word) == LeaseState::free) continue;
        uint32_t unit = Lease::unit(word);
        if (unit != Lease::kNoUnit && pool_.is_backed(unit, 1)) {
            // The message's again, whatever its holder was about to do with it.
            Unit& block = pool_.entry(unit);
            uint64_t units = Unit::units(block.word.load(std::memory_order_relaxed));
            block.ticket.store(entry.sequence, std::memory_order_relaxed);
            block.word.store(Unit::make(Run::loaned, 0, units), std::memory_order_release);
        }
        entry.word.store(Lease::make(LeaseState::returned, 0, unit), std::memory_order_release);
        WEFT_FAULT(recover_lease);
    }
    state_->leased.store(out, std::memory_order_relaxed);
    count_returned();
    state_->order.heap_is_sound = 0;
}

// Both ends' locks held, leases recovered before.
inline void Queue::recover_blocks(bool own) noexcept {
    pool_.each_run([&](uint32_t unit, uint64_t word) {
        if (Unit::run(word) != Run::loaned && Unit::run(word) != Run::held) return;
        if (!gone(Unit::owner(word), own)) return;
        uint64_t ticket = pool_.entry(unit).ticket.load(std::memory_order_relaxed);
        bool needless = Unit::run(word) == Run::loaned
                            ? ticket == Unit::kNoTicket || ticket >= state_->sent  // never became a message
                            : ticket < state_->received;                          // taken by the dead
        if (needless) pool_.give(unit);
        WEFT_FAULT(recover_block);
    });
}

// One look in a while is enough for all who wait; a look at many costs more, since the kernel walks through
// all their locks for each.
inline bool Queue::begins_scan(bool at_once, int64_t now_ns) noexcept {
    int64_t last = state_->scanned_ns.load(std::memory_order_relaxed);
    const auto since = now_ns - last;
    if (!at_once && since >= 0 && (since < 5'000'000 || since < people_.reserved_slots() * 50'000)) return false;
    return state_->scanned_ns.compare_exchange_strong(last, now_ns) || at_once;
}

// Leases need the consumers' lock alone: a producer that is stopped under its own keeps no job from the next
// holder. What else the dead had, and their slots, wait for it then.
inline Queue::Recovered Queue::recover_owned(int64_t now_ns, int64_t patience_ns) noexcept {
    const bool both = lock_producers(now_ns + patience_ns) == Status::ok;
    const bool consumers = lock_consumers(os::now_ns() + patience_ns) == Status::ok;
    if (consumers) {
        recover_leases(false);
        if (both) recover_blocks(false);
        state_->consumers.unlock();
    }
    if (both) state_->producers.unlock();
    return !consumers ? Recovered::nothing : both ? Recovered::all : Recovered::leases;
}

// As on closing: this participant's leases; false if the lock can't be had.
inline bool Queue::give_back_own() noexcept {
    if (lock_consumers(os::now_ns() + 1'000'000'000) != Status::ok) return false;
    recover_leases(true);
    state_->consumers.unlock();
    return true;
}

// Leases of a dead participant whose slot somebody has got, who could not give them back: the lock was another's
// then. It does so when it waits or closes; who waits for a job does not wait for that.
inline bool Queue::has_orphans() noexcept {
    if (!state_->leased.load(std::memory_order_relaxed)) return false;
    for (uint32_t i = 0, end = lease_count(); i < end; ++i) {
        const uint64_t word = leases()[i].word.load(std::memory_order_relaxed);
        if (Lease::state(word) == LeaseState::leased && people_.is_replaced(Lease::owner(word))) return true;
    }
    return false;
}

inline bool QueueHome::has_orphans() noexcept {
    for (int i = 0; i < count_; ++i)
        if (queues_[i]->has_orphans()) return true;
    return false;
}

inline bool QueueHome::recover(bool at_once, int64_t patience_ns) noexcept {
    const int64_t now = os::now_ns();
    if (!queues_[0]->begins_scan(at_once, now)) return false;
    Owner dead[64];
    uint32_t count = 0;
    bool any = people_.each_dead([&](Owner owner) {
        if (count < 64) dead[count++] = owner;
    });
    any |= has_orphans();
    if (!any && !at_once && !has_inherited_.load(std::memory_order_relaxed)) return false;
    bool some = false, all = true;
    for (int i = 0; i < count_; ++i) {
        const Queue::Recovered how = queues_[i]->recover_owned(os::now_ns(), patience_ns);
        some |= how != Queue::Recovered::nothing;
        all &= how == Queue::Recovered::all;
    }
    if (!some) return false;
    if (all) {
        WEFT_FAULT(recover_done);
        for (uint32_t i = 0; i < count; ++i) people_.bury(dead[i]);
        has_inherited_.store(false, std::memory_order_relaxed);
    }
    wake();
    return any;
}

inline void QueueHome::wake() noexcept {
    for (int i = 0; i < count_; ++i) queues_[i]->wake_all();
}

// Who gets a dead participant's slot sees to what that one left: nobody will find the death any more. What
// can't be done now, since a stopped process has a lock, is done later.
inline void QueueHome::inherit() noexcept {
    has_inherited_.store(people_.inherited(), std::memory_order_relaxed);
    recover(people_.inherited());
}

inline Status QueueHome::rejoin(Failure& why) noexcept {
    Status status = people_.join(segment_, why);
    if (status == Status::ok) inherit();
    return status;
}

// Who cannot get a lock, or has still to see to a death, leaves as the dead do, and the living give back what it
// had.
inline void QueueHome::give_up() noexcept {
    if (!people_.self() || people_.foreign()) return;
    bool done = true;
    for (int i = 0; i < count_; ++i) done &= queues_[i]->give_back_own();
    if (done) {
        if (has_inherited_.load(std::memory_order_relaxed)) recover(true);
        if (!has_inherited_.load(std::memory_order_relaxed)) people_.leave();
    }
    wake();
}

}  // namespace weft
