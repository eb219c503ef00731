// A semaphore's word and shares (semaphore.hpp), every interleaving of three processes of which two may die, at
// any step of an acquisition, a release, or of giving back what the dead owned.
//
//   enter       enter(): the compare-and-swap that makes the word this participant's, or the takeover
//   change      the one store of the truth: take_one(), give(), or settle_dead()'s of one share
//   leave       leave(): the store of the new value
#include "harness.hpp"
#include "model.hpp"

namespace {

enum class At : uint8_t { acquire, take, taken, release, give, given, settle, clear, cleared, recounted, done, dead };
constexpr int kProcesses = 3, kSize = 2;

struct SemaphoreModel {
    uint8_t deaths = 0;
    bool keep_value = false;   // a takeover trusts the value that it finds

    struct Process {
        At at, next;    // where it goes on after a takeover
        uint8_t rounds, seen, victim;
    };
    struct State {
        uint8_t owner, value, died;
        uint8_t shares[kProcesses];
        Process processes[kProcesses];
    };
    static State start() {
        State state{};
        state.value = kSize;
        for (auto& process : state.processes) process = {At::acquire, At::acquire, 2, 0, 0};
        return state;
    }
    static bool is_dead(const State& state, int i) { return state.processes[i].at == At::dead; }
    static uint8_t recount(const State& state) {
        int value = kSize;
        for (uint8_t share : state.shares) value -= share;
        return uint8_t(value);
    }

    template <class Emit>
    void each_step(const State& state, Emit emit) const {
        for (int i = 0; i < kProcesses; ++i) {
            if (is_dead(state, i)) continue;
            step(state, i, emit);
            if (i && state.died < deaths) {  // the first lives, and sees to the others
                State next = state;
                ++next.died;
                next.processes[i].at = At::dead;
                emit("dies", next);
            }
        }
    }

    template <class Emit>
    void step(const State& state, int i, Emit emit) const {
        State next = state;
        Process& process = next.processes[i];
        auto go = [&](const char* words, At at) {
            process.at = at;
            emit(words, next);
        };
        auto enter = [&](const char* words, At inside) {
            if (state.owner && is_dead(state, state.owner - 1)) {
                next.owner = uint8_t(i + 1);
                process.next = process.at;
                process.seen = keep_value ? state.value : recount(state);
                return go("takes the word over and counts", At::recounted);
            }
            if (state.owner) return;
            next.owner = uint8_t(i + 1);
            process.seen = state.value;

            go(words, inside);
        };
        auto leave = [&](const char* words, int value, At at) {
            next.owner = 0;
            next.value = uint8_t(value);
            go(words, at);
        };
        switch (process.at) {
            case At::acquire:
                if (state.value || (state.owner && is_dead(state, state.owner - 1))) enter("enters to acquire", At::take);
                look_for_dead(state, i, emit);
                return;
            case At::take:
                if (!process.seen) return leave("finds nothing to take", process.seen, At::acquire);
                ++next.shares[i];
                return go("takes a permit", At::taken);
            case At::taken: return leave("stores the value", process.seen - 1, At::release);
            case At::release: return enter("enters to release", At::give);
            case At::give: --next.shares[i]; return go("gives it back", At::given);
            case At::given: return leave("stores the value", process.seen + 1, --process.rounds ? At::acquire : At::done);
            case At::settle: return enter("enters to settle", At::clear);
            case At::clear:
                if (!state.shares[process.victim]) return leave("somebody else has settled", process.seen, process.next);
                next.shares[process.victim] = 0;
                process.seen = uint8_t(process.seen + state.shares[process.victim]);
                return go("clears a dead share", At::cleared);
            case At::cleared: return leave("stores the value", process.seen, process.next);
            case At::recounted: return leave("stores what it counted", process.seen, process.next);
            case At::done: look_for_dead(state, i, emit); return;
            case At::dead: return;
        }
    }

    template <class Emit>
    void look_for_dead(const State& state, int i, Emit emit) const {
        for (int victim = 0; victim < kProcesses; ++victim) {
            const bool left = state.shares[victim] || state.owner == victim + 1;
            if (!is_dead(state, victim) || !left) continue;
            State next = state;
            next.processes[i].next = state.processes[i].at;
            next.processes[i].victim = uint8_t(victim);
            next.processes[i].at = At::clear;
            if (state.owner && state.owner != victim + 1) continue;
            next.processes[i].seen = state.owner && !keep_value ? recount(state) : state.value;
            next.owner = uint8_t(i + 1);
            emit("enters to settle", next);
        }
    }

    const char* flaw(const State& state) const {
        int owned = 0;
        for (uint8_t share : state.shares) owned += share;
        if (owned > kSize) return "more permits are out than there are";
        if (!state.owner && state.value + owned != kSize) return "value and permits do not agree";
        return nullptr;
    }

    static bool is_end(const State& state) {
        for (auto& process : state.processes)
            if (process.at != At::done && process.at != At::dead) return false;
        return !state.owner && state.value == kSize;
    }
};

bool sound(const SemaphoreModel& model) { return test::is_sound(model, SemaphoreModel::start()); }
bool flawed(const SemaphoreModel& model) { return test::is_flawed(model, SemaphoreModel::start()); }

}  // namespace

TEST(sound_while_all_live) { CHECK(sound({})); }
TEST(sound_with_two_deaths) { CHECK(sound({.deaths = 2})); }
TEST(a_takeover_must_count) { CHECK(flawed({.deaths = 1, .keep_value = true})); }
