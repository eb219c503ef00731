// One file, mapped by all who share it, gone with the last of them, however they go.
#include <fstream>
#include <thread>

#include "kit.hpp"

using namespace test;

TEST(an_opener_finds_what_the_creator_wrote) {
    SegmentSpec spec = one_page(Lifetime::kept);
    spec.config = "{\"a\":1}";
    for (uint32_t i = 0; i < kGeometryWords; ++i) spec.geometry[i] = i * 1000;
    spec.mode = 0640;
    Segment a, b;
    CHECK(create(a, "s", spec) == Status::ok);
    a.base()[kObjectAt + 5] = 'x';
    CHECK(open(b) == Status::ok);
    CHECK(b.header().kind == 77 && b.header().lifetime == Lifetime::kept);
    CHECK(std::string(b.header().config, b.header().config_bytes) == spec.config);
    CHECK(memcmp(b.header().geometry, spec.geometry, sizeof spec.geometry) == 0);
    CHECK(b.header().creator_pid == uint32_t(getpid()) && strstr(b.header().creator, program_invocation_short_name));
    CHECK(b.base()[kObjectAt + 5] == 'x');
    CHECK(a.identity() == b.identity());
}

TEST(names_are_taken_or_missing) {
    Segment a, b;
    CHECK(open(a) == Status::missing);
    CHECK(create(a) == Status::ok);
    CHECK(create(b) == Status::exists && !b.attached());
    Failure why;
    CHECK(b.open("/nowhere", "s", why) == Status::missing);
    CHECK(b.create("/nowhere", "s", one_page(), why) != Status::ok);
}

TEST(what_is_no_sound_segment_is_named_as_such) {
    Segment a, b;
    std::ofstream(path_of("text")) << "hello";
    std::ofstream(path_of("zeros")) << std::string(kObjectAt + 4096, '\0');
    CHECK(mkdir(path_of("folder").c_str(), 0700) == 0);
    CHECK(mkfifo(path_of("pipe").c_str(), 0600) == 0);
    CHECK(symlink("text", path_of("link").c_str()) == 0);
    for (const char* name : {"text", "zeros", "folder", "pipe", "link"}) {
        CHECK(open(b, name) == Status::not_a_segment);
        CHECK(!Segment::reclaim(directory, name) && exists(name));
    }

    CHECK(create(a) == Status::ok);
    auto copy = [&](const char* name, size_t at, size_t length) {
        std::filesystem::copy_file(path_of("s"), path_of(name));
        std::fstream file(path_of(name), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(long(at)).put(99);
        file.close();
        CHECK(truncate(path_of(name).c_str(), off_t(length)) == 0);
    };
    const size_t whole = kObjectAt + os::kPage;
    copy("version", offsetof(SegmentHeader, layout_version), whole);
    copy("geometry", offsetof(SegmentHeader, geometry), whole);
    copy("short", kObjectAt, whole - 1);
    CHECK(open(b, "version") == Status::wrong_version);
    CHECK(open(b, "geometry") == Status::corrupted);
    CHECK(open(b, "short") == Status::corrupted);
    CHECK(open(b) == Status::ok);
}

TEST(a_shortage_is_found_before_anything_has_a_name) {
    SegmentSpec spec = one_page();
    spec.object_bytes = uint64_t(1) << 44;
    spec.file_bytes = kObjectAt + spec.object_bytes;
    Segment a;
    Failure why;
    CHECK(a.create(directory, "s", spec, why) == Status::no_space);
    CHECK(why.wanted > spec.object_bytes && why.available > 0 && why.available < why.wanted);
    CHECK(directory_is_empty());
}

TEST(attached_goes_with_the_last_and_kept_stays) {
    // All orders of three.
    const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (auto lifetime : {Lifetime::attached, Lifetime::kept})
        for (auto& order : orders) {
            Segment all[3];
            CHECK(create(all[0], "s", one_page(lifetime)) == Status::ok);
            CHECK(open(all[1]) == Status::ok && open(all[2]) == Status::ok);
            std::string id = all[0].identity();
            for (int i = 0; i < 3; ++i) {
                CHECK(all[order[i]].is_linked());
                CHECK(all[order[i]].detach() == (i == 2 && lifetime == Lifetime::attached));
                CHECK(!all[order[i]].attached());
                CHECK(exists("s") == (i < 2 || lifetime == Lifetime::kept));
            }
            if (lifetime == Lifetime::kept) {
                CHECK(open(all[0]) == Status::ok && all[0].identity() == id);
                CHECK(!Segment::reclaim(directory, "s"));
                CHECK(all[0].unlink() && !all[0].unlink());
            }
            CHECK(directory_is_empty());
        }
}

TEST(unlinked_from_outside_the_memory_stays_and_the_name_is_free) {
    Segment a, b, fresh;
    CHECK(create(a) == Status::ok && open(b) == Status::ok);
    CHECK(unlink(path_of("s").c_str()) == 0);
    a.base()[kObjectAt] = 'x';
    CHECK(b.base()[kObjectAt] == 'x' && !a.is_linked());
    CHECK(create(fresh) == Status::ok && fresh.identity() != a.identity());
    CHECK(!a.unlink());
    a.detach();
    b.detach();
    CHECK(fresh.is_linked());
}

TEST(a_doorbell_goes_when_nobody_has_it_open) {
    Segment a;
    CHECK(create(a) == Status::ok);
    const std::string path = a.bell_path(), name = path.substr(path.rfind('/') + 1);
    CHECK(os::open_bell(path.c_str(), false, a.fd()) < 0 && !Segment::sweep(directory, name.c_str()));
    int first = os::open_bell(path.c_str(), true, a.fd()), second = os::open_bell(path.c_str(), false, a.fd());
    CHECK(first >= 0 && second >= 0);
    CHECK(a.unlink() && !Segment::sweep(directory, name.c_str()));
    close(first);
    CHECK(!Segment::sweep(directory, name.c_str()) && os::is_linked_as(second, AT_FDCWD, path.c_str()));
    close(second);
    CHECK(Segment::sweep(directory, name.c_str()) && !exists(name.c_str()));
    // What is no bell, nor a file in the making, is nobody's to remove.
    CHECK(symlink("/dev/null", path.c_str()) == 0 && !Segment::sweep(directory, name.c_str()));
    CHECK(unlink(path.c_str()) == 0 && mkdir(path.c_str(), 0700) == 0 && !Segment::sweep(directory, name.c_str()));
    CHECK(rmdir(path.c_str()) == 0);
}

PROCESS_TEST(who_opens_a_doorbell_hears_those_who_open_it_while_others_sweep) {
    Segment a;
    CHECK(create(a) == Status::ok);
    const std::string path = a.bell_path(), name = path.substr(path.rfind('/') + 1);
    std::vector<Child> sweepers;
    for (int i = 0; i < 2; ++i)
        sweepers.emplace_back([&] {
            for (;;) Segment::sweep(directory, name.c_str());
        });
    for (int round = 0; round < 2000; ++round) {
        int ear = os::open_bell(path.c_str(), true, a.fd()), hand = os::open_bell(path.c_str(), false, a.fd());
        CHECK(ear >= 0 && hand >= 0);
        os::ring(hand);
        char byte;
        CHECK(read(ear, &byte, 1) == 1);
        close(ear);
        close(hand);
    }
    for (auto& sweeper : sweepers) sweeper.kill();
    Segment::sweep(directory, name.c_str());
}

TEST(a_file_in_the_making_is_left_alone_until_its_maker_is_gone) {
    os::Directory place(directory);
    char name[40];
    int fd = os::create_hidden(place.fd(), 0600, name, sizeof name);
    CHECK(fd >= 0 && exists(name) && !Segment::sweep(directory, name));
    // Killed after it had linked the file: what the other name leads to stays.
    CHECK(os::link_file(fd, place.fd(), name, "s") == 0 && exists(name));
    close(fd);
    CHECK(Segment::sweep(directory, name) && !exists(name) && exists("s"));
    CHECK(unlink(path_of("s").c_str()) == 0);
}

PROCESS_TEST(who_makes_a_hidden_file_has_it_though_others_sweep) {
    os::Directory place(directory);
    Child sweeper([&] {
        for (;;)
            for (auto& entry : std::filesystem::directory_iterator(directory))
                Segment::sweep(directory, entry.path().filename().c_str());
    });
    for (int round = 0; round < 2000; ++round) {
        char name[40];
        int fd = os::create_hidden(place.fd(), 0600, name, sizeof name);
        CHECK(fd >= 0 && os::link_file(fd, place.fd(), name, "s") == 0);
        os::remove_hidden(place.fd(), name);
        CHECK(unlink(path_of("s").c_str()) == 0);
        close(fd);
    }
    sweeper.kill();
}

PROCESS_TEST(two_creators_agree_on_one_segment) {
    struct Notes {
        Rendezvous rendezvous;
        std::atomic<uint32_t> creators;
        char ids[2][40];
    };
    auto& notes = shared<Notes>();
    auto either = [&](int me) {
        for (int round = 0; round < 300; ++round) {
            Segment segment;
            notes.rendezvous.meet(2);
            Status status;
            for (;;) {
                status = create(segment);
                notes.creators += status == Status::ok;
                if (status == Status::exists) status = open(segment);
                if (status != Status::missing) break;
            }
            CHECK(status == Status::ok && segment.is_linked());
            strcpy(notes.ids[me], segment.identity().c_str());
            notes.rendezvous.meet(2);
            CHECK(!strcmp(notes.ids[0], notes.ids[1]));
            CHECK(notes.creators == uint32_t(round) + 1);
            segment.detach();
            notes.rendezvous.meet(2);
            CHECK(!exists("s"));
        }
    };
    Child other([&] { either(1); });
    either(0);
    CHECK(other.ended_well());
}

PROCESS_TEST(what_sigkill_of_all_left_gives_way_to_a_fresh_one) {
    auto& ready = shared<Rendezvous>();
    char before[40];
    {
        Child first([&] {
            Segment a;
            CHECK(create(a) == Status::ok);
            ready.meet(2);
            pause();
        });
        ready.meet(2);
        Child second([&] {
            Segment b;
            CHECK(open(b) == Status::ok);
            ready.meet(2);
            pause();
        });
        ready.meet(2);
        first.kill();
        {
            Segment c;
            CHECK(open(c) == Status::ok);
            strcpy(before, c.identity().c_str());
        }
        CHECK(!Segment::reclaim(directory, "s"));
        second.kill();
    }
    CHECK(exists("s"));
    Segment segment;
    CHECK(open(segment) == Status::missing && directory_is_empty());
    CHECK(create(segment) == Status::ok && segment.identity() != before);
}

PROCESS_TEST(what_sigkill_of_all_left_is_reclaimed_if_attached_and_kept_if_kept) {
    for (auto lifetime : {Lifetime::attached, Lifetime::kept}) {
        Child child([&] {
            Segment a;
            CHECK(create(a, "s", one_page(lifetime)) == Status::ok);
            a.base()[kObjectAt] = 'x';
            raise(SIGKILL);
        });
        CHECK(child.was_killed());
        if (lifetime == Lifetime::attached) {
            CHECK(Segment::reclaim(directory, "s") && directory_is_empty());
            continue;
        }
        Segment a;
        CHECK(!Segment::reclaim(directory, "s") && open(a) == Status::ok && a.base()[kObjectAt] == 'x');
    }
}

PROCESS_TEST(a_forked_childs_attachment_is_its_own) {
    struct Notes {
        Rendezvous ready;
        pid_t child;
        Owner parent;
    };
    auto& notes = shared<Notes>();
    Child parent([&] {
        Member member;
        notes.parent = member.created().people.self();
        Child child([&] {
            member.segment.base()[kObjectAt] = 'x';
            notes.child = getpid();
            notes.ready.meet(2);
            pause();
        });
        pause();
    });
    notes.ready.meet(2);
    Member here;
    here.opened();
    CHECK(here.people.is_alive(notes.parent));
    parent.kill();
    // The child has a copy of every descriptor that the parent had, and lives.
    CHECK(::kill(notes.child, 0) == 0 && !here.people.is_alive(notes.parent));
    here.people.leave();
    here.segment.detach();
    CHECK(exists("s") && open(here.segment) == Status::ok && here.segment.base()[kObjectAt] == 'x');
    here.segment.detach();
    CHECK(::kill(notes.child, SIGKILL) == 0);
    // The orphan is somebody else's to reap; its files are closed before it can be.
    Status status = Status::ok;
    for (int tries = 0; status == Status::ok && tries < 500; ++tries, usleep(10'000)) {
        status = open(here.segment);
        here.segment.detach();
    }
    CHECK(status == Status::missing && directory_is_empty());
}

PROCESS_TEST(a_fork_at_any_moment_inherits_nothing_unseen) {
    // One thread attaches, takes part and leaves, again and again, while another forks.
    Segment keeper;
    CHECK(create(keeper) == Status::ok);
    std::atomic<bool> stop{false};
    std::thread churn([&] {
        while (!stop) Member().opened();
    });
    std::vector<Child> children;
    for (int i = 0; i < 100; ++i) children.emplace_back([] { pause(); });
    stop = true;
    churn.join();
    CHECK(is_alone(keeper));
    for (auto& child : children) child.kill();
    keeper.detach();
    CHECK(directory_is_empty());
}

PROCESS_TEST(killed_while_creating) {
    for (const char* point : {"segment_created", "segment_filled", "segment_linked"}) {
        Child child([&] {
            arm(point);
            Segment a;
            create(a);
        });
        CHECK(child.was_killed());
        // Only what was linked is there, and only until somebody looks.
        CHECK(exists("s") == !strcmp(point, "segment_linked"));
        Segment a;
        CHECK(open(a) == Status::missing && directory_is_empty());
        CHECK(create(a) == Status::ok);
    }
}

PROCESS_TEST(killed_while_attaching_or_leaving) {
    for (const char* point : {"segment_attached", "slot_locked", "slot_filled"}) {
        Member member;
        member.created();
        Child child([&] {
            arm(point);
            Member other;
            other.opened();
        });
        CHECK(child.was_killed());
        CHECK(is_alone(member.segment) && member.segment.is_linked());
        Member next;
        CHECK(owner_slot(next.opened().people.self()) == 1);
        CHECK(next.people.inherited() == !strcmp(point, "slot_filled"));
    }
    CHECK(directory_is_empty());
    Child child([&] {
        arm("detach_last");
        Segment a;
        CHECK(create(a) == Status::ok);
    });
    CHECK(child.was_killed() && exists("s"));
    Segment a;
    CHECK(open(a) == Status::missing && directory_is_empty());
}

PROCESS_TEST(an_opener_does_not_wait_for_ever_for_a_stopped_remover) {
    Child child([&] {
        arm("detach_last", 1, "stop");
        Segment a;
        CHECK(create(a) == Status::ok);
    });
    child.wait_stopped();
    Segment a;
    CHECK(create(a) == Status::exists);
    int64_t limit = in_ms(20'000);
    CHECK(open(a) == Status::timed_out && os::now_ns() < limit);
    child.send(SIGCONT);
    CHECK(child.ended_well() && directory_is_empty());
}

PROCESS_TEST(who_is_attached_keeps_the_name) {
    // Creators, openers, leavers and killed ones at random: nobody ever loses the name while attached.
    auto churn = [](uint64_t seed) {
        Random random(seed);
        for (int round = 0; round < 250; ++round) {
            Segment segment;
            Status status = random.below(2) ? create(segment) : open(segment);
            if (status != Status::ok) {
                CHECK(status == Status::exists || status == Status::missing);
                continue;
            }
            CHECK(segment.is_linked());
            if (random.below(4) == 0) usleep(useconds_t(random.below(500)));
            CHECK(segment.is_linked());
            if (random.below(100) == 0) raise(SIGKILL);
        }
    };
    Random random(1);
    for (int round = 0; round < 4; ++round) {
        std::vector<Child> children;
        for (int i = 0; i < 5; ++i)
            children.emplace_back([&, seed = random.next()] { churn(seed); });
        for (auto& child : children) {
            child.wait_zombie();
            CHECK(child.ended_well() || child.was_killed());
        }
    }
    Segment segment;
    CHECK(open(segment) == Status::missing && directory_is_empty());
}
