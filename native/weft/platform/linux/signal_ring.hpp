// Where a signal handler leaves what the kernel told it, for the thread that will act on it.
//
// A bounded ring with many writers and one reader (Vyukov's bounded queue). Writers are signal handlers, in
// whatever thread the signal came to, with all signals blocked; the reader may be interrupted by any of them at
// any point, and none waits for another. A writer that was preempted half-way hides what came after it until it
// goes on: it wakes the reader when it has written, so nothing is left behind.
#pragma once

#include <atomic>
#include <cstdint>

namespace weft::os {

// What is kept of a siginfo_t.
struct SignalRecord {
    int32_t number;
    int32_t code;
    int32_t pid;    // where the code says that somebody sent it, else 0
    uint32_t uid;
    int64_t value;
    int32_t overrun;  // of a timer: expirations since the last signal
};

class SignalRing {
public:
    // `size` is a power of two, and `cells` are zeroed.
    struct Cell {
        std::atomic<uint32_t> turn;  // written by writers: position + 1 when filled; by the reader: position + size
        SignalRecord record;
    };

    void use(Cell* cells, uint32_t size) noexcept {
        cells_ = cells;
        size_ = size;
        clear();
    }

    // For one thread alone: at set-up, and in a forked child, to which no signal of its parent belongs.
    void clear() noexcept {
        in_.store(0, std::memory_order_relaxed);
        out_.store(0, std::memory_order_relaxed);
        missed_.store(0, std::memory_order_relaxed);
        for (uint32_t i = 0; i < size_; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }

    // Whether there is still plenty of room afterwards. Without any the record is only counted.
    bool push(const SignalRecord& record) noexcept {
        uint32_t at = in_.load(std::memory_order_relaxed);
        for (;;) {
            Cell& cell = cells_[at & (size_ - 1)];
            const int32_t ahead = int32_t(cell.turn.load(std::memory_order_acquire) - at);  // sync: pop
            if (ahead == 0) {
                if (in_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                    cell.record = record;
                    cell.turn.store(at + 1, std::memory_order_release);  // sync: front
                    return at + 1 - out_.load(std::memory_order_relaxed) < size_ - size_ / 4;
                }
            } else if (ahead < 0) {
                missed_.fetch_add(1, std::memory_order_relaxed);
                return false;
            } else {
                at = in_.load(std::memory_order_relaxed);
            }
        }
    }

    // The oldest record, or null. It stays valid until `pop`.
    const SignalRecord* front() const noexcept {
        const uint32_t at = out_.load(std::memory_order_relaxed);
        const Cell& cell = cells_[at & (size_ - 1)];
        return cell.turn.load(std::memory_order_acquire) == at + 1 ? &cell.record : nullptr;  // sync: push
    }

    void pop() noexcept {
        const uint32_t at = out_.load(std::memory_order_relaxed);
        out_.store(at + 1, std::memory_order_relaxed);
        cells_[at & (size_ - 1)].turn.store(at + size_, std::memory_order_release);  // sync: push
    }

    // Records that found no room, since this was last asked.
    uint32_t take_missed() noexcept {
        return missed_.load(std::memory_order_relaxed) ? missed_.exchange(0, std::memory_order_relaxed) : 0;
    }

private:
    Cell* cells_ = nullptr;
    uint32_t size_ = 0;
    std::atomic<uint32_t> in_{0};      // written by writers
    std::atomic<uint32_t> out_{0};     // written by the reader
    std::atomic<uint32_t> missed_{0};  // written by both
};

}  // namespace weft::os
