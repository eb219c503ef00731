// Memory of a size that may change while others use it.
//
//   0x11000  MemoryState        one page
//   0x12000  the data           `size` bytes, and zeros up to the end of the last page
//
// The file is as long as the data, and only grows while somebody else has it mapped, so that no page is
// ever taken away from under anybody: shrinking changes the size, and gives memory back when nobody else
// could touch it. What is mapped stays mapped: who finds that the data has grown maps it once more, and both
// mappings show the same memory.
//
// Opening maps nothing, since that would cost more than all the rest of it; the first use does.
#pragma once

#include <vector>

#include "object.hpp"
#include "waiting.hpp"

namespace weft {

inline constexpr uint32_t kMemoryKind = 2;

struct MemoryState {
    // Bytes of data. Written by the holder of `resizing`, once for each resize: that store is what makes it
    // happen. Read by everybody, who checks it before use (Memory::look).
    // sync: the release of a growth pairs with the acquire of look: who sees the size sees zeros in what it
    // has brought.
    std::atomic<uint64_t> size;
    // From here on nothing but zeros has ever been in the data. Written by the holder of `resizing` before
    // `size` grows, and after memory has been given back; read by that holder alone.
    std::atomic<uint64_t> used;
    std::atomic<uint64_t> resizes;  // written by the holder of `resizing`; for display
    RobustLock resizing;
    uint32_t unused;
};
static_assert(sizeof(MemoryState) == 32);

class Memory final : public Object {
public:
    static constexpr uint64_t kDataAt = kObjectAt + os::kPage;
    static constexpr uint64_t kMaxBytes = uint64_t(1) << 46;

    // `kind`: of the object that is built on it; a kind's own geometry begins at word 1.
    explicit Memory(uint32_t kind, bool read_only = false) noexcept : kind_(kind), read_only_(read_only) {}

    // spec.geometry[0] holds the size.
    Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) override;
    Status open(const char* directory, const char* name, Failure& why) override;
    uint64_t close() noexcept override;
    // Maps, too, if that has not been done: whatever touches the memory is called through this.
    Status ensure_joined(Failure& why) noexcept override;

    // Sees to it that size() and data() are those of now. This, ensure_joined and trim are not for two threads
    // at a time.
    Status look(Failure& why) noexcept;
    // Whether there is something to look at, and nothing new: two loads.
    bool is_current() const noexcept {
        return state_ && state_->size.load(std::memory_order_acquire) == size_;
    }
    // As of the last look. So many bytes of data may be touched for as long as the object is open here, but for
    // those that this process itself gives back.
    uint64_t size() const noexcept { return size_; }
    char* data() const noexcept { return data_; }
    bool is_mapped() const noexcept { return state_ != nullptr; }
    bool read_only() const noexcept { return read_only_; }
    uint64_t resizes() const noexcept { return state_->resizes.load(std::memory_order_relaxed); }

    // Changes the size, zeros following; size() follows at the next look. `in_use`: it would be smaller, and
    // others have it mapped; `force` makes it smaller for them too, but leaves them their memory. Nothing is
    // given back before `trim`.
    Status resize(uint64_t bytes, bool force, int64_t patience_ns, Failure& why) noexcept;

    // Gives back the memory beyond the size, unless others could touch it. The caller knows that nothing in
    // this process does.
    void trim() noexcept;

    // Maps data from `offset` on over what stands at `place`: a mapping that is the caller's, and no part of
    // this object. 0 or an errno, after which nothing may stand there.
    int map_over(void* place, uint64_t bytes, uint64_t offset, bool write, bool copy) const noexcept {
        return os::map_over(segment_.fd(), place, bytes, kDataAt + offset, write, copy);
    }

    // What the file says now: a vandal may have cut it off. For whoever wants an error instead of a SIGBUS.
    bool is_whole() const noexcept { return os::file_bytes(segment_.fd()) >= kDataAt + pages(size()); }

private:
    struct Mapping {
        char* base;
        uint64_t bytes;
    };
    static constexpr uint64_t pages(uint64_t bytes) noexcept { return (bytes + os::kPage - 1) / os::kPage * os::kPage; }

    Status map(Failure& why) noexcept;
    Status check(uint64_t bytes, os::FileFacts file, Failure& why) noexcept;
    Status cover(uint64_t bytes, Failure& why) noexcept;
    Status grow(uint64_t from, uint64_t to, Failure& why) noexcept;
    static Status blame(int error, const char* step, Failure& why) noexcept {
        why.os_errno = error;
        why.step = step;
        return error == ENOSPC || error == EDQUOT ? Status::no_space : Status::os_error;
    }

    const uint32_t kind_;
    const bool read_only_;
    MemoryState* state_ = nullptr;
    char* data_ = nullptr;
    uint64_t size_ = 0;
    uint64_t covered_ = 0;           // bytes of data from `data_` on that are mapped
    std::vector<Mapping> mappings_;  // those beside the segment's; the last one holds `data_`
};

// ---------------------------------------------------------------------------------------------

inline Status Memory::create(const char* directory, const char* name, SegmentSpec spec, Failure& why) {
    const uint64_t size = spec.geometry[0];
    spec.kind = kind_;
    spec.file_bytes = kDataAt;
    spec.object_bytes = os::kPage;
    spec.prepare_bytes = pages(size);
    spec.map_bytes = kDataAt + pages(size);
    spec.announce = true;
    spec.prepare = [](char* base, int fd, const SegmentSpec& self) -> int {
        auto state = reinterpret_cast<MemoryState*>(base + kObjectAt);
        state->size.store(self.geometry[0]);
        state->used.store(self.geometry[0]);
        return os::reserve(fd, kDataAt, pages(self.geometry[0]));
    };
    Status status = segment_.create(directory, name, spec, why);
    if (status != Status::ok) return status;
    state_ = reinterpret_cast<MemoryState*>(segment_.base() + kObjectAt);
    data_ = segment_.base() + kDataAt;
    size_ = size;
    covered_ = pages(size);
    return people_.join(segment_, why);
}

inline Status Memory::open(const char* directory, const char* name, Failure& why) {
    Status status = segment_.attach(directory, name, read_only_, why);
    // Another kind: the caller compares kinds and says so.
    if (status != Status::ok || segment_.header().kind != kind_ || segment_.header().file_bytes == kDataAt)
        return status;
    why.step = "reading the geometry";
    return Status::corrupted;
}

inline uint64_t Memory::close() noexcept {
    if (!segment_.attached()) return 0;
    // Of a file that somebody has cut off nothing is touched any more: this one leaves as the dead do.
    if (people_.self() && !people_.foreign() && os::file_bytes(segment_.fd()) >= kDataAt) people_.leave(true);
    for (const Mapping& mapping : mappings_) os::unmap(mapping.base, mapping.bytes);
    mappings_.clear();
    state_ = nullptr;
    detach();
    return 0;
}

inline Status Memory::ensure_joined(Failure& why) noexcept {
    if (state_ && (read_only_ || !people_.foreign())) return Status::ok;
    if (!state_) {
        Status status = map(why);
        if (status != Status::ok || read_only_) return status;
    }
    return people_.foreign() || !people_.self() ? people_.join(segment_, why) : Status::ok;
}

inline Status Memory::map(Failure& why) noexcept {
    // From the announcement in `map` on nobody gives back memory, unless he has stored a smaller size before,
    // which `check` then finds.
    if (int error = segment_.lost()) return blame(error, "opening again after a fork", why);
    const uint64_t bytes = segment_.file_bytes();  // which may have changed since: then `check` maps more
    Status status = segment_.base() ? Status::ok : segment_.map(bytes, true, why);
    if (status != Status::ok) return status;
    const os::FileFacts file = os::facts_of(segment_.fd());
    if (file.bytes < kDataAt) {
        why.step = "the file has been cut off";
        return Status::corrupted;
    }
    people_.bind(segment_);
    data_ = segment_.base() + kDataAt;
    covered_ = bytes - kDataAt;
    auto state = reinterpret_cast<MemoryState*>(segment_.base() + kObjectAt);
    const uint64_t size = state->size.load(std::memory_order_acquire);
    status = check(size, file, why);
    if (status == Status::ok) {
        size_ = size;
        state_ = state;
    }
    return status;
}

inline Status Memory::look(Failure& why) noexcept {
    const uint64_t size = state_->size.load(std::memory_order_acquire);
    if (size > size_)
        if (int error = segment_.lost()) return blame(error, "opening again after a fork", why);
    Status status = size > size_ ? check(size, os::facts_of(segment_.fd()), why) : Status::ok;
    if (status == Status::ok) size_ = size;
    return status;
}

// Whether so many bytes of data may be touched: they are in the file, memory stands behind them, and they are
// mapped. `file` may be older than the size.
inline Status Memory::check(uint64_t bytes, os::FileFacts file, Failure& why) noexcept {
    if (file.bytes < kDataAt + pages(bytes)) file = os::facts_of(segment_.fd());
    if (bytes > kMaxBytes || file.bytes < kDataAt + pages(bytes)) {
        why.step = "the file is shorter than its size says";
        return Status::corrupted;
    }
    // What the file system counts beside the data: header, a page of participants, state. If that is not
    // enough, it may count in another way, or a liar may have made the file: reserving finds out.
    if (file.reserved < 3 * os::kPage + pages(bytes))
        if (int error = os::reserve(segment_.fd(), kDataAt, pages(bytes))) {
            why.wanted = pages(bytes);
            why.available = os::free_bytes(segment_.fd());
            return blame(error, "reserving memory that its size promises", why);
        }
    return cover(bytes, why);
}

inline Status Memory::cover(uint64_t bytes, Failure& why) noexcept {
    if (bytes <= covered_) return Status::ok;
    // Twice as much as it was, mappings being kept: so they are few. What is beyond the file nobody touches.
    uint64_t most = bytes < 2 * covered_ ? 2 * covered_ : pages(bytes);
    void* base = os::map_apart(segment_.fd(), most, kDataAt, read_only_);
    if (!base && errno == ENOMEM) base = os::map_apart(segment_.fd(), most = pages(bytes), kDataAt, read_only_);
    if (!base) return blame(errno, "mapping the file", why);
    mappings_.push_back({static_cast<char*>(base), most});
    data_ = static_cast<char*>(base);
    covered_ = most;
    return Status::ok;
}

inline Status Memory::resize(uint64_t bytes, bool force, int64_t patience_ns, Failure& why) noexcept {
    if (bytes > kMaxBytes) return Status::too_large;
    // A dead owner leaves nothing to repair: its resize has happened, or has not.
    Status status = state_->resizing.lock(people_, patience_ns).status;
    if (status != Status::ok) return status;
    const uint64_t now = state_->size.load(std::memory_order_relaxed);
    if (bytes > now) {
        status = grow(now, bytes, why);
    } else if (bytes < now) {
        if (!force && segment_.is_mapped_elsewhere()) {
            status = Status::in_use;
        } else {
            state_->size.store(bytes, std::memory_order_release);
            WEFT_FAULT(memory_shrunk);
        }
    }
    if (status == Status::ok && bytes != now) state_->resizes.fetch_add(1, std::memory_order_relaxed);
    state_->resizing.unlock();
    return status;
}

inline Status Memory::grow(uint64_t from, uint64_t to, Failure& why) noexcept {
    const uint64_t first = from / os::kPage * os::kPage;
    if (int error = os::reserve(segment_.fd(), kDataAt + first, pages(to) - first)) {
        why.wanted = pages(to) - pages(from);
        why.available = os::free_bytes(segment_.fd());
        return blame(error, "reserving memory", why);
    }
    WEFT_FAULT(memory_reserved);
    // What a larger size once held is not to come back. Whoever was to do this and died has not stored the
    // size, and whoever grows next does it again.
    const uint64_t used = state_->used.load(std::memory_order_relaxed);
    if (used > from)
        if (int error = os::write_zeros(segment_.fd(), kDataAt + from, (used < to ? used : to) - from))
            return blame(error, "clearing memory", why);
    if (used < to) state_->used.store(to, std::memory_order_relaxed);
    WEFT_FAULT(memory_zeroed);
    state_->size.store(to, std::memory_order_release);
    WEFT_FAULT(memory_grown);
    return Status::ok;
}

inline void Memory::trim() noexcept {
    if (state_->resizing.lock(people_, kNow).status != Status::ok) return;  // somebody is growing it
    const uint64_t size = state_->size.load(std::memory_order_relaxed);
    // Who announces a mapping after this answer finds the size that was stored before it.
    if (size <= size_ && !segment_.is_mapped_elsewhere() && os::shrink(segment_.fd(), kDataAt + pages(size)) == 0) {
        WEFT_FAULT(memory_trimmed);
        if (state_->used.load(std::memory_order_relaxed) > pages(size))
            state_->used.store(pages(size), std::memory_order_relaxed);
        size_ = size;
    }
    state_->resizing.unlock();
}

}  // namespace weft
