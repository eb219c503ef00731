// Runs of pages with owners, against a reference that knows what everybody holds.
#include <map>
#include <thread>

#include "kit.hpp"
#include "weft/pool.hpp"

using namespace test;

static constexpr uint64_t kTableAt = kObjectAt + os::kPage;

static uint64_t units_at(uint64_t units) {
    return (kTableAt + units * sizeof(Unit) + os::kPage - 1) / os::kPage * os::kPage;
}

// A pool in a segment of its own, whose capacity stands in the geometry.
struct Place : Member {
    Pool pool;

    Place& create(uint64_t units) {
        SegmentSpec spec = one_page();
        spec.geometry[0] = units;
        spec.file_bytes = units_at(units) + units * Pool::kUnitBytes;
        CHECK(test::create(segment, "s", spec) == Status::ok);
        return bind();
    }
    Place& open() {
        CHECK(test::open(segment) == Status::ok);
        return bind();
    }
    Place& bind() {
        join();
        uint64_t units = segment.header().geometry[0];
        pool.bind(segment, &state(), kTableAt, units_at(units), units);
        return *this;
    }
    PoolState& state() { return *reinterpret_cast<PoolState*>(segment.base() + kObjectAt); }

    Status take(uint64_t units, uint32_t& unit, Run run = Run::loaned) {
        Failure why;
        return pool.take(people, units, run, Unit::kNoTicket, 0, in_ms(10'000), [](uint32_t, uint64_t) { return false; },
                         unit, why);
    }
    uint64_t reserved() { return state().reserved.load(); }

    // The whole chain: unit -> word.
    std::map<uint32_t, uint64_t> runs() {
        std::map<uint32_t, uint64_t> all;
        uint64_t end = 0;
        CHECK(pool.each_run([&](uint32_t unit, uint64_t word) {
            CHECK(unit == end);
            end += Unit::units(word);
            all[unit] = word;
        }));
        CHECK(end == reserved());
        return all;
    }
};

static bool is_owned(uint64_t word) { return Unit::run(word) != Run::free && Unit::run(word) != Run::absorbed; }

// What one participant holds: unit -> length. Each of its pages bears its mark.
class Holdings {
public:
    Holdings(Place& place, uint64_t seed) : place_(place), random_(seed), mark_(seed) {}

    void step(uint64_t most) {
        if (random_.below(100) < 55) take(1 + random_.below(random_.below(4) ? 4 : most));
        else give();
    }
    Status take(uint64_t units) {
        uint32_t unit = 0;
        Status status = place_.take(units, unit);
        if (status != Status::ok) {
            CHECK(status == Status::full);
            return status;
        }
        CHECK(unit + units <= place_.reserved() && place_.pool.is_backed(unit, units));
        for (uint64_t i = 0; i < units; ++i) mark(unit + i) = mark_;
        held_[unit] = units;
        return status;
    }
    void give() {
        if (held_.empty()) return;
        auto chosen = held_.begin();
        std::advance(chosen, random_.below(held_.size()));
        for (uint64_t i = 0; i < chosen->second; ++i) CHECK(mark(chosen->first + i) == mark_);
        place_.pool.give(chosen->first);
        held_.erase(chosen);
    }
    void give_all() {
        while (!held_.empty()) give();
    }
    const std::map<uint32_t, uint64_t>& held() const { return held_; }

private:
    uint64_t& mark(uint64_t unit) { return *reinterpret_cast<uint64_t*>(place_.pool.data(uint32_t(unit)) + 8 * (mark_ % 400)); }

    Place& place_;
    Random random_;
    uint64_t mark_;
    std::map<uint32_t, uint64_t> held_;
};

// The chain says that `who` holds just what the reference says, and nobody else anything.
static void check_chain(Place& place, const Holdings& reference) {
    std::map<uint32_t, uint64_t> found;
    for (auto [unit, word] : place.runs())
        if (is_owned(word)) {
            CHECK(Unit::owner(word) == place.people.self() && Unit::run(word) == Run::loaned);
            found[unit] = Unit::units(word);
        }
    CHECK(found == reference.held());
    // A hint or the rover may be stale, but never out of bounds.
    CHECK(place.state().rover < place.reserved() || place.reserved() == 0);
    for (auto& hint : place.state().hints) CHECK(hint <= place.reserved());  // nothing was given back as read
}

TEST(units_for_bytes) {
    CHECK(Pool::units_for(0) == 1 && Pool::units_for(1) == 1 && Pool::units_for(4096) == 1 && Pool::units_for(4097) == 2);
}

TEST(random_takes_and_gives_agree_with_the_reference) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        const uint64_t capacity = 8 + seed * 37;
        Place place;
        Holdings mine(place.create(capacity), seed);
        for (int i = 0; i < 2500; ++i) {
            mine.step(capacity / 2);
            check_chain(place, mine);
            CHECK(place.reserved() <= capacity);
        }
        mine.give_all();
        check_chain(place, mine);
        // What was divided grows together again.
        uint32_t unit;
        CHECK(place.take(place.reserved(), unit) == Status::ok && unit == 0);
    }
}

TEST(memory_is_reserved_as_it_is_needed_up_to_the_capacity) {
    Place place;
    place.create(1000);
    CHECK(place.reserved() == 0 && place.pool.reserved_bytes() == 0);
    uint64_t empty = os::reserved_bytes(place.segment.fd());
    uint32_t unit;
    CHECK(place.take(1, unit) == Status::ok && place.reserved() == 16);
    CHECK(place.take(100, unit) == Status::ok && place.reserved() >= 101 && place.reserved() < 150);
    CHECK(os::reserved_bytes(place.segment.fd()) >= empty + place.pool.reserved_bytes());
    CHECK(place.pool.is_backed(0, place.reserved()) && !place.pool.is_backed(0, place.reserved() + 1));
    CHECK(place.take(1001, unit) == Status::full);
    while (place.take(7, unit) == Status::ok) {
    }
    while (place.take(1, unit) == Status::ok) {
    }
    CHECK(place.reserved() == 1000);
    uint64_t owned = 0;
    for (auto [at, word] : place.runs()) owned += is_owned(word) ? Unit::units(word) : 0;
    CHECK(owned == 1000);
}

TEST(fresh_memory_is_taken_before_what_has_just_been_read) {
    Place place;
    place.create(1000);
    Failure why;
    auto never = [](uint32_t, uint64_t) { return false; };
    auto take = [&](uint64_t fresh) {
        uint32_t unit = Pool::kNowhere;
        CHECK(place.pool.take(place.people, 16, Run::loaned, Unit::kNoTicket, fresh, in_ms(1000), never, unit, why) ==
              Status::ok);
        return unit;
    };
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t unit = take(64);
        CHECK(unit == 16 * i);
        place.pool.give(unit, true);
    }
    CHECK(place.reserved() == 64);
    const uint32_t seen = take(64);
    CHECK(seen < 64 && place.reserved() == 64);
    // What nobody is known to have read is taken first.
    place.pool.give(seen);
    CHECK(take(128) == seen && place.reserved() == 64);
    // More than the capacity is not asked for, and what is there serves.
    CHECK(take(2000) < 64 && place.reserved() == 64);
}

TEST(free_pages_before_the_capacity_count_with_those_after_them) {
    // Whatever came before: with nothing held, all of the capacity is to be had in one run.
    for (uint64_t first = 1; first <= 100; first += 3) {
        Place place;
        uint32_t unit;
        CHECK(place.create(100).take(first, unit) == Status::ok);
        place.pool.give(unit);
        CHECK(place.take(100, unit) == Status::ok && unit == 0 && place.reserved() == 100);
    }
    // And behind what is held, all of the rest.
    for (uint64_t first = 1; first < 100; first += 3) {
        Place place;
        uint32_t held, unit;
        CHECK(place.create(100).take(first, held) == Status::ok && place.take(1, unit) == Status::ok);
        place.pool.give(unit);
        CHECK(place.take(100 - first, unit) == Status::ok && unit == first);
    }
}

TEST(what_was_given_back_last_is_taken_next) {
    Place place;
    uint32_t all[8], unit;
    place.create(64);
    for (auto& one : all) CHECK(place.take(2, one) == Status::ok);
    place.pool.give(all[5]);
    CHECK(place.take(2, unit) == Status::ok && unit == all[5]);
    place.pool.give(all[3]);
    // Larger than what the hint leads to: found elsewhere, and the hinted run keeps whole.
    CHECK(place.take(3, unit) == Status::ok && unit != all[3]);
    CHECK(place.take(1, unit) == Status::ok);
    CHECK(Unit::units(place.runs()[unit]) == 1);
}

TEST(hints_and_rover_are_no_more_than_hints) {
    // Whatever stands there, the chain stays whole and nothing is given twice.
    Place place;
    Holdings mine(place.create(200), 9);
    Random random(4);
    for (int i = 0; i < 3000; ++i) {
        auto runs = place.runs();
        if (!runs.empty()) {
            auto start = runs.begin();
            std::advance(start, random.below(runs.size()));
            // At the beginning of any run, which may have been taken, or merged away, since; or nowhere.
            place.state().hints[random.below(12)] = random.below(4) ? start->first + 1 : uint32_t(random.below(400));
            if (random.below(4) == 0) place.state().rover = start->first;
        }
        mine.step(60);
        std::map<uint32_t, uint64_t> found;
        for (auto [unit, word] : place.runs())
            if (is_owned(word)) found[unit] = Unit::units(word);
        CHECK(found == mine.held());
    }
}

TEST(a_spent_ring_extent_is_free_for_all) {
    Place place;
    uint32_t first, second, block;
    Failure why;
    place.create(8);
    CHECK(place.take(4, first, Run::ring) == Status::ok && place.take(4, second, Run::ring) == Status::ok);
    CHECK(place.take(3, block) == Status::full);
    auto is_spent = [&](uint32_t unit, uint64_t word) {
        CHECK(Unit::run(word) == Run::ring);
        return unit == second;
    };
    CHECK(place.pool.take(place.people, 3, Run::loaned, 5, 0, in_ms(1000), is_spent, block, why) == Status::ok);
    CHECK(block == second && place.pool.entry(block).ticket == 5);
    CHECK(Unit::run(place.runs()[first]) == Run::ring);
}

TEST(a_broken_chain_is_corrupted_and_no_endless_loop) {
    for (uint64_t units : {uint64_t(0), uint64_t(17), uint64_t(0xfffffff)}) {
        Place place;
        uint32_t unit;
        CHECK(place.create(64).take(4, unit) == Status::ok);
        place.pool.entry(unit).word = Unit::make(Run::loaned, place.people.self(), units);
        place.state().rover = 0;
        CHECK(place.take(13, unit) == Status::corrupted);
        CHECK(!place.pool.each_run([](uint32_t, uint64_t) {}));
    }
    Place place;
    uint32_t unit;
    CHECK(place.create(64).take(4, unit) == Status::ok);
    place.state().reserved = 64;  // more than there is memory for
    Place late;
    late.open();
    CHECK(late.take(20, unit) == Status::corrupted && !late.pool.is_backed(60, 1));
}

TEST(threads_share_a_pool) {
    Place place;
    place.create(300);
    std::vector<std::unique_ptr<Holdings>> all;
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; ++i) {
        all.push_back(std::make_unique<Holdings>(place, i + 1));
        threads.emplace_back([&mine = *all.back()] {
            for (int round = 0; round < 4000; ++round) mine.step(30);
            mine.give_all();
        });
    }
    for (auto& thread : threads) thread.join();
    for (auto [unit, word] : place.runs()) CHECK(!is_owned(word));
    uint32_t unit;
    CHECK(place.take(place.reserved(), unit) == Status::ok);
}

PROCESS_TEST(processes_share_a_pool) {
    Place place;
    place.create(300);
    std::vector<Child> children;
    for (uint64_t i = 0; i < 4; ++i)
        children.emplace_back([i] {
            Place own;
            Holdings mine(own.open(), i + 1);
            for (int round = 0; round < 8000; ++round) mine.step(30);
            mine.give_all();
        });
    for (auto& child : children) CHECK(child.ended_well());
    for (auto [unit, word] : place.runs()) CHECK(!is_owned(word));
    uint32_t unit;
    CHECK(place.take(place.reserved(), unit) == Status::ok);
}

// What recovery does for the pool: the runs of the dead are given back.
static void bury_the_dead(Place& place) {
    for (auto [unit, word] : place.runs())
        if (is_owned(word) && !place.people.is_alive(Unit::owner(word))) place.pool.give(unit);
}

PROCESS_TEST(killed_at_any_point_of_a_change_the_pool_goes_on) {
    for (const char* point : {"pool_grown", "pool_merging", "pool_split", "pool_taken", "lock_taken"})
        for (int count : {1, 2, 3, 7, 20}) {
            const bool grows = !strcmp(point, "pool_grown");
            if (grows && count > 3) continue;
            Place place;
            Holdings mine(place.create(400), 77);
            for (int i = 0; i < (grows ? 0 : 60); ++i) mine.step(20);
            Child victim([&] {
                Place own;
                Holdings his(own.open(), uint64_t(count));
                arm(point, count);
                for (int i = 0; i < 20'000; ++i) his.step(60);
            });
            while (victim.is_running())
                if (!grows) mine.step(20);
            CHECK(victim.was_killed());
            for (int i = 0; i < 300; ++i) {
                mine.step(20);
                if (i == 150) bury_the_dead(place);
            }
            check_chain(place, mine);
            mine.give_all();
            check_chain(place, mine);
            uint32_t unit;
            CHECK(place.take(place.reserved(), unit) == Status::ok);
        }
}

PROCESS_TEST(killed_again_while_taking_over) {
    for (const char* point : {"pool_merging", "pool_split"}) {
        Place place;
        Holdings mine(place.create(200), 5);
        for (int i = 0; i < 60; ++i) mine.step(20);
        for (const char* deadly : {point, "lock_takeover"}) {
            Child victim([&] {
                Place own;
                Holdings his(own.open(), 6);
                arm(deadly);
                for (int i = 0; i < 20'000; ++i) his.step(20);
            });
            CHECK(victim.was_killed());
        }
        for (int i = 0; i < 300; ++i) mine.step(20);
        bury_the_dead(place);
        check_chain(place, mine);
    }
}
