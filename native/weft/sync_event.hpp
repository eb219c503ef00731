// A user's event: one word, of which bit 0 is the flag and the rest counts how often it has been set. Who
// waits has been let go if the flag is up, or if it has been set since, though cleared again.
#pragma once

#include "arena.hpp"

namespace weft {

class EventView {
public:
    EventView() noexcept = default;
    EventView(Arena& arena, Record& record) noexcept : arena_(&arena), record_(&record) {}

    bool is_set() const noexcept { return record_->word.load(std::memory_order_acquire) & kFlag; }
    // What a waiter remembers.
    uint64_t count() const noexcept { return record_->word.load(std::memory_order_acquire) & ~kFlag; }
    bool is_over(uint64_t since) const noexcept {
        const uint64_t word = record_->word.load(std::memory_order_acquire);
        return word & kFlag || word != since;
    }

    // sync: release pairs with the acquire of whoever sees the flag.
    void set() noexcept {
        uint64_t seen = record_->word.load(std::memory_order_relaxed);
        do if (seen & kFlag) return;
        while (!record_->word.compare_exchange_weak(seen, (seen + kStep) | kFlag, std::memory_order_seq_cst));
        WEFT_FAULT(event_set);
        arena_->notify_event(record_->changed, INT32_MAX);
    }
    void clear() noexcept { record_->word.fetch_and(~kFlag, std::memory_order_seq_cst); }

    Status wait(Patience& patience, uint64_t since, int64_t deadline_ns, Waiting mode) noexcept {
        auto ready = [&] { return is_over(since); };
        if (patience.spin(deadline_ns, mode, ready)) return Status::ok;
        uint32_t announced = record_->changed.announce_sleeper();
        if (ready()) return Status::ok;
        bool unwoken;
        return patience.sleep(record_->changed, announced, arena_->sleepers(), deadline_ns, Event::kTickNs, mode, unwoken);
    }
    void arm_bell() noexcept { record_->changed.announce_bell(); }

private:
    static constexpr uint64_t kFlag = 1, kStep = 2;

    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
};

}  // namespace weft
