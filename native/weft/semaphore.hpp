// A semaphore whose permits have owners.
//
// The truth is what each participant owns, and the surplus; the value is what follows from them:
//     value = size + surplus - (the sum of what all own)
// Each operation changes the truth by one store, between taking the word by a compare-and-swap and storing
// the new value. Whoever finds the word's owner dead takes it over and computes the value anew: whichever
// side of its one store it died on, permits and value agree.
//
// Who is to sleep says so in the word, under it, so that a release that meets nobody is one compare-and-swap
// and one store. That flag is taken back by a release that finds nobody asleep.
//
// A release by a participant that owns nothing is charged to the one that has owned for longest; when nobody
// owns anything it is a surplus, which later acquisitions use up without owning. What a dead participant
// owned goes back to the value: by one store too.
#pragma once

#include "arena.hpp"

namespace weft {

class SemaphoreView {
public:
    static constexpr uint32_t kMostPermits = 0x7fffffff;

    SemaphoreView() noexcept = default;
    SemaphoreView(Arena& arena, Record& record) noexcept
        : arena_(&arena), record_(&record), most_(record.sort == Sort::bounded ? record.size : kMostPermits) {}

    // After joining anew: where this participant's share stands.
    [[gnu::always_inline]] void refresh() noexcept {
        if (const Owner now = arena_->people().self(); self_ != now) {
            self_ = now;
            share_ = &arena_->my_share(*record_);
        }
    }

    // `empty` if there is no permit; `busy` if somebody is at work at the word.
    [[gnu::always_inline]] Status try_acquire() noexcept {
        refresh();
        uint64_t seen = record_->word.load(std::memory_order_relaxed);
        if (owner(seen)) return Status::busy;
        if (!value(seen)) return Status::empty;
        // sync: acquire pairs with leave's release: what the last one changed is seen.
        if (!record_->word.compare_exchange_strong(seen, seen | mine(), std::memory_order_acquire,
                                                   std::memory_order_relaxed))
            return owner(seen) ? Status::busy : Status::empty;
        WEFT_FAULT(permit_entered);
        const uint32_t back = take_one();
        WEFT_FAULT(permit_moved);
        record_->word.store(seen - 1 + back, std::memory_order_release);
        bump(record_->acquisitions);
        return Status::ok;
    }

    // Waits for the word, not for a permit.
    Status acquire_patiently(int64_t deadline_ns) noexcept {
        uint64_t word = 0;
        Status status = enter(word, deadline_ns);
        if (status != Status::ok) return status;
        if (!value(word)) {
            leave(word);
            return Status::empty;
        }
        const uint32_t back = take_one();
        leave(word - 1 + back);
        record_->acquisitions.fetch_add(1, std::memory_order_relaxed);
        return Status::ok;
    }

    // `beyond`: with so many more, more would be out than there can be. Nothing has changed then.
    [[gnu::always_inline]] Status release(uint32_t count, int64_t deadline_ns) noexcept {
        refresh();
        uint64_t word = record_->word.load(std::memory_order_relaxed);
        if (owner(word) || !record_->word.compare_exchange_strong(word, word | mine(), std::memory_order_acquire,
                                                                  std::memory_order_relaxed))
            if (Status status = enter(word, deadline_ns); status != Status::ok) return status;
        WEFT_FAULT(permit_entered);
        if (uint64_t(value(word)) + count > most_) {
            leave(word);
            return Status::beyond;
        }
        for (uint32_t left = count; left;) {
            left -= give(left);
            WEFT_FAULT(permit_moved);
        }
        leave(word + count);
        WEFT_FAULT(permit_left);
        if (word & kAsleep) wake(count);
        return Status::ok;
    }

    void count_contended() noexcept { record_->contended.fetch_add(1, std::memory_order_relaxed); }
    void arm_bell() noexcept {
        record_->changed.announce_bell();
        flag_sleeper(os::now_ns() + Event::kWatchfulTickNs);
    }
    uint32_t value_now() const noexcept { return value(record_->word.load(std::memory_order_acquire)); }
    bool is_worth_a_try() const noexcept { return value_now() != 0; }

    // Sees to permits of the dead; whether any came back.
    bool look_after_dead(int64_t deadline_ns) noexcept {
        bool any = owner(record_->word.load(std::memory_order_relaxed)) != 0;
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, auto&) {
            any = any || !arena_->people().is_alive(Share::owner(word, slot));
        });
        uint64_t word = 0;
        if (!any || enter(word, deadline_ns) != Status::ok) return false;
        const uint32_t back = settle_dead();
        leave(word + back);
        if (back && word & kAsleep) wake(back);
        return back != 0;
    }

    // What this participant owns comes back.
    void give_up_all(int64_t deadline_ns) noexcept {
        uint64_t word = 0;
        if (!Share::count(arena_->my_share(*record_).load()) || enter(word, deadline_ns) != Status::ok) return;
        const uint64_t share = arena_->my_share(*record_).load(std::memory_order_relaxed);
        uint32_t count = 0;
        if (Share::generation(share) == owner_generation(arena_->people().self())) {
            count = Share::count(share);
            arena_->my_share(*record_).store(0, std::memory_order_release);
        }
        leave(word + count);
        if (count && word & kAsleep) wake(count);
    }

    // One sleep, or spin, until there may be a permit.
    Status wait(Patience& patience, int64_t deadline_ns, Waiting mode) noexcept {
        if (patience.spin(deadline_ns, mode, [this] { return value_now() != 0; })) return Status::ok;
        uint32_t announced = record_->changed.announce_sleeper();
        if (!flag_sleeper(deadline_ns)) return Status::ok;
        bool unwoken = false;
        Status status = patience.sleep(record_->changed, announced, arena_->sleepers(), deadline_ns, Event::kWatchfulTickNs,
                                       mode, unwoken);
        if (unwoken) look_after_dead(os::now_ns() + Event::kWatchfulTickNs);
        return status;
    }

private:
    static constexpr Owner owner(uint64_t word) noexcept { return word >> 32 & kOwnerMask; }
    static constexpr uint32_t value(uint64_t word) noexcept { return uint32_t(word); }
    uint64_t mine() const noexcept { return uint64_t(self_) << 32; }

    // In the word, beside owner and value: somebody may be asleep, or listen for the bell.
    static constexpr uint64_t kAsleep = uint64_t(1) << 63;

    static void bump(std::atomic<uint64_t>& counter) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    // Makes the word this participant's; `word` is the value alone.
    Status enter(uint64_t& word, int64_t deadline_ns) noexcept {
        refresh();
        int64_t next_check = 0;
        for (int spins = 0;; ++spins) {
            word = record_->word.load(std::memory_order_relaxed);
            if (!owner(word)) {
                if (record_->word.compare_exchange_weak(word, word | mine(), std::memory_order_acquire,
                                                        std::memory_order_relaxed))
                    return Status::ok;
                continue;
            }
            relax_cpu();
            if (spins < 100) continue;
            const int64_t now = os::now_ns();
            if (next_check == 0) next_check = now + 1'000'000;
            if (now >= next_check) {
                if (!arena_->people().is_alive(owner(word))) {
                    if (!record_->word.compare_exchange_strong(word, mine() | (word & kAsleep) | value(word),
                                                               std::memory_order_acquire))
                        continue;
                    word = recount() | kAsleep;  // it may have been about to wake somebody
                    return Status::ok;
                }
                next_check = now + RobustLock::kOwnerCheckNs;
            }
            if (now >= deadline_ns) return Status::busy;
            // It holds the word for some nanoseconds, unless it has lost its core or is stopped.
            if (spins < 1000) os::yield_core();
            else os::sleep_ns(200'000);
        }
    }

    // sync: release pairs with the acquire of whoever enters next. `word` is value and flag.
    void leave(uint64_t word) noexcept { record_->word.store(word, std::memory_order_release); }

    // False if there is a permit: then there is nothing to sleep for. Who cannot enter sleeps for a tick.
    bool flag_sleeper(int64_t deadline_ns) noexcept {
        uint64_t word = 0;
        if (enter(word, deadline_ns) != Status::ok) return true;
        leave(value(word) ? word : word | kAsleep);
        return !value(word);
    }

    [[gnu::noinline]] void wake(uint32_t count) noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        arena_->notify_event(record_->changed, int(count));
        uint64_t word = 0;
        if (!record_->changed.is_quiet() || enter(word, 0) != Status::ok) return;
        // A sleeper announces itself before it flags: what is quiet under the word has no flag to lose.
        leave(record_->changed.is_quiet() ? word & ~kAsleep : word);
    }

    // The value that follows from what all own: at every moment somebody's one store is the whole change.
    uint64_t recount() noexcept {
        int64_t value = int64_t(record_->size) + record_->surplus.load(std::memory_order_relaxed);
        arena_->each_share(*record_, [&](uint32_t, uint64_t word, auto&) { value -= Share::count(word); });
        return uint64_t(value < 0 ? 0 : value > kMostPermits ? kMostPermits : value);
    }

    // The permit becomes this participant's, or comes out of the surplus. How many came back from a dead
    // participant that had this one's place before.
    uint32_t take_one() noexcept {
        const int64_t surplus = record_->surplus.load(std::memory_order_relaxed);
        auto& share = *share_;
        const uint64_t word = share.load(std::memory_order_relaxed);
        const Owner self = self_;
        // More than a share can count is nobody's.
        if (surplus > 0 || Share::count(word) == Share::kMost) {
            record_->surplus.store(surplus - 1, std::memory_order_release);
            return 0;
        }
        const bool is_mine = Share::generation(word) == owner_generation(self);
        if (Share::count(word) && is_mine) {
            share.store(word + 1, std::memory_order_release);
            return 0;
        }
        const uint32_t stamp = record_->stamps.load(std::memory_order_relaxed) + 1;
        record_->stamps.store(stamp, std::memory_order_relaxed);
        share.store(Share::make(self, 1, stamp), std::memory_order_release);
        return Share::count(word);
    }

    // Takes up to `count` from one owner, by one store, or adds them to the surplus.
    uint32_t give(uint32_t count) noexcept {
        std::atomic<uint64_t>* from = nullptr;
        uint64_t word = share_->load(std::memory_order_relaxed);
        if (Share::count(word)) {
            from = share_;
        } else {
            const uint32_t now = record_->stamps.load(std::memory_order_relaxed);
            arena_->each_share(*record_, [&](uint32_t, uint64_t other, auto& place) {
                if (from && now - Share::stamp(other) <= now - Share::stamp(word)) return;
                from = &place;
                word = other;
            });
        }
        if (!from) {
            record_->surplus.store(record_->surplus.load(std::memory_order_relaxed) + count, std::memory_order_release);
            return count;
        }
        if (count > Share::count(word)) count = Share::count(word);
        from->store(word - count, std::memory_order_release);
        return count;
    }

    // Takes from the dead what they owned; how many permits came back. Each by one store.
    uint32_t settle_dead() noexcept {
        uint32_t back = 0;
        arena_->each_share(*record_, [&](uint32_t slot, uint64_t word, auto& place) {
            if (arena_->people().is_alive(Share::owner(word, slot))) return;
            place.store(0, std::memory_order_release);
            WEFT_FAULT(permit_settled);
            back += Share::count(word);
            record_->owner_deaths.fetch_add(1, std::memory_order_relaxed);
        });
        return back;
    }

    Arena* arena_ = nullptr;
    Record* record_ = nullptr;
    uint64_t most_ = 0;
    Owner self_ = 0;
    std::atomic<uint64_t>* share_ = nullptr;
};

}  // namespace weft
