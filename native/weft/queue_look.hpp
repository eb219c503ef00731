// What a queue's memory tells to who looks from outside.
#pragma once

#include <map>
#include <new>

#include "look.hpp"
#include "queue_layout.hpp"

namespace weft {

class QueueLook {
public:
    // False: the segment is no sane queue, or has been cut off meanwhile.
    bool read(const Look& look) noexcept {
        const uint32_t kind = look.header().kind;
        const QueueGeometry geometry = QueueGeometry::of(look.header().geometry, kind);
        return (kind == kQueueKind || kind == kMessageQueueKind) && geometry.is_sane() &&
               kObjectAt + geometry.bytes() == look.header().file_bytes && read_at(look, kObjectAt, geometry);
    }

    // A queue that stands there, in a segment of that size by its header.
    bool read_at(const Look& look, uint64_t at, const QueueGeometry& geometry) noexcept {
        look_ = &look;
        at_ = at;
        geometry_ = geometry;
        // Two copies, since each is made from front to back while the queue goes on: a head read before the
        // tail is never ahead of it.
        return look.header().file_bytes == look.file_bytes() && look.read(first_, at, sizeof first_) &&
               look.read(second_, at, sizeof second_);
    }

    const QueueState& state() const noexcept { return *std::launder(reinterpret_cast<const QueueState*>(second_)); }
    const QueueGeometry& geometry() const noexcept { return geometry_; }
    uint64_t reserved_units() const noexcept {
        const uint64_t claimed = state().pool.reserved.load(std::memory_order_relaxed);
        return claimed < geometry_.units ? claimed : geometry_.units;
    }

    uint64_t depth() const noexcept {
        if (state().shut.load(std::memory_order_relaxed) == 2) return 0;
        const auto* before = std::launder(reinterpret_cast<const QueueState*>(first_));
        const uint64_t head = before->head.load(std::memory_order_relaxed);
        return Mark::between(head, state().tail.load(std::memory_order_relaxed)) +
               state().returned.load(std::memory_order_relaxed);
    }

    // What somebody has of the queue: leases out, and bytes of memory that are being written or looked at.
    struct Holder {
        uint64_t leases, held_bytes, loaned_bytes;
    };

    // All who have anything, the dead included, and the bytes of messages that came back. What does not hold
    // together in a queue at work is left out.
    std::map<Owner, Holder> holders(uint64_t& returned_bytes) const {
        std::map<Owner, Holder> found;
        returned_bytes = 0;
        each_lease([&](Owner owner, LeaseState now, uint64_t place) {
            if (now == LeaseState::leased) ++found[owner].leases;
            if (now == LeaseState::returned) returned_bytes += bytes_at(place);
        });
        each_owned([&](Owner owner, Run run, uint64_t units) {
            (run == Run::held ? found[owner].held_bytes : found[owner].loaned_bytes) += units * Pool::kUnitBytes;
        });
        return found;
    }

private:
    template <class Visit>
    void each_lease(Visit visit) const {
        constexpr uint32_t kAtATime = os::kPage / sizeof(Lease);
        const uint32_t end = state().lease_end.load(std::memory_order_relaxed);
        char table[os::kPage];
        for (uint32_t i = 0; i < end && i < kMaxLeases; ++i) {
            if (i % kAtATime == 0 &&
                !look_->read(table, at_ + QueueGeometry::kLeasesAt + i * sizeof(Lease), sizeof table))
                return;
            uint64_t word, place;
            memcpy(&word, table + i % kAtATime * sizeof(Lease) + offsetof(Lease, word), sizeof word);
            memcpy(&place, table + i % kAtATime * sizeof(Lease) + offsetof(Lease, place), sizeof place);
            visit(Lease::owner(word), Lease::state(word), place);
        }
    }

    // Runs of pages that somebody owns. Messages that wait are nobody's.
    template <class Visit>
    void each_owned(Visit visit) const {
        constexpr uint64_t kAtATime = os::kPage / sizeof(Unit);
        const uint64_t end = reserved_units(), sent = state().sent;
        char table[os::kPage];
        uint64_t page = ~uint64_t(0);
        for (uint64_t unit = 0; unit < end;) {
            if (unit / kAtATime != page) {
                page = unit / kAtATime;
                if (!look_->read(table, at_ + QueueGeometry::kTableAt + page * sizeof table, sizeof table)) return;
            }
            uint64_t word, ticket;
            memcpy(&word, table + unit % kAtATime * sizeof(Unit) + offsetof(Unit, word), sizeof word);
            memcpy(&ticket, table + unit % kAtATime * sizeof(Unit) + offsetof(Unit, ticket), sizeof ticket);
            const uint64_t units = Unit::units(word);
            const Run run = Unit::run(word);
            if (units == 0 || unit + units > end) return;
            if (run == Run::held || (run == Run::loaned && ticket >= sent)) visit(Unit::owner(word), run, units);
            unit += units;
        }
    }

    uint64_t bytes_at(uint64_t place) const noexcept {
        RecordHeader header;
        BlockRecord block;
        const uint64_t at = at_ + geometry_.units_at() + place;
        if (place >= geometry_.units * Pool::kUnitBytes || !look_->read(&header, at, sizeof header)) return 0;
        if (header.kind != RecordKind::block) return header.size;
        return look_->read(&block, at + sizeof header, sizeof block) ? block.total : 0;
    }

    const Look* look_ = nullptr;
    uint64_t at_ = 0;
    QueueGeometry geometry_{};
    alignas(QueueState) char first_[sizeof(QueueState)];
    alignas(QueueState) char second_[sizeof(QueueState)];
};

}  // namespace weft
