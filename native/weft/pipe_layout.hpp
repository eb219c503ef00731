// A pipe's part of its segment: who has which end, and a queue for each direction.
//
//   kObjectAt            PipeState
//   + 1 page             Holder[kMaxSlots]      by participant: which end it has
//   + 1 page             a queue                from end 0 to end 1; where only end 1 sends, from end 1 to end 0
//   + its bytes          a queue                from end 1 to end 0
#pragma once

#include "queue_layout.hpp"

namespace weft {

inline constexpr uint32_t kPipeKind = 6;

// What a participant has to do with an end. Written by the participant, or for a child that is about to be forked
// by its parent, and read by all; it means nothing once the owner is gone, but for what it tells of a death.
struct Holder {
    static constexpr uint32_t kUsed = 1u << 28;  // it has used the end, and does not merely have it
    static constexpr int kEndShift = 29;
    static constexpr uint32_t kHeir = 1u << 30;  // it has the end because it was forked, and has not used it
    std::atomic<uint32_t> word;  // Owner in bits 0-27; 0 nobody

    static constexpr uint32_t make(Owner owner, int end, uint32_t flags) noexcept {
        return owner | uint32_t(end) << kEndShift | flags;
    }
    static constexpr Owner owner(uint32_t word) noexcept { return word & kOwnerMask; }
    static constexpr int end(uint32_t word) noexcept { return word >> kEndShift & 1; }
    static constexpr bool is_used(uint32_t word) noexcept { return word & kUsed; }
    static constexpr bool is_heir(uint32_t word) noexcept { return word & kHeir; }
};
static_assert(sizeof(Holder) == 4 && kMaxSlots * sizeof(Holder) == os::kPage);

// Who took an end's place, for display; written under the door's lock.
struct PlaceTaken {
    uint32_t pid;
    uint32_t reserved;
    int64_t since_ns;  // wall clock
    char command[48];
};

struct PipeState {
    RobustLock door;                 // under it places are taken, and a new conversation begins
    // Bits 0 and 1: that end's place is taken, and stays so until the next conversation, whose number is above.
    // Written under the door's lock, read by all. sync: release pairs with acquire: who sees a place taken sees
    // its holder.
    std::atomic<uint32_t> places;
    // Bits 0 and 1: who used that end has died, and its slot is another's now; 2 and 3: who used it has closed it.
    std::atomic<uint32_t> died;
    std::atomic<uint32_t> arrivals;  // counts those who came to an end; anybody adds
    Event changed;                   // a place has been taken
    PlaceTaken taken[2];

    static constexpr uint32_t kBoth = 3;
    static constexpr int kNumberShift = 8;
};
static_assert(sizeof(PipeState) <= os::kPage);

// What stands before the bytes of each part of a message that goes in parts; a copy of it is checked.
struct PartHead {
    uint64_t total;      // bytes of the whole message
    uint64_t body_size;  // of which its encoded body
    uint64_t offset;     // of this part
    uint64_t number;     // the message's: another for each that goes in parts
    uint64_t reserved[4];
};
static_assert(sizeof(PartHead) == 64);

struct PipeGeometry {
    QueueGeometry queue;   // of each direction
    uint64_t directions;   // 2; or 1: end 1 sends, end 0 receives

    static constexpr uint64_t kHoldersAt = kObjectAt + os::kPage;
    static constexpr uint64_t kQueuesAt = kHoldersAt + os::kPage;
    uint64_t queue_at(uint64_t which) const noexcept { return kQueuesAt + which * queue.bytes(); }
    uint64_t file_bytes() const noexcept { return queue_at(directions); }

    static PipeGeometry of(const uint64_t (&words)[kGeometryWords]) noexcept {
        return {QueueGeometry::of(words), words[4]};
    }
    bool is_sane() const noexcept {
        return queue.is_sane() && queue.limit == 0 && queue.max_deliveries == 0 && (directions == 1 || directions == 2);
    }
};

}  // namespace weft
