// The ring between a signal handler and the thread that acts: many writers, one reader, nothing lost unseen.
#include <thread>
#include <vector>

#include "harness.hpp"
#include "weft/platform/linux/signal_ring.hpp"

using weft::os::SignalRecord;
using weft::os::SignalRing;

namespace {

struct Ring {
    static constexpr uint32_t kSize = 64;
    SignalRing::Cell cells[kSize] = {};
    SignalRing ring;
    Ring() { ring.use(cells, kSize); }
};

}  // namespace

TEST(what_is_pushed_comes_out_in_order) {
    Ring it;
    for (int turn = 0; turn < 10; ++turn) {
        for (int i = 0; i < 20; ++i) it.ring.push({10, -1, 1, 2, turn * 20 + i, 0});
        for (int i = 0; i < 20; ++i) {
            const SignalRecord* record = it.ring.front();
            CHECK(record && record->value == turn * 20 + i && record->number == 10);
            it.ring.pop();
        }
        CHECK(!it.ring.front());
    }
    CHECK(it.ring.take_missed() == 0);
}

TEST(what_finds_no_room_is_counted_once) {
    Ring it;
    bool plenty = true;
    for (uint32_t i = 0; i < Ring::kSize; ++i) plenty = it.ring.push({10, 0, 0, 0, int64_t(i), 0}) && plenty;
    CHECK(!plenty);  // told before it is full
    for (int i = 0; i < 5; ++i) CHECK(!it.ring.push({10, 0, 0, 0, 99, 0}));
    CHECK(it.ring.take_missed() == 5);
    CHECK(it.ring.take_missed() == 0);
    for (uint32_t i = 0; i < Ring::kSize; ++i) {
        CHECK(it.ring.front() && it.ring.front()->value == int64_t(i));
        it.ring.pop();
    }
    CHECK(!it.ring.front());
}

TEST(a_cleared_ring_is_empty) {
    Ring it;
    it.ring.push({10, 0, 0, 0, 1, 0});
    it.ring.clear();
    CHECK(!it.ring.front());
    it.ring.push({10, 0, 0, 0, 2, 0});
    CHECK(it.ring.front() && it.ring.front()->value == 2);
}

TEST(many_writers_and_a_reader) {
    constexpr int kWriters = 3, kEach = 20'000;
    Ring it;
    std::atomic<int> at_work{kWriters};
    std::vector<std::thread> writers;
    for (int w = 0; w < kWriters; ++w)
        writers.emplace_back([&, w] {
            for (int i = 0; i < kEach; ++i) it.ring.push({w, 0, 0, 0, i, 0});
            at_work.fetch_sub(1, std::memory_order_release);
        });
    int64_t last[kWriters] = {-1, -1, -1};
    uint64_t seen = 0, missed = 0;
    bool ordered = true;
    for (bool over = false; !over;) {
        over = at_work.load(std::memory_order_acquire) == 0;
        while (const SignalRecord* record = it.ring.front()) {
            ordered = ordered && record->value > last[record->number];
            last[record->number] = record->value;
            it.ring.pop();
            ++seen;
        }
        missed += it.ring.take_missed();
        std::this_thread::yield();
    }
    for (auto& writer : writers) writer.join();
    CHECK(ordered);
    CHECK(seen + missed == uint64_t(kWriters) * kEach);
}
