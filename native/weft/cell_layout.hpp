// The cell's part of its segment.
//
//   kObjectAt            CellState
//   + 1 page             CellHold[kMaxHolds]    which buffers readers keep as they are
//   + 1 page             buffers                a CellBuffer each, and room for one value behind it
//
// A value is written into a buffer that nobody looks at, and becomes the cell's by one compare-and-swap of
// `latest`, version and buffer together. The buffer before it is then free for a later value. Buffers go
// round, so that a value that has been replaced stays as it is for some values more.
#pragma once

#include "event.hpp"

namespace weft {

inline constexpr uint32_t kCellKind = 4;

// Version in bits 12-63, the buffer it stands in in bits 0-11. Version 0: nothing has been set.
struct Latest {
    static constexpr int kBufferBits = 12;
    static constexpr uint64_t make(uint64_t version, uint32_t buffer) noexcept {
        return version << kBufferBits | buffer;
    }
    static constexpr uint64_t version(uint64_t latest) noexcept { return latest >> kBufferBits; }
    static constexpr uint32_t buffer(uint64_t latest) noexcept {
        return uint32_t(latest & ((1u << kBufferBits) - 1));
    }
};

enum class ValueKind : uint64_t { raw = 1, body = 2 };

// The head of a buffer; the value begins at the next multiple of 64.
struct alignas(64) CellBuffer {
    // Owner in bits 0-27: who writes it, or has written it and not let go of it yet; above, the number of
    // claims. Claimed by compare-and-swap, let go of by its owner; read by writers. A dead owner's is free,
    // unless the value is the latest.
    std::atomic<uint64_t> word;
    // Written by the owner, read by all: the version of the value that stands here in whole, 0 while it is
    // being written. No version is published from two buffers, or twice.
    std::atomic<uint64_t> version;
    // Written by the owner, read by all. A reader that is overtaken reads what makes no sense: it looks at
    // the version before it believes any of it.
    std::atomic<uint64_t> total;       // bytes of the value
    std::atomic<uint64_t> body_size;   // of which its encoded body
    std::atomic<ValueKind> kind;

    static constexpr uint64_t make(uint64_t claims, Owner owner) noexcept { return claims << kOwnerBits | owner; }
    static constexpr Owner owner(uint64_t word) noexcept { return word & kOwnerMask; }
    static constexpr uint64_t claims(uint64_t word) noexcept { return word >> kOwnerBits; }
};
static_assert(sizeof(CellBuffer) == 64);

// Owner in bits 32-59, and in bits 0-31 the buffer that it holds plus one; 0 is a free entry. Written by the
// owner alone once it has claimed it; a dead owner's is free.
struct CellHold {
    std::atomic<uint64_t> word;

    static constexpr uint64_t make(Owner owner, uint32_t buffer) noexcept {
        return uint64_t(owner) << 32 | (buffer + 1);
    }
    static constexpr Owner owner(uint64_t word) noexcept { return word >> 32 & kOwnerMask; }
    static constexpr uint32_t buffer(uint64_t word) noexcept { return uint32_t(word) - 1; }
};
inline constexpr uint32_t kMaxHolds = os::kPage / sizeof(CellHold);

struct CellState {
    // Replaced by any writer, read by all. sync: the compare-and-swap releases, and pairs with the readers'
    // acquire: who sees the version sees the value in its buffer.
    alignas(64) std::atomic<uint64_t> latest;

    alignas(64) std::atomic<uint32_t> rover;      // where the next writer looks for a buffer first; any value will do

    // Looked at by each writer, changed seldom.
    alignas(64) Event changed;
    std::atomic<uint32_t> reserved;   // buffers with memory; any writer raises it, after reserving
    std::atomic<uint32_t> hold_end;   // holds from here on have never been used; any reader raises it
};
static_assert(sizeof(CellState) <= os::kPage);

// Where things stand for a given size. Computed from the geometry by everybody for himself.
struct CellGeometry {
    uint64_t size;     // bytes of the largest value
    uint64_t stride;   // bytes from one buffer to the next
    uint32_t buffers;  // at most: one for each that writes or is held, and one more
    uint32_t first;    // buffers reserved at creation

    static constexpr uint64_t kHoldsAt = kObjectAt + os::kPage;
    static constexpr uint64_t kBuffersAt = kHoldsAt + os::kPage;
    // Larger values are read under a hold: to copy them twice would cost more than the hold.
    static constexpr uint64_t kCopied = 4096;
    // Of values that are copied enough for a reader to be done before writers have gone round.
    static constexpr uint32_t kFirstSmall = 16, kFirstLarge = 4;
    static constexpr uint32_t kMinBuffers = 32, kMaxBuffers = 2048;
    static constexpr uint64_t kMaxSize = uint64_t(1) << 36;
    static constexpr uint64_t kRoomBytes = uint64_t(1) << 32;  // of address space, unless kMinBuffers need more

    static CellGeometry of(const uint64_t (&words)[kGeometryWords]) noexcept {
        CellGeometry g{words[0], 0, 0, words[0] <= kCopied ? kFirstSmall : kFirstLarge};
        if (!g.is_sane()) return g;
        g.stride = sizeof(CellBuffer) + (g.size + 63) / 64 * 64;
        const uint64_t fit = kRoomBytes / g.stride;
        g.buffers = uint32_t(fit < kMinBuffers ? kMinBuffers : fit > kMaxBuffers ? kMaxBuffers : fit);
        return g;
    }
    bool is_sane() const noexcept { return size >= 1 && size <= kMaxSize; }
    uint64_t file_bytes() const noexcept {
        return (kBuffersAt + buffers * stride + os::kPage - 1) / os::kPage * os::kPage;
    }
};
static_assert(CellGeometry::kMaxBuffers <= 1u << Latest::kBufferBits);

// Copies into shared memory that others may be reading, and out of shared memory that others may be writing:
// word by word, each at once. `to`, or `from`, is a multiple of 8, with room up to the next one.
inline void store_words(char* to, const char* from, uint64_t bytes) noexcept {
    auto words = reinterpret_cast<uint64_t*>(to);
    uint64_t word, i = 0;
    for (; i + 8 <= bytes; i += 8) {
        memcpy(&word, from + i, 8);
        std::atomic_ref(words[i / 8]).store(word, std::memory_order_relaxed);
    }
    if (i == bytes) return;
    word = 0;
    memcpy(&word, from + i, bytes - i);
    std::atomic_ref(words[i / 8]).store(word, std::memory_order_relaxed);
}

inline void load_words(char* to, const char* from, uint64_t bytes) noexcept {
    auto words = reinterpret_cast<uint64_t*>(const_cast<char*>(from));
    uint64_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word = std::atomic_ref(words[i / 8]).load(std::memory_order_relaxed);
        memcpy(to + i, &word, 8);
    }
    if (i == bytes) return;
    uint64_t word = std::atomic_ref(words[i / 8]).load(std::memory_order_relaxed);
    memcpy(to + i, &word, bytes - i);
}

}  // namespace weft
