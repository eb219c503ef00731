// RWLock's gate and counts (sync_rwlock.hpp), every interleaving of two readers and a writer that may die.
//
//   count       try_read(): `mine.fetch_add(1)`
//   look        try_read(): the look at `gate`
//   back        try_read(): end_read() of one that met a closed gate
//   reads       inside
//   leave       end_read()
//   close       close_gate(): the store of `gate`
//   scan        close_gate(): has_readers(), which passes over the dead
//   writes      inside; leaving it is open_gate()
#include "harness.hpp"
#include "model.hpp"

namespace {

enum class At : uint8_t { count, look, back, wait, reads, leave, close, scan, writes, open, done, dead };
constexpr int kReaders = 2, kAll = kReaders + 1, kWriter = kReaders;

struct RwModel {
    uint8_t deaths = 0;
    bool look_before_counting = false;
    bool scan_before_closing = false;
    bool wait_for_the_dead = false;

    struct Actor {
        At at;
        uint8_t rounds;
    };
    struct State {
        uint8_t gate, died, marked;
        uint8_t counts[kReaders];
        Actor actors[kAll];
    };

    State start() const {
        State state{};
        for (int i = 0; i < kAll; ++i) state.actors[i] = {first(i), 2};
        return state;
    }
    At first(int i) const {
        if (i == kWriter) return scan_before_closing ? At::scan : At::close;
        return look_before_counting ? At::look : At::count;
    }

    bool has_readers(const State& state) const {
        for (int i = 0; i < kReaders; ++i)
            if (state.counts[i] && (wait_for_the_dead || state.actors[i].at != At::dead)) return true;
        return false;
    }

    template <class Emit>
    void each_step(const State& state, Emit emit) const {
        for (int i = 0; i < kAll; ++i) {
            const At at = state.actors[i].at;
            if (at == At::done || at == At::dead) continue;
            step(state, i, emit);
            if (state.died < deaths) {
                State next = state;
                ++next.died;
                next.actors[i].at = At::dead;
                if (i == kWriter && state.gate) next.marked = 1;
                emit("dies", next);
            }
        }
    }

    template <class Emit>
    void step(const State& state, int i, Emit emit) const {
        State next = state;
        Actor& actor = next.actors[i];
        auto go = [&](const char* words, At to) {
            actor.at = to;
            emit(words, next);
        };
        auto end = [&](const char* words) { go(words, --actor.rounds ? first(i) : At::done); };
        switch (actor.at) {
            case At::count:
                ++next.counts[i];
                return go("counts itself", look_before_counting ? At::reads : At::look);
            case At::look:
                if (state.gate) return go("finds the gate closed", look_before_counting ? At::wait : At::back);
                return go("finds the gate open", look_before_counting ? At::count : At::reads);
            case At::back: --next.counts[i]; return go("backs out", At::wait);
            case At::wait:
                if (state.marked) return go("is told of a dead writer", At::done);
                if (!state.gate) go("finds the gate open again", first(i));
                return;
            case At::reads: return go("has read", At::leave);
            case At::leave: --next.counts[i]; return end("leaves");
            case At::close: next.gate = 1; return go("closes the gate", scan_before_closing ? At::writes : At::scan);
            case At::scan:
                if (!has_readers(state)) go("sees no reader", scan_before_closing ? At::close : At::writes);
                return;
            case At::writes: return go("has written", At::open);
            case At::open: next.gate = 0; return end("opens the gate");
            case At::done:
            case At::dead: return;
        }
    }

    const char* flaw(const State& state) const {
        bool reads = false;
        for (int i = 0; i < kReaders; ++i) reads |= state.actors[i].at == At::reads;
        return reads && state.actors[kWriter].at == At::writes ? "a reader and a writer are inside" : nullptr;
    }

    static bool is_end(const State& state) {
        for (auto& actor : state.actors)
            if (actor.at != At::done && actor.at != At::dead) return false;
        return true;
    }
};

bool sound(const RwModel& model) { return test::is_sound(model, model.start()); }
bool flawed(const RwModel& model) { return test::is_flawed(model, model.start()); }

}  // namespace

TEST(sound_while_all_live) { CHECK(sound({})); }
TEST(sound_with_two_deaths) { CHECK(sound({.deaths = 2})); }
TEST(a_reader_must_count_first) { CHECK(flawed({.look_before_counting = true})); }
TEST(a_writer_must_close_first) { CHECK(flawed({.scan_before_closing = true})); }
TEST(the_dead_are_not_waited_for) { CHECK(flawed({.deaths = 1, .wait_for_the_dead = true})); }
