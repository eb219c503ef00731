// The cell: the latest value only. Writers wait for nobody, and readers never see half a value.
//
// A writer claims a buffer, fills it, and makes it the latest by one compare-and-swap. Small values are read
// as under a sequence lock (after Boehm, "Can Seqlocks Get Along with Programming Language Memory Models?",
// 2012), one for each buffer: copy, and see whether the buffer has the version still. As buffers go round,
// it has unless writers have gone a whole round during one copy. Large values, and small ones for whoever has been
// overtaken again and again, are read under a hold: an entry in a table at which writers look before they
// write into a buffer (a hazard pointer, after Michael, 2004). Nobody can overtake a hold, so that no reader
// starves; it also lets a value be used where it stands.
//
// A death needs no repair. A writer that dies has changed nothing before the compare-and-swap, and all after
// it. What it or a reader had claimed or held is found to be the dead's by whoever comes across it.
#pragma once

#include "cell_layout.hpp"
#include "object.hpp"
#include "waiting.hpp"

namespace weft {

struct CellValue {
    uint64_t version = 0;
    ValueKind kind = ValueKind::raw;
    uint64_t total = 0;
    uint64_t body_size = 0;
};

class Cell final : public Object {
public:
    // spec.geometry holds the size.
    Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) override;
    Status open(const char* directory, const char* name, Failure& why) override;
    uint64_t close() noexcept override;
    Status ensure_joined(Failure& why) noexcept override {
        return people_.foreign() ? people_.join(segment_, why) : Status::ok;
    }

    // --- writers. A buffer to fill, which is this caller's until it is published or abandoned. `full` if as
    // many as there can be are being written or held.
    Status claim(uint32_t& buffer, Failure& why) noexcept;
    void fill(uint32_t buffer, uint64_t at, const char* from, uint64_t bytes) noexcept {
        store_words(data(buffer) + at, from, bytes);
    }
    // Makes it the latest; returns its version.
    uint64_t publish(uint32_t buffer, const CellValue& value) noexcept;
    void abandon(uint32_t buffer) noexcept { let_go(buffer); }

    // --- readers. `empty` before the first value. `busy`: it has been overtaken, or the value is larger than
    // `room` or CellGeometry::kCopied: to be read under a hold.
    Status read(CellValue& value, char* to, uint64_t room) noexcept;
    // Keeps the latest value as it stands, in data(buffer), until the hold is given up. `busy` if as many
    // holds as there can be are out.
    Status hold(CellValue& value, uint32_t& buffer, uint32_t& hold) noexcept;
    void give_up(uint32_t hold) noexcept {
        // sync: release pairs with is_held's look: what was read under the hold was read before.
        holds()[hold].word.store(0, std::memory_order_release);
    }
    char* data(uint32_t buffer) const noexcept { return reinterpret_cast<char*>(&at(buffer)) + sizeof(CellBuffer); }
    uint64_t version() const noexcept { return Latest::version(state_->latest.load(std::memory_order_acquire)); }

    // Called without the GIL. ok: look again.
    void begin_wait() noexcept { patience_.begin(); }
    Status wait_newer(uint64_t version, int64_t deadline_ns, Waiting mode) noexcept;
    void arm_bell() noexcept { state_->changed.announce_bell(); }
    void wake_all() noexcept;

    // Buffers with memory behind them; 0 if the segment claims what can't be.
    uint32_t reserved() noexcept;
    const CellGeometry& geometry() const noexcept { return geometry_; }
    CellState& state() noexcept { return *state_; }

private:
    static constexpr int kTries = 4;           // after them a reader takes a hold
    static constexpr int kHoldTries = 10'000;  // each fails only if a value came between two instructions

    CellBuffer& at(uint32_t buffer) const noexcept {
        return *reinterpret_cast<CellBuffer*>(segment_.base() + CellGeometry::kBuffersAt + buffer * geometry_.stride);
    }
    CellHold* holds() const noexcept { return reinterpret_cast<CellHold*>(segment_.base() + CellGeometry::kHoldsAt); }

    bool try_claim(uint32_t buffer) noexcept;
    void let_go(uint32_t buffer) noexcept;
    bool is_held(uint32_t buffer) noexcept;
    Status grow(uint32_t known, Failure& why) noexcept;
    bool take_entry(uint32_t& index) noexcept;
    bool is_whole(const CellValue& value) const noexcept {
        return value.total <= geometry_.size && value.body_size <= value.total &&
               (value.kind == ValueKind::raw || value.kind == ValueKind::body);
    }
    static CellValue describe(const CellBuffer& place, uint64_t latest) noexcept {
        return {Latest::version(latest), place.kind.load(std::memory_order_relaxed),
                place.total.load(std::memory_order_relaxed), place.body_size.load(std::memory_order_relaxed)};
    }

    CellState* state_ = nullptr;
    CellGeometry geometry_{};
    std::atomic<uint32_t> known_{0};  // buffers that this process has seen to be backed
    Patience patience_;
};

// ---------------------------------------------------------------------------------------------

inline Status Cell::create(const char* directory, const char* name, SegmentSpec spec, Failure& why) {
    geometry_ = CellGeometry::of(spec.geometry);
    spec.kind = kCellKind;
    spec.file_bytes = geometry_.file_bytes();
    spec.object_bytes = CellGeometry::kBuffersAt - kObjectAt + geometry_.first * geometry_.stride;
    spec.prepare = [](char* base, int, const SegmentSpec& self) -> int {
        reinterpret_cast<CellState*>(base + kObjectAt)->reserved.store(CellGeometry::of(self.geometry).first);
        return 0;
    };
    Status status = segment_.create(directory, name, spec, why);
    if (status != Status::ok) return status;
    state_ = reinterpret_cast<CellState*>(segment_.base() + kObjectAt);
    return people_.join(segment_, why);
}

inline Status Cell::open(const char* directory, const char* name, Failure& why) {
    Status status = segment_.open(directory, name, why);
    if (status != Status::ok) return status;
    const SegmentHeader& header = segment_.header();
    if (header.kind != kCellKind) return Status::ok;  // the caller compares kinds and says so
    geometry_ = CellGeometry::of(header.geometry);
    if (!geometry_.is_sane() || header.file_bytes != geometry_.file_bytes() ||
        segment_.file_bytes() != header.file_bytes) {
        why.step = "reading the geometry";
        return Status::corrupted;
    }
    state_ = reinterpret_cast<CellState*>(segment_.base() + kObjectAt);
    return people_.join(segment_, why);
}

inline uint64_t Cell::close() noexcept {
    if (!segment_.attached()) return 0;
    if (state_ && people_.self() && !people_.foreign()) {
        people_.leave();
        wake_all();
    }
    state_ = nullptr;
    detach();
    return 0;
}

inline void Cell::wake_all() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    notify(state_->changed, INT32_MAX);
}

// --- writers -----------------------------------------------------------------------------------

// What the segment claims is checked against what the file system says before it is believed.
inline uint32_t Cell::reserved() noexcept {
    const uint32_t claimed = state_->reserved.load(std::memory_order_acquire);
    const uint32_t known = known_.load(std::memory_order_relaxed);
    if (claimed == known) return known;
    if (claimed < geometry_.first || claimed > geometry_.buffers) return 0;
    if (claimed < known) return claimed;
    if (os::reserved_bytes(segment_.fd()) < CellGeometry::kBuffersAt - kObjectAt + claimed * geometry_.stride) return 0;
    known_.store(claimed, std::memory_order_relaxed);
    return claimed;
}

inline Status Cell::claim(uint32_t& buffer, Failure& why) noexcept {
    for (;;) {
        const uint32_t count = reserved();
        if (!count) return Status::corrupted;
        uint32_t next = state_->rover.fetch_add(1, std::memory_order_relaxed) % count;
        for (uint32_t tries = 0; tries < count; ++tries) {
            if (try_claim(next)) {
                buffer = next;
                return Status::ok;
            }
            if (++next == count) next = 0;
        }
        // More are being written or held than there were buffers for. Others may grow it too: each round
        // finds more than the one before, up to the end.
        if (Status status = grow(count, why); status != Status::ok) return status;
    }
}

inline bool Cell::try_claim(uint32_t buffer) noexcept {
    CellBuffer& place = at(buffer);
    // In this order: whoever has published it had claimed it before, so that either the word shows its owner,
    // or `latest` shows what it published, or the compare-and-swap fails. sync: acquire pairs with let_go.
    uint64_t seen = place.word.load(std::memory_order_acquire);
    if (const Owner owner = CellBuffer::owner(seen); owner && people_.is_alive(owner)) return false;
    if (Latest::buffer(state_->latest.load(std::memory_order_seq_cst)) == buffer) return false;
    const uint64_t claims = CellBuffer::claims(seen) + 1;
    if (!place.word.compare_exchange_strong(seen, CellBuffer::make(claims, people_.self()), std::memory_order_seq_cst))
        return false;
    // sync: a holder writes its entry before it sees once more that the value is the latest. It was not when
    // we looked: so either we see the entry, or the holder sees that it comes too late.
    if (is_held(buffer)) {
        let_go(buffer);
        return false;
    }
    WEFT_FAULT(cell_claimed);
    // sync: this counts before any word of the value; pairs with the acquire fence in read.
    place.version.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    return true;
}

// The owner's last store to a buffer; the number of claims stays.
inline void Cell::let_go(uint32_t buffer) noexcept {
    auto& word = at(buffer).word;
    word.store(word.load(std::memory_order_relaxed) & ~uint64_t(kOwnerMask), std::memory_order_release);
}

inline bool Cell::is_held(uint32_t buffer) noexcept {
    uint32_t end = state_->hold_end.load(std::memory_order_seq_cst);
    if (end > kMaxHolds) end = kMaxHolds;
    for (uint32_t i = 0; i < end; ++i) {
        uint64_t seen = holds()[i].word.load(std::memory_order_seq_cst);
        if (!seen || CellHold::buffer(seen) != buffer) continue;
        if (people_.is_alive(CellHold::owner(seen))) return true;
        // The dead hold nothing. If the entry has been taken anew meanwhile it is somebody else's, who comes
        // too late for this buffer.
        holds()[i].word.compare_exchange_strong(seen, 0, std::memory_order_seq_cst);
    }
    return false;
}

inline Status Cell::grow(uint32_t known, Failure& why) noexcept {
    uint32_t now = state_->reserved.load(std::memory_order_relaxed);
    if (now != known) return Status::ok;
    if (now == geometry_.buffers) return Status::full;
    const uint64_t more = os::kPage / geometry_.stride + 1;  // what fits into a page costs nothing more
    const uint32_t end = now + more < geometry_.buffers ? uint32_t(now + more) : geometry_.buffers;
    const uint64_t bytes = (end - now) * geometry_.stride;
    if (int error = os::reserve(segment_.fd(), CellGeometry::kBuffersAt + now * geometry_.stride, bytes)) {
        why = {error, "reserving memory for one more value", bytes, os::free_bytes(segment_.fd())};
        return error == ENOSPC || error == EDQUOT ? Status::no_space : Status::os_error;
    }
    WEFT_FAULT(cell_grown);
    // sync: release pairs with reserved's acquire, for form: the memory is the kernel's doing.
    state_->reserved.compare_exchange_strong(now, end, std::memory_order_release);
    return Status::ok;
}

inline uint64_t Cell::publish(uint32_t buffer, const CellValue& value) noexcept {
    CellBuffer& place = at(buffer);
    place.total.store(value.total, std::memory_order_relaxed);
    place.body_size.store(value.body_size, std::memory_order_relaxed);
    place.kind.store(value.kind, std::memory_order_relaxed);
    WEFT_FAULT(cell_filled);
    uint64_t seen = state_->latest.load(std::memory_order_relaxed), next;
    // sync: release pairs with the readers' acquire. Dying before it leaves the value before; each failure
    // means that somebody else has published.
    do {
        next = Latest::make(Latest::version(seen) + 1, buffer);
        place.version.store(Latest::version(next), std::memory_order_relaxed);
    } while (!state_->latest.compare_exchange_weak(seen, next, std::memory_order_seq_cst, std::memory_order_relaxed));
    WEFT_FAULT(cell_published);
    // Only now: a buffer that is neither owned nor the latest is anybody's.
    let_go(buffer);
    notify(state_->changed, INT32_MAX);
    return Latest::version(next);
}

// --- readers -----------------------------------------------------------------------------------

inline Status Cell::read(CellValue& value, char* to, uint64_t room) noexcept {
    if (room > CellGeometry::kCopied) room = CellGeometry::kCopied;
    for (int tries = 0; tries < kTries; ++tries) {
        const uint64_t latest = state_->latest.load(std::memory_order_acquire);
        if (Latest::version(latest) == 0) return Status::empty;
        const uint32_t buffer = Latest::buffer(latest);
        if (buffer >= known_.load(std::memory_order_relaxed) && buffer >= reserved()) return Status::corrupted;
        const CellBuffer& place = at(buffer);
        value = describe(place, latest);
        const bool whole = is_whole(value), fits = value.total <= room;
        if (whole && fits) load_words(to, data(buffer), value.total);
        // sync: pairs with the release fence in try_claim: who has read a word of a later value sees that this
        // version is gone.
        std::atomic_thread_fence(std::memory_order_acquire);
        if (place.version.load(std::memory_order_relaxed) != value.version) continue;
        if (!whole) return Status::corrupted;
        return fits ? Status::ok : Status::busy;
    }
    return Status::busy;
}

// An entry of the hold table; the dead's, if there is no other.
inline bool Cell::take_entry(uint32_t& index) noexcept {
    const uint64_t mine = uint64_t(people_.self()) << 32;  // holds no buffer yet
    for (bool of_the_dead : {false, true})
        for (index = 0; index < kMaxHolds; ++index) {
            uint64_t seen = holds()[index].word.load(std::memory_order_relaxed);
            if (seen && (!of_the_dead || people_.is_alive(CellHold::owner(seen)))) continue;
            if (!holds()[index].word.compare_exchange_strong(seen, mine, std::memory_order_seq_cst)) continue;
            uint32_t end = state_->hold_end.load(std::memory_order_seq_cst);
            while (end <= index && !state_->hold_end.compare_exchange_weak(end, index + 1, std::memory_order_seq_cst)) {
            }
            return true;
        }
    return false;
}

inline Status Cell::hold(CellValue& value, uint32_t& buffer, uint32_t& hold) noexcept {
    if (version() == 0) return Status::empty;
    if (!take_entry(hold)) return Status::busy;
    Status status = Status::corrupted;
    for (int tries = 0; tries < kHoldTries; ++tries) {
        const uint64_t latest = state_->latest.load(std::memory_order_seq_cst);
        buffer = Latest::buffer(latest);
        if (Latest::version(latest) == 0 || buffer >= reserved()) break;
        holds()[hold].word.store(CellHold::make(people_.self(), buffer), std::memory_order_seq_cst);
        WEFT_FAULT(cell_held);
        if (state_->latest.load(std::memory_order_seq_cst) != latest) continue;
        value = describe(at(buffer), latest);
        if (is_whole(value)) return Status::ok;
        break;
    }
    give_up(hold);
    return status;
}

inline Status Cell::wait_newer(uint64_t version, int64_t deadline_ns, Waiting mode) noexcept {
    auto ready = [&] { return this->version() > version; };
    if (patience_.spin(deadline_ns, mode, ready)) return Status::ok;
    const uint32_t announced = state_->changed.announce_sleeper();
    if (ready()) return Status::ok;
    bool unwoken = false;
    return patience_.sleep(state_->changed, announced, people_.mine().waiting_consumers, deadline_ns, Event::kTickNs,
                           mode, unwoken);
}

}  // namespace weft
