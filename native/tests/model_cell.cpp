// The cell's protocol (cell.hpp), every interleaving of two writers, a reader that copies and a reader that
// holds, of which some may die at any step.
//
// Each At mirrors these lines of the header:
//   pick        claim(): the next buffer to try
//   look        try_claim(): the load of the word
//   judge       people_.is_alive(owner)
//   check       the load of `latest`
//   swap        the compare-and-swap of the word
//   scan_end    is_held(): the load of hold_end
//   scan        the load of the entry (there is one), and what follows of it
//   unclaim     let_go() of a buffer that is held
//   erase       the store of version 0
//   write_1, 2  fill(): a value has two words
//   seen        publish(): the load of `latest`
//   stamp       the store of the version
//   publish     the compare-and-swap of `latest`
//   let_go      let_go() after it
//   latest      read(), hold(): the first load of `latest`
//   enter       hold(): the store of the entry
//   sure        hold(): the second load of `latest`
//   read_1, 2   the copy
//   verify      read(): the load of the version
//   give_up     give_up()
#include "harness.hpp"
#include "model.hpp"

namespace {

enum class At : uint8_t {
    pick, look, judge, check, swap, scan_end, scan, unclaim, erase, write_1, write_2, seen, stamp, publish, let_go,
    latest, end, enter, sure, read_1, read_2, verify, give_up, done, dead,
};

constexpr int kWriters = 2, kProcesses = 4, kCopier = 2, kHolder = 3;
constexpr int kMostBuffers = 5, kVersions = 7;

struct CellModel {
    uint8_t deaths = 0;
    uint8_t sets[kWriters] = {2, 1};
    uint8_t reads[2] = {1, 1};  // of the one who copies, of the one who holds
    uint8_t buffers = 3;
    // Else a writer that finds no buffer gives up, where cell.hpp has the cell grow.
    bool must_find = false, alone_must_find = false;
    bool check_before_look = false;
    bool let_go_before_publish = false;
    bool publish_by_store = false;
    bool copy_unverified = false;
    bool write_unclaimed = false;    // the claim is not marked in the word
    bool keep_version = false;       // the version before stands while a buffer is written
    bool stamp_late = false;         // the version is stored after the value has become the latest
    bool hold_without_second_look = false;
    bool ignore_holds = false;
    bool trust_the_dead = false;     // a dead writer's buffer is claimed even if it is the latest
    bool shun_the_dead = false;      // … is never claimed

    struct Process {
        At at;
        uint8_t left;      // values still to be set, or read
        uint8_t tried;     // buffers tried in this round
        uint8_t buffer;
        uint8_t word;      // as last read
        uint8_t version;   // of `latest`, as last read
        uint8_t read[2];
        union {
            uint8_t newest;  // a reader: the highest version that it has read
            uint8_t alone;   // a writer: in this round
        };
    };
    struct State {
        uint8_t version, buffer;     // latest
        uint8_t words[kMostBuffers];     // claims << 3 | owner
        uint8_t versions[kMostBuffers];
        uint8_t values[kMostBuffers][2];
        uint8_t entry, hold_end;     // the buffer held plus one
        uint8_t published[kVersions];  // by version: what was set
        uint8_t rover, died, flaw;
        Process processes[kProcesses];
    };

    State start() const {
        State state{};
        for (int i = 0; i < kWriters; ++i) state.processes[i] = {sets[i] ? At::pick : At::done, sets[i], 0, 0, 0, 0, {}, {0}};
        for (int i = kWriters; i < kProcesses; ++i)
            state.processes[i] = {!reads[i - kWriters] ? At::done : i == kHolder ? At::end : At::latest,
                                  reads[i - kWriters], 0, 0, 0, 0, {}, {0}};
        return state;
    }

    static constexpr uint8_t owner(uint8_t word) { return word & 7; }
    static constexpr uint8_t claims(uint8_t word) { return word >> 3; }
    static constexpr uint8_t value_of(int writer, uint8_t left) { return uint8_t(writer * 8 + left); }

    template <class Emit>
    void each_step(const State& state, Emit emit) const {
        for (int i = 0; i < kProcesses; ++i) {
            const At at = state.processes[i].at;
            if (at == At::done || at == At::dead) continue;
            i < kWriters ? write(state, i, emit) : read(state, i, emit);
            if (state.died < deaths) {
                State next = state;
                ++next.died;
                next.processes[i] = {At::dead, 0, 0, 0, 0, 0, {}, {0}};
                emit("dies", next);
            }
        }
    }

    template <class Emit>
    void write(const State& state, int i, Emit emit) const {
        State next = state;
        Process& p = next.processes[i];
        const uint8_t self = uint8_t(i + 1);
        auto go = [&](const char* words, At at) {
            p.at = at;
            emit(words, next);
        };
        auto pass = [&](const char* words) {
            if (++p.tried == buffers) {
                next.flaw = must_find || (alone_must_find && p.alone);
                return end_set(next, p, emit);
            }
            p.buffer = uint8_t((p.buffer + 1) % buffers);
            go(words, check_before_look ? At::check : At::look);
        };
        switch (p.at) {
            case At::pick:
                p.buffer = next.rover;
                p.tried = 0;
                p.alone = state.processes[1 - i].at == At::done || state.processes[1 - i].at == At::dead;
                next.rover = uint8_t((next.rover + 1) % buffers);
                return go("picks a buffer", check_before_look ? At::check : At::look);
            case At::look:
                p.word = state.words[p.buffer];
                if (owner(p.word)) return go("sees an owner", At::judge);
                return go("sees nobody's", check_before_look ? At::swap : At::check);
            case At::judge:
                if (shun_the_dead || state.processes[owner(p.word) - 1].at != At::dead) return pass("passes what lives");
                return go("sees a dead one's", trust_the_dead || check_before_look ? At::swap : At::check);
            case At::check:
                if (state.version && state.buffer == p.buffer) return pass("passes the latest");
                if (!state.version && p.buffer == 0) return pass("passes the first");
                return go("sees that it is not the latest", check_before_look ? At::look : At::swap);
            case At::swap:
                if (!write_unclaimed) {
                    if (state.words[p.buffer] != p.word) return pass("comes too late");
                    next.words[p.buffer] = uint8_t((claims(p.word) + 1) << 3 | self);
                }
                return go("claims", ignore_holds ? At::erase : At::scan_end);
            case At::scan_end:
                return go("looks for holds", state.hold_end ? At::scan : At::erase);
            case At::scan:
                if (state.entry != p.buffer + 1) return go("sees no hold on it", At::erase);
                if (state.processes[kHolder].at != At::dead) return go("sees a hold", At::unclaim);
                next.entry = 0;
                return go("ends a dead one's hold", At::erase);
            case At::unclaim:
                next.words[p.buffer] &= uint8_t(~7);
                return pass("lets go of what is held");
            case At::erase:
                if (!keep_version) next.versions[p.buffer] = 0;
                return go("erases the version", At::write_1);
            case At::write_1:
                next.values[p.buffer][0] = value_of(i, p.left);
                return go("writes a word", At::write_2);
            case At::write_2:
                next.values[p.buffer][1] = value_of(i, p.left);
                return go("writes the other", let_go_before_publish ? At::let_go : At::seen);
            case At::seen:
                p.version = state.version;
                return go("sees the latest", stamp_late ? At::publish : At::stamp);
            case At::stamp:
                next.versions[p.buffer] = uint8_t(p.version + 1);
                return go("stores the version", stamp_late ? At::let_go : At::publish);
            case At::publish:
                if (!publish_by_store && state.version != p.version) return go("comes too late", At::seen);
                next.version = uint8_t(p.version + 1);
                next.buffer = p.buffer;
                next.published[next.version] = value_of(i, p.left);
                if (let_go_before_publish) return end_set(next, p, emit);
                return go("publishes", stamp_late ? At::stamp : At::let_go);
            case At::let_go:
                next.words[p.buffer] &= uint8_t(~7);
                if (let_go_before_publish) return go("lets go", At::seen);
                return end_set(next, p, emit);
            default: return;
        }
    }

    template <class Emit>
    static void end_set(State& next, Process& p, Emit emit) {
        const uint8_t left = uint8_t(p.left - 1);
        p = {left ? At::pick : At::done, left, 0, 0, 0, 0, {}, {0}};
        emit("has set it", next);
    }

    template <class Emit>
    void read(const State& state, int i, Emit emit) const {
        State next = state;
        Process& p = next.processes[i];
        auto go = [&](const char* words, At at) {
            p.at = at;
            emit(words, next);
        };
        auto finish = [&] {
            if (p.read[0] != p.read[1]) next.flaw = 2;
            else if (p.read[0] != state.published[p.version]) next.flaw = 3;
            else if (p.version < p.newest) next.flaw = 4;
            const uint8_t left = uint8_t(p.left - 1);
            p = {!left ? At::done : At::latest, left, 0, 0, 0, 0, {}, {p.version}};
            emit("has read it", next);
        };
        switch (p.at) {
            case At::end:
                next.hold_end = 1;
                return go("announces that there are holds", At::latest);
            case At::latest:
                p.version = state.version;
                p.buffer = state.buffer;
                if (!p.version) {
                    p = {At::done, 0, 0, 0, 0, 0, {}, {0}};
                    return emit("finds nothing", next);
                }
                return go("sees the latest", i == kHolder ? At::enter : At::read_1);
            case At::enter:
                next.entry = uint8_t(p.buffer + 1);
                return go("holds", hold_without_second_look ? At::read_1 : At::sure);
            case At::sure:
                return go("makes sure", state.version == p.version ? At::read_1 : At::latest);
            case At::read_1:
                p.read[0] = state.values[p.buffer][0];
                return go("reads a word", At::read_2);
            case At::read_2:
                p.read[1] = state.values[p.buffer][1];
                if (i == kHolder) return go("reads the other", At::give_up);
                if (copy_unverified) return finish();
                return go("reads the other", At::verify);
            case At::verify:
                if (state.versions[p.buffer] == p.version) return finish();
                return go("has been overtaken", At::latest);
            case At::give_up:
                next.entry = 0;
                return finish();
            default: return;
        }
    }

    const char* flaw(const State& state) const {
        static constexpr const char* kFlaws[] = {
            nullptr, "a writer finds no buffer", "a reader sees half a value", "a reader sees what was not the latest",
            "a reader sees an older value than before"};
        return kFlaws[state.flaw];
    }

    static bool is_end(const State& state) {
        for (auto& process : state.processes)
            if (process.at != At::done && process.at != At::dead) return false;
        return true;
    }
};

bool sound(const CellModel& model) { return test::is_sound(model, model.start()); }
bool flawed(CellModel model, bool CellModel::*change) {
    model.*change = true;
    return test::is_flawed(model, model.start());
}

// One writer that gets around all buffers while a reader looks.
constexpr CellModel kRound{.sets = {4, 0}, .reads = {2, 0}};
constexpr CellModel kRoundOfHolder{.sets = {4, 0}, .reads = {0, 2}};

}  // namespace

TEST(sound_for_two_writers_and_who_copies) { CHECK(sound({.sets = {2, 2}, .reads = {2, 0}})); }
TEST(sound_for_two_writers_and_who_holds) { CHECK(sound({.sets = {2, 2}, .reads = {0, 1}})); }
TEST(sound_for_one_writer_and_both) { CHECK(sound({.sets = {4, 0}, .reads = {1, 1}})); }
TEST(sound_when_a_writer_dies) { CHECK(sound({.deaths = 1, .sets = {2, 2}, .reads = {1, 0}})); }
TEST(sound_when_who_holds_dies) { CHECK(sound({.deaths = 1, .sets = {4, 0}, .reads = {1, 1}})); }
// Two that are written, one that is held, and the latest.
TEST(four_buffers_are_enough) {
    CHECK(sound({.deaths = 1, .sets = {2, 1}, .reads = {0, 1}, .buffers = 4, .must_find = true}));
}
TEST(buffers_of_the_dead_come_back) {
    const CellModel model{.deaths = 1, .sets = {3, 2}, .reads = {0, 0}, .buffers = 2, .alone_must_find = true};
    CHECK(sound(model));
    CHECK(flawed(model, &CellModel::shun_the_dead));
}

// Whoever writes over the latest and dies leaves readers without a value.
TEST(the_word_is_read_before_latest) {
    CHECK(flawed({.deaths = 1, .sets = {2, 2}, .reads = {1, 0}}, &CellModel::check_before_look));
}
TEST(a_buffer_is_owned_until_it_is_the_latest) {
    CHECK(flawed({.sets = {2, 2}, .reads = {1, 0}}, &CellModel::let_go_before_publish));
}
TEST(versions_only_rise) { CHECK(flawed({.sets = {2, 2}, .reads = {2, 0}}, &CellModel::publish_by_store)); }
TEST(a_copy_is_verified) { CHECK(flawed(kRound, &CellModel::copy_unverified)); }
TEST(a_version_goes_before_its_value) { CHECK(flawed(kRound, &CellModel::keep_version)); }
TEST(a_version_comes_before_its_value_is_the_latest) {
    CHECK(flawed({.deaths = 1, .sets = {1, 0}, .reads = {1, 0}}, &CellModel::stamp_late));
}
TEST(a_claim_shows_in_the_word) { CHECK(flawed({.sets = {2, 2}, .reads = {1, 0}}, &CellModel::write_unclaimed)); }
TEST(a_hold_begins_with_a_second_look) { CHECK(flawed(kRoundOfHolder, &CellModel::hold_without_second_look)); }
TEST(writers_look_for_holds) { CHECK(flawed(kRoundOfHolder, &CellModel::ignore_holds)); }
TEST(the_latest_of_the_dead_stays) {
    CHECK(flawed({.deaths = 2, .sets = {1, 2}, .reads = {1, 0}}, &CellModel::trust_the_dead));
}
