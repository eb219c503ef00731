// Event's word (event.hpp) between those who publish and those who wait, every interleaving.
//
// What a producer does (Queue::put_batch, queue_put.hpp, then Event::notify):
//   publish     commit()'s store of tail; it stays in the store buffer until `drain`, at the latest
//   unlock      the atomic read-modify-write after it, with notify()'s fence: waits for the drain
//   look        `word_.load()` in notify()
//   raise       notify_slow(): `word_.fetch_add(kStep)`
//   wake        futex_wake(word_, count)
//   quiet       the compare-and-swap that clears both flags, when fewer than `count` were woken
//   hush_bell   `word_.fetch_and(~kBell)`, when all `count` were, or nobody slept
//   ring        the caller's ring_bell()
// What a consumer does (Queue::wait_items, queue_wait.hpp): take (a successful look included), announce,
// look again, sleep (futex_wait's look at the word), asleep. A listener at the doorbell announces a bell
// in place of a sleep: hush, announce, look, and then until the ring.
//
// A value of the word that somebody remembers matters only for whether the word is still the same; since
// every announcement and every notification raises the sequence, once different it stays so, until the
// sequence has run around. So the model keeps one bit for each who remembers: `fresh`.
//
// Nobody dies here: a wake-up that a dying process takes along is made good by the tick alone.
#include "harness.hpp"
#include "model.hpp"

namespace {

enum class Put : uint8_t { publish, unlock, look, raise, wake, quiet, hush_bell, ring, done };
enum class Take : uint8_t { take, announce, again, sleep, asleep, gone };

constexpr int kProducers = 2, kConsumers = 3;

struct EventModel {
    int producers = 2, consumers = 2;
    uint8_t batches = 2;      // of each producer
    uint8_t batch = 1;        // messages, and how many a notification may wake
    bool bell = false;        // the last consumer waits at the doorbell
    bool once = false;        // a consumer takes one message and is busy with it for good
    bool no_fence = false;
    bool no_second_look = false;
    bool quiet_blindly = false;
    bool hush_last = false;   // the listener hushes after it has looked

    struct Producer {
        Put at;
        uint8_t batches;
        uint8_t buffered;     // published, not drained
        uint8_t sleepers;     // flags as seen by raise
        uint8_t bell;
        uint8_t fresh;
    };
    struct Consumer {
        Take at;
        uint8_t fresh;
        uint8_t rung;
    };
    struct State {
        uint8_t sleepers;     // the word's flags
        uint8_t bell;
        uint8_t items;
        Producer put[kProducers];
        Consumer take[kConsumers];
    };

    State start() const {
        State state{};
        for (int i = 0; i < kProducers; ++i)
            state.put[i] = {i < producers ? Put::publish : Put::done, batches, 0, 0, 0, 0};
        return state;
    }

    // The word has another value now: what others remember of it is stale.
    static void change(State& state) {
        for (auto& producer : state.put) producer.fresh = 0;
        for (auto& consumer : state.take) consumer.fresh = 0;
    }

    static void end_batch(Producer& producer) {
        producer = {--producer.batches ? Put::publish : Put::done, producer.batches, producer.buffered, 0, 0, 0};
    }

    template <class Emit>
    void each_step(const State& state, Emit emit) const {
        for (int i = 0; i < producers; ++i) {
            if (state.put[i].buffered) {
                State next = state;
                next.items = uint8_t(next.items + next.put[i].buffered);
                next.put[i].buffered = 0;
                emit("producer: the store is drained", next);
            }
            put(state, i, emit);
        }
        for (int i = 0; i < consumers; ++i)
            if (bell && i == consumers - 1) listen(state, i, emit);
            else take(state, i, emit);
    }

    template <class Emit>
    void put(const State& state, int i, Emit emit) const {
        State next = state;
        Producer& producer = next.put[i];
        auto go = [&](const char* words, Put at) {
            producer.at = at;
            emit(words, next);
        };
        switch (producer.at) {
            case Put::publish:
                producer.buffered = uint8_t(producer.buffered + batch);
                go("producer: publishes", Put::unlock);
                break;
            case Put::unlock:
                if (no_fence || !producer.buffered) go("producer: unlocks", Put::look);
                break;
            case Put::look:
                if (state.sleepers || state.bell) return go("producer: sees a flag", Put::raise);
                end_batch(producer);
                emit("producer: sees nobody", next);
                break;
            case Put::raise:
                change(next);
                producer.sleepers = state.sleepers;
                producer.bell = state.bell;
                producer.fresh = 1;
                go("producer: raises the sequence", state.sleepers ? Put::wake : state.bell ? Put::hush_bell : Put::ring);
                break;
            case Put::wake: wake(next, i, batch, emit); break;
            case Put::quiet:
                if (producer.fresh || quiet_blindly) {
                    change(next);
                    next.sleepers = next.bell = 0;
                }
                go("producer: clears the flags, if none has come since", Put::ring);
                break;
            case Put::hush_bell:
                if (state.bell) change(next);
                next.bell = 0;
                go("producer: clears the bell's flag", Put::ring);
                break;
            case Put::ring:
                if (producer.bell)
                    for (auto& consumer : next.take) consumer.rung = 1;
                end_batch(producer);
                emit("producer: rings, if a bell was armed", next);
                break;
            case Put::done: break;
        }
    }

    // Any of those asleep may be the ones to be woken.
    template <class Emit>
    void wake(State& next, int i, int left, Emit emit) const {
        bool any = false;
        for (int c = 0; left && c < consumers; ++c)
            if (next.take[c].at == Take::asleep) {
                any = true;
                next.take[c].at = Take::take;
                wake(next, i, left - 1, emit);
                next.take[c].at = Take::asleep;
            }
        if (any) return;
        const Producer before = next.put[i];
        next.put[i].at = left ? Put::quiet : before.bell ? Put::hush_bell : Put::ring;
        emit("producer: wakes", next);
        next.put[i] = before;
    }

    template <class Emit>
    void take(const State& state, int i, Emit emit) const {
        State next = state;
        Consumer& consumer = next.take[i];
        auto go = [&](const char* words, Take at) {
            consumer.at = at;
            emit(words, next);
        };
        switch (consumer.at) {
            case Take::take:
                if (!state.items) return go("consumer: finds nothing", Take::announce);
                --next.items;
                go("consumer: takes", once ? Take::gone : Take::take);
                break;
            case Take::announce:
                change(next);
                next.sleepers = 1;
                consumer.fresh = 1;
                go("consumer: announces itself", no_second_look ? Take::sleep : Take::again);
                break;
            case Take::again:
                go("consumer: looks again", state.items ? Take::take : Take::sleep);
                break;
            case Take::sleep:
                go("consumer: goes to sleep", state.take[i].fresh ? Take::asleep : Take::take);
                break;
            case Take::asleep:
            case Take::gone: break;
        }
    }

    // The same without a sleep: after a second look in vain it does other things until the bell rings.
    template <class Emit>
    void listen(const State& state, int i, Emit emit) const {
        State next = state;
        Consumer& consumer = next.take[i];
        auto go = [&](const char* words, Take at) {
            consumer.at = at;
            emit(words, next);
        };
        switch (consumer.at) {
            case Take::take:
                if (!hush_last) consumer.rung = 0;
                go("listener: hushes", Take::announce);
                break;
            case Take::announce:
                change(next);
                next.bell = 1;
                go("listener: arms the bell", Take::again);
                break;
            case Take::again:
                if (state.items) --next.items;
                go("listener: looks, and takes", !state.items ? Take::sleep : once ? Take::gone : Take::take);
                break;
            case Take::sleep:
                if (hush_last) consumer.rung = 0;
                go("listener: waits for a ring", Take::asleep);
                break;
            case Take::asleep:
                if (state.take[i].rung) go("listener: hears a ring", Take::take);
                break;
            case Take::gone: break;
        }
    }

    const char* flaw(const State&) const { return nullptr; }

    // All is published and taken, whoever sleeps then.
    bool is_end(const State& state) const {
        for (auto& producer : state.put)
            if (producer.at != Put::done || producer.buffered) return false;
        return state.items == 0;
    }
};

bool sound(const EventModel& model) { return test::is_sound(model, model.start()); }
bool flawed(const EventModel& model) { return test::is_flawed(model, model.start()); }

}  // namespace

TEST(sound_with_two_producers_and_two_consumers) { CHECK(sound({})); }
TEST(sound_with_more_consumers_than_messages) { CHECK(sound({.consumers = 3, .batches = 1})); }
TEST(sound_with_batches) { CHECK(sound({.consumers = 3, .batches = 1, .batch = 2})); }
TEST(sound_with_a_consumer_for_each_message) { CHECK(sound({.consumers = 2, .batches = 1, .once = true})); }
TEST(sound_with_more_such_consumers) { CHECK(sound({.consumers = 3, .batches = 1, .once = true})); }
TEST(sound_with_such_consumers_and_a_listener) { CHECK(sound({.consumers = 3, .batches = 1, .bell = true, .once = true})); }
TEST(sound_with_a_listener) { CHECK(sound({.batches = 2, .bell = true})); }
TEST(sound_with_a_listener_alone) { CHECK(sound({.consumers = 1, .batches = 3, .bell = true})); }
TEST(sound_with_a_listener_and_two_sleepers) { CHECK(sound({.consumers = 3, .batches = 1, .bell = true})); }

TEST(a_waker_needs_the_fence) { CHECK(flawed({.producers = 1, .consumers = 1, .batches = 1, .no_fence = true})); }
TEST(a_sleeper_needs_the_second_look) { CHECK(flawed({.no_second_look = true})); }
TEST(flags_may_not_be_cleared_blindly) { CHECK(flawed({.quiet_blindly = true})); }
TEST(a_listener_may_not_hush_after_its_look) { CHECK(flawed({.consumers = 1, .bell = true, .hush_last = true})); }
