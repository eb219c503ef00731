// Who takes part, and that the kernel alone says who lives.
#include "kit.hpp"

using namespace test;

static std::vector<Owner> dead_of(const Participants& people) {
    std::vector<Owner> dead;
    people.each_dead([&](Owner owner) { dead.push_back(owner); });
    return dead;
}

TEST(an_owner_word_holds_slot_and_generation) {
    for (uint32_t slot : {0u, 1u, 63u, kMaxSlots - 1})
        for (uint32_t generation : {0u, 1u, 0xffffu}) {
            Owner owner = make_owner(slot, generation);
            CHECK(owner && !(owner & ~kOwnerMask));
            CHECK(owner_slot(owner) == slot && owner_generation(owner) == generation);
        }
}

TEST(a_slot_used_anew_is_somebody_else) {
    Member a, b, c;
    a.created();
    Owner first = b.opened().people.self();
    CHECK(owner_slot(first) == 1 && a.people.is_alive(first) && !b.people.inherited());
    CHECK(a.people.at(1).pid == uint32_t(getpid()) && a.people.lives(1));
    b.people.leave();
    CHECK(!a.people.is_alive(first) && !a.people.lives(1) && dead_of(a.people).empty());
    Owner second = c.opened().people.self();
    CHECK(owner_slot(second) == 1 && owner_generation(second) == owner_generation(first) + 1);
    CHECK(!c.people.inherited() && !a.people.is_alive(first) && a.people.is_alive(second));
    CHECK(!c.people.is_alive(first) && !a.people.is_alive(make_owner(2, 1)) && !a.people.is_alive(make_owner(1023, 1)));
}

TEST(generations_wrap_around) {
    Member a, b, c;
    a.created();
    a.people.at(1).word.store(0xfffe);
    Owner last = b.opened().people.self();
    CHECK(owner_generation(last) == 0xffff && a.people.is_alive(last));
    b.people.leave();
    Owner next = c.opened().people.self();
    CHECK(owner_generation(next) == 1 && a.people.is_alive(next) && !a.people.is_alive(last));
    c.people.leave();
    CHECK(a.people.at(1).word.load() == 1);  // 0 would say that the slot was never used
}

TEST(more_than_a_page_of_participants) {
    Member first;
    first.created();
    std::vector<std::unique_ptr<Member>> members;
    for (uint32_t i = 1; i < 200; ++i) {
        members.push_back(std::make_unique<Member>());
        CHECK(owner_slot(members.back()->opened().people.self()) == i);
    }
    for (auto& member : members) {
        CHECK(first.people.is_alive(member->people.self()));
        CHECK(members[130]->people.is_alive(member->people.self()));
    }
    CHECK(first.people.reserved_slots() == 256 && !is_alone(first.segment));
    members[149]->people.leave();
    CHECK(!first.people.lives(150) && first.people.lives(151));
    Member late;
    CHECK(owner_slot(late.opened().people.self()) == 150);
}

TEST(a_page_is_reached_though_the_slot_before_it_was_never_filled_in) {
    Member first, late;
    first.created();
    std::vector<std::unique_ptr<Member>> members;
    for (uint32_t i = 1; i < 63; ++i) (members.emplace_back(std::make_unique<Member>()))->opened();
    // Somebody stands between taking the last slot of the page and filling it in.
    Segment midway;
    CHECK(open(midway) == Status::ok && os::lock_byte(midway.fd(), 63));
    Owner next = late.opened().people.self();
    CHECK(owner_slot(next) == 64 && first.people.reserved_slots() == 128);
    CHECK(first.people.is_alive(next) && first.people.lives(64) && !first.people.lives(63));
    midway.detach();
    CHECK(first.people.is_alive(next) && dead_of(first.people).empty());
    Member heir;
    Owner after = heir.opened().people.self();
    CHECK(owner_slot(after) == 63 && first.people.is_alive(after) && !heir.people.inherited());
}

PROCESS_TEST(beyond_the_first_page_the_dead_ones_slots_are_taken_last) {
    auto& ready = shared<Rendezvous>();
    Member here;
    here.created();
    std::vector<std::unique_ptr<Member>> members;
    for (uint32_t i = 1; i < 64; ++i) (members.emplace_back(std::make_unique<Member>()))->opened();
    Child child([&] {
        Member member;
        CHECK(owner_slot(member.opened().people.self()) == 64);
        ready.meet(2);
        pause();
    });
    ready.meet(2);
    child.kill();
    Member late;
    CHECK(owner_slot(late.opened().people.self()) == 65 && !late.people.inherited());
    for (Owner owner : dead_of(here.people)) here.people.bury(owner);
    Member heir;
    CHECK(owner_slot(heir.opened().people.self()) == 64 && !heir.people.inherited());
}

TEST(a_full_table_turns_away_until_a_slot_is_free) {
    if (!allow_open_files(kMaxSlots + 100)) {
        puts("  not run: too few open files are allowed");
        return;
    }
    Member first;
    first.created();
    std::vector<std::unique_ptr<Member>> members;
    for (uint32_t i = 1; i < kMaxSlots; ++i) (members.emplace_back(std::make_unique<Member>()))->opened();
    CHECK(first.people.reserved_slots() == kMaxSlots && first.people.lives(kMaxSlots - 1));
    Segment segment;
    Participants late;
    Failure why;
    CHECK(open(segment) == Status::ok && late.join(segment, why) == Status::out_of_slots);
    members[500]->people.leave();
    CHECK(late.join(segment, why) == Status::ok && owner_slot(late.self()) == 501);
    late.leave();
}

PROCESS_TEST(stopped_is_alive_and_a_zombie_is_not) {
    auto& owner = shared<std::atomic<Owner>>();
    Member here;
    here.created();
    Child child([&] {
        Member member;
        owner = member.opened().people.self();
        raise(SIGSTOP);
        pause();
    });
    child.wait_stopped();
    CHECK(here.people.is_alive(owner) && dead_of(here.people).empty() && !is_alone(here.segment));
    child.send(SIGCONT);
    CHECK(here.people.is_alive(owner));
    child.send(SIGKILL);
    child.wait_zombie();
    CHECK(!here.people.is_alive(owner) && is_alone(here.segment));
    CHECK(dead_of(here.people) == std::vector<Owner>{owner});
    here.people.bury(owner);
    CHECK(dead_of(here.people).empty());
}

PROCESS_TEST(a_dead_ones_slot_is_inherited_by_its_next_holder) {
    auto& owner = shared<std::atomic<Owner>>();
    Member here;
    here.created();
    Child child([&] {
        Member member;
        owner = member.opened().people.self();
        raise(SIGKILL);
    });
    CHECK(child.was_killed());
    Member heir;
    CHECK(owner_slot(heir.opened().people.self()) == owner_slot(owner));
    CHECK(heir.people.inherited() && !here.people.is_alive(owner) && here.people.is_alive(heir.people.self()));
    // It is its heir who gives back what it had; a burial that comes late changes nothing.
    CHECK(dead_of(here.people).empty());
    here.people.bury(owner);
    CHECK(here.people.is_alive(heir.people.self()));
}

PROCESS_TEST(the_dead_of_every_page_are_found) {
    auto& ready = shared<Rendezvous>();
    Member here;
    here.created();
    Child child([&] {
        std::vector<std::unique_ptr<Member>> members;
        for (int i = 0; i < 150; ++i) (members.emplace_back(std::make_unique<Member>()))->opened();
        ready.meet(2);
        pause();
    });
    ready.meet(2);
    CHECK(dead_of(here.people).empty());
    child.kill();
    auto dead = dead_of(here.people);
    CHECK(dead.size() == 150);
    for (size_t i = 0; i < dead.size(); ++i) {
        CHECK(owner_slot(dead[i]) == i + 1);
        here.people.bury(dead[i]);
    }
    CHECK(dead_of(here.people).empty());
}

PROCESS_TEST(a_forked_child_takes_part_as_itself) {
    Member here;
    Owner parent = here.created().people.self();
    auto& notes = shared<std::atomic<Owner>>();
    auto& ready = shared<Rendezvous>();
    Child child([&] {
        CHECK(here.people.foreign() && here.people.self() == parent);
        here.join();
        CHECK(!here.people.foreign() && here.people.self() != parent && here.people.is_alive(parent));
        notes = here.people.self();
        ready.meet(2);
        pause();
    });
    ready.meet(2);
    CHECK(!here.people.foreign() && here.people.self() == parent && here.people.is_alive(notes));
    child.kill();
    CHECK(!here.people.is_alive(notes) && dead_of(here.people).size() == 1);
}

PROCESS_TEST(a_forked_child_that_does_not_join_leaves_its_parents_slot_alone) {
    Member here;
    here.created();
    CHECK(Child([&] { here.people.leave(); }).ended_well());
    CHECK(here.people.lives(owner_slot(here.people.self())));
    Member other;
    CHECK(other.opened().people.is_alive(here.people.self()));
}

PROCESS_TEST(a_child_that_could_not_join_never_passes_for_its_parent) {
    Child parent([] {
        Member here;
        here.created();
        // No descriptor is left for an opening of the child's own.
        int lowest_free = dup(0);
        close(lowest_free);
        CHECK(allow_open_files(rlim_t(lowest_free)));
        Child child([&] {
            Failure why;
            for (int tries = 0; tries < 3; ++tries) {
                CHECK(here.segment.lost() && here.people.foreign());
                CHECK(here.people.join(here.segment, why) != Status::ok);
            }
        });
        CHECK(child.ended_well());
    });
    CHECK(parent.ended_well());
}
