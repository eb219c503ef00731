// Who takes part in a segment, and whether they live.
//
// A slot is claimed by taking the kernel's lock on its byte, so a slot whose holder died is free at
// once, whatever its fields say. The generation in its word, raised at each claim, tells the holder of
// today from the one that died: an owner word (slot, generation) left in shared memory by the dead can
// never be taken for its successor's.
#pragma once

#include "segment.hpp"

namespace weft {

class Participants {
public:
    // Says whose participants these are: enough to look at them.
    void bind(Segment& segment) noexcept { segment_ = &segment; }

    // Claims a slot for this attachment; out_of_slots if all are taken by living participants.
    Status join(Segment& segment, Failure& why) noexcept {
        if (int error = segment.lost()) {
            why = {error, "opening again after a fork", 0, 0};
            return Status::os_error;
        }
        return join_through(segment, segment.fd(), why);
    }

    // The same for the holder of another opening: a child that is about to be forked, which calls `adopt`.
    Status join_through(Segment& segment, int fd, Failure& why) noexcept {
        bind(segment);
        self_ = 0;
        // A lock costs a system call that looks at the locks of all others. So slots whose word says that
        // somebody has them are left alone at first, but for the first page's: as long as participants are
        // few, whoever comes after a death inherits and sees to it at once.
        uint32_t sure = reserved_slots();
        for (uint32_t slot = 0; slot < sure; ++slot)
            if (slot < kPerPage || !(at(slot).word.load(std::memory_order_relaxed) & kInUse))
                if (os::lock_byte(fd, slot)) return claim(slot, fd, why);
        for (uint32_t slot = kPerPage; slot < kMaxSlots; ++slot)
            if (os::lock_byte(fd, slot)) return claim(slot, fd, why);
        return Status::out_of_slots;
    }

    // In the child: what `join_through` claimed for it is this process's place now.
    void adopt() noexcept {
        forks_ = Segment::fork_count();
        mine().pid = os::process_id();
    }

    // Everything this participant owned must have been given back before. `closing`: the opening goes next, and
    // its lock with it.
    void leave(bool closing = false) noexcept {
        if (!self_) return;
        if (!foreign()) {
            mine().word.fetch_and(~kInUse, std::memory_order_release);
            if (!closing) os::unlock_byte(segment_->fd(), owner_slot(self_));
        }
        self_ = 0;
    }

    Owner self() const noexcept { return self_; }

    // True in a forked child until it has joined for itself: what stands here is the parent's.
    bool foreign() const noexcept { return forks_ != Segment::fork_count(); }

    // Whether that incarnation still lives. The word may change under our eyes only from this
    // generation to a later one, so "dead" is final.
    bool is_alive(Owner owner) const noexcept {
        if (owner == self_) return true;
        uint32_t slot = owner_slot(owner);
        if (slot >= kMaxSlots || slot >= reserved_slots()) return false;
        uint32_t word = at(slot).word.load(std::memory_order_acquire);
        if ((word & kGeneration) != owner_generation(owner) || !(word & kInUse)) return false;
        // Own byte: an open file description never conflicts with itself.
        return slot == owner_slot(self_) || os::byte_is_locked(segment_->fd(), slot);
    }

    // Whether somebody else has that incarnation's slot by now: it is gone, and `each_dead` does not find it.
    bool is_replaced(Owner owner) const noexcept {
        const uint32_t slot = owner_slot(owner);
        return slot < kMaxSlots && slot < reserved_slots() &&
               (at(slot).word.load(std::memory_order_acquire) & kGeneration) != owner_generation(owner);
    }

    // Calls visit(owner) for each slot in use whose holder is dead, and tells whether there was one.
    template <class Visit>
    bool each_dead(Visit visit) const noexcept {
        bool any = false;
        for (uint32_t slot = 0, end = reserved_slots(); slot < end; ++slot) {
            uint32_t word = at(slot).word.load(std::memory_order_acquire);
            if (!(word & kInUse) || slot == owner_slot(self_)) continue;
            if (os::byte_is_locked(segment_->fd(), slot)) continue;
            any = true;
            visit(make_owner(slot, word & kGeneration));
        }
        return any;
    }

    // The dead participant's belongings have been given back. If the slot has been claimed anew in the
    // meantime the word differs and stays.
    void bury(Owner dead) noexcept {
        uint32_t word = owner_generation(dead) | kInUse;
        at(owner_slot(dead)).word.compare_exchange_strong(word, owner_generation(dead));
    }

    // True if the slot that `join` got was a dead participant's whose belongings lie about still.
    bool inherited() const noexcept { return inherited_; }

    Participant& mine() const noexcept { return at(owner_slot(self_)); }
    Participant& at(uint32_t slot) const noexcept { return segment_->participants()[slot]; }

    // Whether a living participant has the slot.
    bool lives(uint32_t slot) const noexcept {
        uint32_t word = at(slot).word.load(std::memory_order_acquire);
        return (word & kInUse) && is_alive(make_owner(slot, word & kGeneration));
    }

    // What a slot's word says to who reads it in a copy.
    static constexpr bool is_used(uint32_t word) noexcept { return word & kInUse; }
    static constexpr Owner owner_of(uint32_t slot, uint32_t word) noexcept { return make_owner(slot, word & kGeneration); }

    // Whoever claims the last slot of a page has reserved the next page before, and whoever claims a slot
    // has seen to it that the last slots of all pages before are marked: so a page may be touched once
    // the word before it is not 0, as it stays from then on, and no slot in use is beyond.
    uint32_t reserved_slots() const noexcept {
        uint32_t end = kPerPage;
        while (end < kMaxSlots && at(end - 1).word.load(std::memory_order_relaxed) != 0) end += kPerPage;
        return end;
    }

private:
    static constexpr uint32_t kGeneration = 0xffff;
    static constexpr uint32_t kInUse = 1u << 16;
    static constexpr uint32_t kPerPage = os::kPage / sizeof(Participant);

    // The slot's byte is locked.
    Status claim(uint32_t slot, int fd, Failure& why) noexcept {
        WEFT_FAULT(slot_locked);
        // All pages up to the next slot's: see reserved_slots. Those before are there as a rule, and the first
        // one is from the beginning.
        const uint64_t end = page_of(slot + 1) + os::kPage;
        const bool first = end == kParticipantsAt + os::kPage;
        if (int error = first ? 0 : os::reserve(fd, kParticipantsAt, end - kParticipantsAt)) {
            os::unlock_byte(fd, slot);
            why = {error, "reserving a participant's slot", os::kPage, os::free_bytes(fd)};
            return error == ENOSPC ? Status::no_space : Status::os_error;
        }
        // Who has a page's last slot may have got no further than its lock, and may die there. Generation
        // 1 then passes unused; the store in fill may come before or after.
        for (uint32_t last = kPerPage - 1; last < slot; last += kPerPage) {
            uint32_t never = 0;
            at(last).word.compare_exchange_strong(never, 1);
        }
        fill(slot);
        WEFT_FAULT(slot_filled);
        return Status::ok;
    }

    void fill(uint32_t slot) noexcept {
        Participant& place = at(slot);
        uint32_t before = place.word.load(std::memory_order_relaxed);
        uint32_t generation = (before & kGeneration) % kGeneration + 1;  // 0: the slot was never used
        inherited_ = before & kInUse;
        place.pid = os::process_id();
        place.started_ns = os::wall_clock_ns();
        place.waiting_producers.store(0, std::memory_order_relaxed);
        place.waiting_consumers.store(0, std::memory_order_relaxed);
        os::command_line(place.command, sizeof place.command);
        self_ = make_owner(slot, generation);
        forks_ = Segment::fork_count();  // only now: who could not join stays a stranger
        place.word.store(generation | kInUse, std::memory_order_release);
    }

    static constexpr uint64_t page_of(uint32_t slot) noexcept {
        uint32_t last = slot < kMaxSlots ? slot : kMaxSlots - 1;
        return (kParticipantsAt + last * sizeof(Participant)) / os::kPage * os::kPage;
    }

    Segment* segment_ = nullptr;
    Owner self_ = 0;
    uint64_t forks_ = 0;
    bool inherited_ = false;
};

}  // namespace weft
