// RobustLock's word (lock.hpp), every interleaving of a few processes that may die at any step.
//
// Each At mirrors these lines of the header:
//   fast        lock(): the compare-and-swap 0 -> self
//   spin        the same between the pauses and yields of lock_in_runs(), and in lock_contended()'s spinning loop
//   load        `seen = word_.load()` at the head of the waiting loop
//   claim       `seen == 0`: the compare-and-swap 0 -> self | kWaiters
//   judge       `!people.is_alive(seen & kOwnerMask)`, when a check is due
//   take_over   the compare-and-swap seen -> self | kWaiters after it
//   flag        the compare-and-swap seen -> seen | kWaiters
//   expire      `now >= deadline_ns`: the wait ends without the lock
//   sleep       futex_wait, up to its look at the word
//   asleep      within futex_wait
//   inside      the section that the lock guards; leaving it is unlock()'s `word_.exchange(0)`
//   wake        unlock()'s futex_wake(word_, 1)
// With `marks`, a death leaves the word marked and everybody awake; who finds it so recovers, that is, takes the
// marked lock, and leaves it whole.
//
// While all live nobody may depend on the periodic check: a sleeper that only it could rouse is a lost
// wake-up, and there is no way to the end. Once somebody has died the check ends every sleep.
#include "harness.hpp"
#include "model.hpp"

namespace {

enum class At : uint8_t { fast, spin, load, claim, judge, take_over, flag, expire, sleep, asleep, inside, wake, done, dead };

constexpr int kProcesses = 3;
constexpr uint8_t kWaiters = 0x80, kMarked = 0x40, kOwner = 0x07;

// What a model may leave out or bring in.
struct LockModel {
    uint8_t deaths = 0;
    bool impatient = false;       // the first one's waits may end by their deadline or by a signal
    bool claim_without_flag = false;
    bool take_over_by_store = false;
    bool expire_before_flag = false;
    bool sleep_on_any_value = false;
    bool no_checks = false;
    bool marks = false;           // a death marks; who finds the mark recovers

    struct Process {
        At at;
        uint8_t seen;
        uint8_t rounds;  // sections still to come
        uint8_t late;    // its deadline has passed
        uint8_t recovers;
    };
    struct State {
        uint8_t word;
        uint8_t died;
        uint8_t broken;  // a section was left half-way and nobody has been told
        uint8_t untold;  // … and somebody got in without being told
        Process processes[kProcesses];
    };

    static State start() {
        State state{};
        for (auto& process : state.processes) process.rounds = 2;
        return state;
    }

    static bool is_alive(const State& state, uint8_t owner) { return state.processes[owner - 1].at != At::dead; }

    static void enter(State& state, int i, bool told) {
        state.processes[i].at = At::inside;
        if (state.broken && !told) state.untold = 1;
        state.broken = 0;
    }

    static void end_round(Process& process) {
        process = {--process.rounds ? At::fast : At::done, 0, process.rounds, 0, 0};
    }

    template <class Emit>
    void each_step(const State& state, Emit emit) const {
        for (int i = 0; i < kProcesses; ++i) {
            const Process& process = state.processes[i];
            if (process.at == At::done || process.at == At::dead) continue;
            step(state, i, emit);
            if (state.died < deaths) {
                State next = state;
                ++next.died;
                next.processes[i] = {At::dead, 0, 0, 0, 0};
                if ((state.word & kOwner) == i + 1) next.broken = 1;
                emit("dies", next);
            }
        }
    }

    // The compare-and-swap `expected -> wanted`; whether it succeeded.
    static bool swap(State& state, uint8_t expected, uint8_t wanted) {
        if (state.word != expected) return false;
        state.word = wanted;
        return true;
    }

    template <class Emit>
    void step(const State& state, int i, Emit emit) const {
        const uint8_t self = uint8_t(i + 1), seen = state.processes[i].seen;
        State next = state;
        Process& process = next.processes[i];
        auto go = [&](const char* words, At at) {
            process.at = at;
            emit(words, next);
        };
        switch (process.at) {
            case At::fast:
            case At::spin:
                if (swap(next, 0, self)) {
                    enter(next, i, false);
                    emit("takes the free lock", next);
                } else {
                    go("finds the lock taken", process.at == At::fast ? At::spin : At::load);
                }
                break;
            case At::load:
                process.seen = state.word;
                if ((state.word & kMarked) && !process.recovers) {
                    process.recovers = 1;
                    return go("is told of a death, and wants to recover", At::load);
                }
                if (!(state.word & kOwner)) return go("sees it free", At::claim);
                if (!no_checks && !is_alive(state, state.word & kOwner)) go("is due to check the owner", At::judge);
                go("sees it taken", expire_before_flag ? At::expire : At::flag);
                break;
            case At::claim:
                if (swap(next, seen, seen | (claim_without_flag ? self : self | kWaiters))) {
                    enter(next, i, seen & kMarked);
                    emit("claims the free lock", next);
                } else {
                    go("comes too late to claim", At::load);
                }
                break;
            case At::judge:
                go("judges the owner", is_alive(state, seen & kOwner) ? At::flag : At::take_over);
                break;
            case At::take_over:
                if (take_over_by_store) next.word = seen;
                if (marks && !process.recovers) {
                    if (!swap(next, seen, kMarked)) return go("comes too late to mark", At::load);
                    for (auto& sleeper : next.processes)
                        if (sleeper.at == At::asleep) sleeper.at = At::load;
                    return go("marks, and wakes all", At::load);
                }
                if (swap(next, seen, uint8_t(self | kWaiters | (marks ? kMarked : 0)))) {
                    enter(next, i, true);
                    emit("takes over", next);
                } else {
                    go("comes too late to take over", At::load);
                }
                break;
            case At::flag:
                if ((seen & kWaiters) || swap(next, seen, seen | kWaiters)) {
                    process.seen = seen | kWaiters;
                    go("has the flag set", expire_before_flag ? At::sleep : At::expire);
                } else {
                    go("comes too late to flag", At::load);
                }
                break;
            case At::expire:
                if (!process.late) go("has time left", expire_before_flag ? At::flag : At::sleep);
                if (process.late || (impatient && i == 0)) {
                    process = state.processes[i];
                    end_round(process);
                    emit("gives up at its deadline", next);
                }
                break;
            case At::sleep:
                go("goes to sleep", sleep_on_any_value || state.word == (seen | kWaiters) ? At::asleep : At::load);
                break;
            case At::asleep:
                if (state.died) go("wakes for a check", At::load);
                if (impatient && i == 0) {
                    process.late = 1;
                    go("wakes at its deadline", At::load);
                    end_round(process);
                    emit("is interrupted", next);
                }
                break;
            case At::inside:
                next.word = 0;
                if (state.word & kWaiters) return go("unlocks, and has to wake", At::wake);
                end_round(process);
                emit("unlocks", next);
                break;
            case At::wake: {
                end_round(process);
                bool any = false;
                for (auto& sleeper : next.processes)
                    if (sleeper.at == At::asleep) {
                        any = true;
                        sleeper.at = At::load;
                        emit("wakes somebody", next);
                        sleeper.at = At::asleep;
                    }
                if (!any) emit("wakes nobody", next);
                break;
            }
            case At::done:
            case At::dead: break;
        }
    }

    const char* flaw(const State& state) const {
        int inside = 0;
        for (auto& process : state.processes) inside += process.at == At::inside;
        if (inside > 1) return "two are inside";
        return state.untold ? "somebody got in and was not told of a death inside" : nullptr;
    }

    static bool is_end(const State& state) {
        for (auto& process : state.processes)
            if (process.at != At::done && process.at != At::dead) return false;
        return true;
    }
};

LockModel with(bool LockModel::*change, LockModel model = {}) {
    model.*change = true;
    return model;
}

bool sound(const LockModel& model) { return test::is_sound(model, LockModel::start()); }
bool flawed(const LockModel& model) { return test::is_flawed(model, LockModel::start()); }

}  // namespace

TEST(sound_while_all_live) { CHECK(sound({})); }
TEST(sound_with_deadlines_and_signals) { CHECK(sound({.impatient = true})); }
TEST(sound_with_two_deaths) { CHECK(sound({.deaths = 2, .impatient = true})); }

TEST(a_claim_must_keep_the_flag) { CHECK(flawed(with(&LockModel::claim_without_flag))); }
TEST(a_sleeper_must_compare) { CHECK(flawed(with(&LockModel::sleep_on_any_value))); }
TEST(a_takeover_must_compare) { CHECK(flawed(with(&LockModel::take_over_by_store, {.deaths = 1}))); }
TEST(only_the_check_finds_a_dead_owner) { CHECK(flawed(with(&LockModel::no_checks, {.deaths = 1}))); }
TEST(marking_is_sound) { CHECK(sound({.deaths = 2, .marks = true})); }
TEST(marking_is_sound_with_deadlines_and_signals) { CHECK(sound({.deaths = 1, .impatient = true, .marks = true})); }
TEST(marking_must_compare) { CHECK(flawed(with(&LockModel::take_over_by_store, {.deaths = 1, .marks = true}))); }
// A wake-up may end with somebody who has no time left: the flag passes it on to the next unlock.
TEST(who_gives_up_must_have_set_the_flag) { CHECK(flawed(with(&LockModel::expire_before_flag, {.impatient = true}))); }
