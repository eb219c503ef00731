// Many readers, or one writer.
//
// Each participant counts its readers in a word of its own, so that readers don't meet. A reader counts
// itself and then looks at the gate; a writer, who has the writers' lock, closes the gate and then looks at
// the counts: with a full fence between the two on both sides, one of them sees the other (Dekker).
//
// Where readers are preferred, a writer closes the gate only while it sees no reader, and opens it again if
// one has come in between.
//
// A dead reader's count is not looked at: its incarnation is over. A dead writer leaves the gate closed and its
// lock in its hands; whoever waits finds that, and marks the lock. The gate stays closed until somebody has
// recovered it.
#pragma once

#include "sync_lock.hpp"

namespace weft {

class RwView {
public:
    RwView() noexcept = default;
    RwView(Arena& arena, Record& record) noexcept : arena_(&arena), record_(&record), lock_(arena, record) {}

    // --- readers
    // `ok`: counted, and inside. `busy`: a writer is at it. `nested`: this thread is inside already, and must not
    // wait for a writer that waits for it.
    Status try_read(bool nested) noexcept {
        auto& mine = arena_->my_share(*record_);
        const uint64_t before = mine.fetch_add(1, std::memory_order_seq_cst);
        WEFT_FAULT(reader_counted);
        if (Share::count(before) >= Share::kMost - 1) {
            mine.fetch_sub(1, std::memory_order_seq_cst);
            return Status::too_large;
        }
        if (nested || !record_->gate.load(std::memory_order_seq_cst)) return Status::ok;
        end_read();
        return Status::busy;
    }

    // False if this participant has no reader inside.
    bool end_read() noexcept {
        auto& mine = arena_->my_share(*record_);
        uint64_t before = mine.load(std::memory_order_relaxed);
        do if (!Share::count(before)) return false;
        while (!mine.compare_exchange_weak(before, before - 1, std::memory_order_seq_cst));
        WEFT_FAULT(reader_left);
        if (Share::count(before) == 1 && record_->gate.load(std::memory_order_relaxed) | record_->lock.owner())
            arena_->notify_event(record_->drained, 1);
        return true;
    }

    // Until the gate may be open. A writer that has died behind it is found here: `marked`.
    Status wait_read(Patience& patience, int64_t deadline_ns, Waiting mode) noexcept {
        auto ready = [this] { return !record_->gate.load(std::memory_order_acquire) || lock_.is_marked(); };
        if (patience.spin(deadline_ns, mode, ready)) return check_writer();
        uint32_t announced = record_->changed.announce_sleeper();
        bool unwoken;
        if (!ready()) {
            if (Status status = check_writer(); status != Status::ok) return status;
            Status status = patience.sleep(record_->changed, announced, arena_->sleepers(), deadline_ns,
                                           Event::kWatchfulTickNs, mode, unwoken);
            if (status != Status::ok) return status;
        }
        return check_writer();
    }

    // `marked` if a writer has died and nobody has recovered. Only while the gate is closed: what a writer has
    // not begun, it has not left half done.
    Status check_writer() noexcept {
        if (!record_->gate.load(std::memory_order_seq_cst)) return Status::ok;
        const Owner owner = record_->lock.owner();
        if (!owner) {
            if (lock_.is_marked()) return Status::marked;
            // Somebody died between closing and having, which nobody can: or an inherited lock is in between.
            return Status::ok;
        }
        if (arena_->people().is_alive(owner)) return lock_.is_marked() ? Status::marked : Status::ok;
        if (record_->on_death == OnDeath::inherits) return Status::beyond;  // a reader can't inherit: see the binding
        arena_->note_death(*record_, owner);
        bool bell = false;
        if (record_->lock.mark(owner, bell)) {
            record_->owner_deaths.fetch_add(1, std::memory_order_relaxed);
            if (bell) arena_->ring();
            arena_->notify_event(record_->changed, INT32_MAX);
        }
        return Status::marked;
    }

    // --- writers. They have the writers' lock already.
    // `ok`: no reader is inside, and none comes. Called again until it is.
    Status close_gate(Patience& patience, int64_t deadline_ns, Waiting mode) noexcept {
        WEFT_FAULT(writer_alone);
        const bool yields = record_->prefers_readers;
        if (!yields || !has_readers()) {
            record_->gate.store(1, std::memory_order_seq_cst);
            WEFT_FAULT(gate_closed);
            if (!has_readers()) return Status::ok;
            if (yields) open_gate();
        }
        auto ready = [this] { return !has_readers(); };
        if (patience.spin(deadline_ns, mode, ready)) return Status::busy;
        uint32_t announced = record_->drained.announce_sleeper();
        if (ready()) return Status::busy;
        bool unwoken;
        Status status = patience.sleep(record_->drained, announced, arena_->sleepers(), deadline_ns,
                                       Event::kWatchfulTickNs, mode, unwoken);
        return status == Status::ok ? Status::busy : status;
    }

    void open_gate() noexcept {
        record_->gate.store(0, std::memory_order_seq_cst);
        WEFT_FAULT(gate_opened);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        arena_->notify_event(record_->changed, INT32_MAX);
    }

    // Living readers; the counts of the dead are cleared, unless their place has been taken anew meanwhile.
    bool has_readers() const noexcept {
        bool any = false;
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, std::atomic<uint64_t>& place) {
            if (arena_->people().is_alive(Share::owner(word, slot))) any = true;
            else place.compare_exchange_strong(word, 0, std::memory_order_seq_cst);
        });
        return any;
    }

    bool is_open() const noexcept { return !record_->gate.load(std::memory_order_acquire); }
    LockView& lock() noexcept { return lock_; }
    void arm_bell() noexcept {
        record_->changed.announce_bell();
        record_->drained.announce_bell();
        lock_.arm_bell();
    }

private:
    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
    LockView lock_;
};

}  // namespace weft
