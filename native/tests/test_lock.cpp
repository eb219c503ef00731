// A lock with an owner, which outlives it.
#include <pthread.h>

#include <thread>

#include "kit.hpp"
#include "weft/lock.hpp"

using namespace test;

// What the page holds: the lock, and memory as plain as what a lock is to guard.
struct Guarded {
    RobustLock lock;
    uint32_t inside;
    uint64_t count;
};

static Guarded& guarded(Member& member) { return *reinterpret_cast<Guarded*>(member.segment.base() + kObjectAt); }

static RobustLock::Result take(Member& member, int64_t milliseconds = 10'000) {
    return guarded(member).lock.lock(member.people, in_ms(milliseconds));
}

static void count_up(Member& member, int rounds) {
    Guarded& page = guarded(member);
    for (int i = 0; i < rounds; ++i) {
        auto result = take(member);
        CHECK(result.status == Status::ok && result.dead == 0);
        CHECK(page.inside++ == 0);
        ++page.count;
        CHECK(page.inside-- == 1);
        page.lock.unlock();
    }
}

static void count_up_in_threads(Member& member, int threads, int rounds) {
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) all.emplace_back([&] { count_up(member, rounds); });
    for (auto& thread : all) thread.join();
}

TEST(threads_exclude_each_other) {
    Member here;
    here.created();
    count_up_in_threads(here, 4, 20'000);
    CHECK(guarded(here).count == 80'000 && guarded(here).lock.owner() == 0);
}

PROCESS_TEST(threads_of_processes_exclude_each_other) {
    Member here;
    here.created();
    std::vector<Child> children;
    for (int i = 0; i < 3; ++i)
        children.emplace_back([] {
            Member member;
            count_up_in_threads(member.opened(), 3, 10'000);
        });
    count_up(here, 10'000);
    for (auto& child : children) CHECK(child.ended_well());
    CHECK(guarded(here).count == 100'000 && guarded(here).lock.owner() == 0);
}

// Time may be up before it sleeps: on a busy machine a thread is away for longer than that.
static bool is_late(Status status) { return status == Status::timed_out || status == Status::busy; }

TEST(a_lock_in_use_is_busy_at_once_or_times_out_in_time) {
    Member a, b;
    a.created();
    b.opened();
    CHECK(take(a).status == Status::ok && guarded(a).lock.owner() == a.people.self());
    CHECK(guarded(b).lock.lock(b.people, 0).status == Status::busy);
    for (int milliseconds : {1, 15, 60}) {
        int64_t start = os::now_ns();
        CHECK(is_late(take(b, milliseconds).status));
        CHECK(os::now_ns() - start >= milliseconds * 1'000'000);
    }
    // Its owner may not come to it twice either.
    CHECK(is_late(take(a, 1).status));
    guarded(a).lock.unlock();
    CHECK(guarded(b).lock.lock(b.people, 0).status == Status::ok);
    guarded(b).lock.unlock();
}

TEST(a_signal_ends_the_wait) {
    Member a, b;
    a.created();
    b.opened();
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    CHECK(take(a).status == Status::ok);
    std::atomic<int> ended{-1};
    std::thread waiter([&] { ended = int(take(b, 60'000).status); });
    while (ended < 0) {
        pthread_kill(waiter.native_handle(), SIGUSR1);
        usleep(2000);
    }
    waiter.join();
    CHECK(Status(int(ended)) == Status::interrupted);
    guarded(a).lock.unlock();
}

// However little patience it has: where it has to wait at all, it asks before it gives up.
PROCESS_TEST(who_gives_up_has_asked_whether_the_owner_lives) {
    Member here;
    here.created();
    for (int64_t patience_ns : {300'000, 1'000'000, 19'000'000}) {
        Child owner([] {
            Member member;
            CHECK(take(member.opened()).status == Status::ok);
            raise(SIGKILL);
        });
        CHECK(owner.was_killed());
        RobustLock::Result result;
        do result = guarded(here).lock.lock(here.people, os::now_ns() + patience_ns);
        while (result.status == Status::busy);  // it did not come to waiting
        CHECK(result.status == Status::ok && result.dead != 0);
        guarded(here).lock.unlock();
    }
}

PROCESS_TEST(who_takes_over_from_the_dead_is_told_and_nobody_else) {
    struct Notes {
        Rendezvous ready;
        std::atomic<Owner> owner, told;
        std::atomic<int> times;
    };
    auto& notes = shared<Notes>();
    Member here;
    here.created();
    Child owner([&] {
        Member member;
        notes.owner = member.opened().people.self();
        CHECK(take(member).status == Status::ok);
        notes.ready.meet(2);
        pause();
    });
    notes.ready.meet(2);
    std::vector<Child> waiters;
    for (int i = 0; i < 3; ++i)
        waiters.emplace_back([&] {
            Member member;
            member.opened();
            notes.ready.meet(4);
            auto result = take(member);
            CHECK(result.status == Status::ok);
            if (result.dead) {
                notes.told = result.dead;
                ++notes.times;
            }
            guarded(member).lock.unlock();
        });
    notes.ready.meet(4);
    usleep(30'000);
    int64_t killed = os::now_ns();
    owner.kill();
    for (auto& waiter : waiters) CHECK(waiter.ended_well());
    CHECK(notes.times == 1 && notes.told == notes.owner);
    CHECK(os::now_ns() - killed < 2'000'000'000);
}

PROCESS_TEST(an_owner_that_died_long_ago_holds_nobody_up) {
    Member here;
    here.created();
    for (int i = 0; i < 5; ++i) {
        Child child([&] {
            arm("lock_taken");
            Member member;
            take(member.opened());
        });
        CHECK(child.was_killed());
        Owner dead = guarded(here).lock.owner();
        auto result = take(here, 1000);
        CHECK(result.status == Status::ok && result.dead == dead && owner_slot(dead) == 1);
        guarded(here).lock.unlock();
        CHECK(take(here, 0).dead == 0);
        guarded(here).lock.unlock();
    }
}

PROCESS_TEST(a_death_while_taking_over_is_told_of_as_well) {
    Member here;
    here.created();
    auto& second = shared<std::atomic<Owner>>();
    // Kept apart by a bystander, lest the second inherit the first one's slot.
    Child first([&] {
        arm("lock_taken");
        Member member;
        take(member.opened());
    });
    first.wait_zombie();
    Member bystander;
    bystander.opened();
    Child next([&] {
        arm("lock_takeover");
        Member member;
        second = member.opened().people.self();
        take(member);
    });
    CHECK(first.was_killed() && next.was_killed());
    auto result = take(here);
    CHECK(result.status == Status::ok && result.dead == second);
}

PROCESS_TEST(nobody_takes_the_lock_of_a_stopped_owner) {
    Member here;
    here.created();
    Child child([&] {
        arm("lock_taken", 1, "stop");
        Member member;
        CHECK(take(member.opened()).status == Status::ok);
        guarded(member).count = 7;
        guarded(member).lock.unlock();
    });
    child.wait_stopped();
    for (int i = 0; i < 3; ++i) CHECK(take(here, 100).status == Status::timed_out);
    CHECK(guarded(here).count == 0);
    child.send(SIGCONT);
    auto result = take(here);
    CHECK(result.status == Status::ok && result.dead == 0 && guarded(here).count == 7);
    CHECK(child.ended_well());
}

PROCESS_TEST(exclusion_stands_while_owners_are_killed) {
    Member here;
    Guarded& page = guarded(here.created());
    auto& told = shared<std::atomic<uint64_t>>();
    Random random(3);
    auto start = [&](uint64_t seed) {
        return Child([&page, &told, seed] {
            Random own(seed);
            Member member;
            member.opened();
            for (;;) {
                auto result = take(member);
                CHECK(result.status == Status::ok);
                // Only the dead may have left somebody inside.
                CHECK(page.inside == 0 || result.dead != 0);
                told += page.inside;
                page.inside = 1;
                for (auto spins = own.below(300); spins; --spins) relax_cpu();
                page.inside = 0;
                page.lock.unlock();
            }
        });
    };
    std::vector<Child> children;
    for (int i = 0; i < 3; ++i) children.push_back(start(random.next()));
    for (int round = 0; round < 60; ++round) {
        usleep(useconds_t(random.below(8000)));
        Child& victim = children[random.below(children.size())];
        CHECK(victim.is_running());
        victim.kill();
        victim = start(random.next());
    }
    for (auto& child : children) child.kill();
    CHECK(take(here).status == Status::ok && told > 0);
}
