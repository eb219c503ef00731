// What a cell's memory tells to who looks from outside.
#pragma once

#include <map>
#include <new>

#include "cell_layout.hpp"
#include "look.hpp"

namespace weft {

class CellLook {
public:
    // False: the segment is no sane cell, or has been cut off meanwhile.
    bool read(const Look& look) noexcept {
        geometry_ = CellGeometry::of(look.header().geometry);
        return look.header().kind == kCellKind && geometry_.is_sane() &&
               geometry_.file_bytes() == look.header().file_bytes && geometry_.file_bytes() == look.file_bytes() &&
               look.read(state_, kObjectAt, sizeof state_) && look.read(holds_, CellGeometry::kHoldsAt, sizeof holds_);
    }

    const CellGeometry& geometry() const noexcept { return geometry_; }
    uint64_t version() const noexcept { return Latest::version(state().latest.load(std::memory_order_relaxed)); }
    uint32_t buffers() const noexcept {
        const uint32_t claimed = state().reserved.load(std::memory_order_relaxed);
        return claimed < geometry_.buffers ? claimed : geometry_.buffers;
    }

    // How many values each participant keeps as they are, the dead included.
    std::map<Owner, uint64_t> holders() const {
        std::map<Owner, uint64_t> found;
        for (uint32_t i = 0; i < kMaxHolds; ++i) {
            uint64_t word;
            memcpy(&word, holds_ + i * sizeof(CellHold), sizeof word);
            if (word) ++found[CellHold::owner(word)];
        }
        return found;
    }

private:
    const CellState& state() const noexcept { return *std::launder(reinterpret_cast<const CellState*>(state_)); }

    CellGeometry geometry_{};
    alignas(CellState) char state_[sizeof(CellState)];
    char holds_[kMaxHolds * sizeof(CellHold)];
};

}  // namespace weft
