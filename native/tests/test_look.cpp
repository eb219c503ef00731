// Looking from outside: what is seen, that nobody notices, and that no content can do harm. Removing.
#include <fstream>

#include "queue_kit.hpp"
#include "weft/queue_look.hpp"

using namespace test;

static Status look_at(Look& look, const char* name = "q") {
    Failure why;
    return look.open(directory, name, why);
}

static std::vector<Look::Person> people_of(const Look& look) {
    std::vector<Look::Person> people;
    CHECK(look.people(people));
    return people;
}

static Segment::Removal remove_it(const char* name, Segment::Reach reach = Segment::Reach::left) {
    Failure why;
    return Segment::remove(directory, name, reach, why);
}

TEST(a_look_tells_what_is_there) {
    Look none;
    CHECK(look_at(none) == Status::missing && none.fd() < 0);
    CHECK(mkfifo(path_of("pipe").c_str(), 0600) == 0 && mkdir(path_of("folder").c_str(), 0700) == 0);
    CHECK(symlink("folder", path_of("link").c_str()) == 0);
    for (const char* name : {"pipe", "folder", "link"}) {
        Look look;
        CHECK(look_at(look, name) == Status::not_a_segment && look.fd() < 0);
        CHECK(remove_it(name, Segment::Reach::damaged) == Segment::Removal::foreign && exists(name));
    }

    QueueObject a, b;
    create(a);
    open(b);
    Look look;
    CHECK(look_at(look) == Status::ok && look.header().kind == kQueueKind);
    CHECK(look.has_participants() && look.is_attached() && look.on_tmpfs());
    auto people = people_of(look);
    CHECK(people.size() == 2 && people[0].alive && people[1].alive && people[0].pid == uint32_t(getpid()));
    CHECK(people[0].owner == a.people().self() && people[1].owner == b.people().self());
    b.close();
    CHECK(people_of(look).size() == 1);
    a.close();
    CHECK(!look.has_participants() && !look.is_attached() && !exists("q"));
}

TEST(a_look_takes_nothing_that_others_need) {
    QueueObject a;
    create(a);
    Look look;
    CHECK(look_at(look) == Status::ok);
    // One that is open, and one that asked for the lock, keep nobody in and nobody out.
    CHECK(look.is_attached());
    a.close();
    CHECK(!exists("q"));
    create(a);
    CHECK(people_of(look).empty());  // the file that it has open is another
}

TEST(counters_and_holders_of_a_queue) {
    QueueObject a;
    create(a, {.units = 256});
    for (uint64_t id = 0; id < 6; ++id) CHECK(put(a, id, id < 3 ? 100 : 20'000) == Status::ok);
    Taken leased, held, returned;
    CHECK(take(a, leased, true, 0) == Status::ok && take(a, returned, true, 0) == Status::ok);
    CHECK(take(a, held, false, 0) == Status::ok && held.id == 2);
    Taken block;
    CHECK(take(a, block, false, 0) == Status::ok && block.id == 3);
    Failure why;
    uint32_t loan = 0;
    CHECK(a.take_block(5'000, loan, in_ms(1'000), why) == Status::ok);
    CHECK(give_back(a, returned) == Status::ok);

    Look look;
    QueueLook queue;
    CHECK(look_at(look) == Status::ok && queue.read(look));
    CHECK(queue.depth() == a.depth() && queue.depth() == 3 && queue.state().sent == 6);
    uint64_t bytes = 0;
    auto holders = queue.holders(bytes);
    CHECK(bytes == a.returned_bytes() && bytes == 100);
    CHECK(holders.size() == 1 && holders.begin()->first == a.people().self());
    auto& mine = holders.begin()->second;
    CHECK(mine.leases == 1 && mine.held_bytes == 5 * Pool::kUnitBytes && mine.loaned_bytes == 2 * Pool::kUnitBytes);
    a.give_block(loan);
    block.free(a);
    acknowledge(a, leased);
}

TEST(no_content_does_harm) {
    QueueObject a;
    create(a, {.units = 64, .lifetime = Lifetime::kept});
    for (uint64_t id = 0; id < 20; ++id) CHECK(put(a, id, id % 2 ? 50 : 9'000) == Status::ok);
    a.close();
    const auto size = std::filesystem::file_size(path_of("q"));
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        Random random(seed);
        std::filesystem::copy_file(path_of("q"), path_of("copy"));
        {
            std::fstream file(path_of("copy"), std::ios::in | std::ios::out | std::ios::binary);
            for (int i = 0; i < 40; ++i) {
                const uint64_t parts[] = {kParticipantsAt, kObjectAt, kObjectAt + QueueGeometry::kLeasesAt, kObjectAt + QueueGeometry::kTableAt};
                file.seekp(long(parts[random.below(4)] + random.below(512) * 8));
                uint64_t word = random.below(3) ? random.below(~uint64_t(0)) : random.below(70'000);
                file.write(reinterpret_cast<const char*>(&word), sizeof word);
            }
        }
        if (seed % 3 == 0) std::filesystem::resize_file(path_of("copy"), random.below(size));
        Look look;
        QueueLook queue;
        std::vector<Look::Person> people;
        uint64_t bytes = 0;
        if (look_at(look, "copy") == Status::ok) {
            look.people(people);
            if (queue.read(look)) queue.holders(bytes);
        }
        std::filesystem::remove(path_of("copy"));
    }
}

TEST(a_look_at_a_file_that_is_cut_off_under_it) {
    QueueObject a;
    create(a, {.units = 64, .lifetime = Lifetime::kept});
    CHECK(put(a, 1, 100) == Status::ok);
    a.close();
    Look look;
    CHECK(look_at(look) == Status::ok);
    CHECK(truncate(path_of("q").c_str(), 5'000) == 0);
    QueueLook queue;
    std::vector<Look::Person> people;
    char byte;
    CHECK(!queue.read(look) && !look.people(people) && !look.read(&byte, 5'000, 1) && look.read(&byte, 4'999, 1));
    CHECK(!look.read(&byte, ~uint64_t(0), 1));
    Look again;
    CHECK(look_at(again) == Status::corrupted && again.fd() >= 0 && !again.is_attached());
}

TEST(what_removing_takes_and_what_it_leaves) {
    using R = Segment::Removal;
    using Reach = Segment::Reach;
    CHECK(remove_it("s") == R::missing);
    Segment a;
    for (auto lifetime : {Lifetime::attached, Lifetime::kept}) {
        CHECK(create(a, "s", one_page(lifetime)) == Status::ok);
        for (auto reach : {Reach::left, Reach::kept, Reach::damaged})
            CHECK(remove_it("s", reach) == (lifetime == Lifetime::kept && reach == Reach::left ? R::kept : R::in_use));
        a.detach();
        CHECK(exists("s") == (lifetime == Lifetime::kept));
    }
    CHECK(remove_it("s", Reach::left) == R::kept && remove_it("s", Reach::kept) == R::removed && directory_is_empty());

    for (auto [offset, outcome] : {std::pair{offsetof(SegmentHeader, layout_version), R::other_version},
                                   std::pair{offsetof(SegmentHeader, geometry), R::damaged}}) {
        CHECK(create(a, "s", one_page(Lifetime::kept)) == Status::ok);
        const char changed = 77;
        CHECK(pwrite(a.fd(), &changed, 1, off_t(offset)) == 1);
        CHECK(remove_it("s", Reach::kept) == outcome && remove_it("s", Reach::damaged) == R::in_use);
        a.detach();
        CHECK(remove_it("s", Reach::kept) == outcome && exists("s"));
        CHECK(remove_it("s", Reach::damaged) == R::removed && directory_is_empty());
    }
}

PROCESS_TEST(the_dead_and_the_stopped_are_told_apart) {
    QueueObject a;
    create(a);
    CHECK(put(a, 1, 100) == Status::ok);
    Child child([&] {
        QueueObject b;
        open(b);
        Taken taken;
        CHECK(take(b, taken, true, 0) == Status::ok);
        raise(SIGSTOP);
    });
    child.wait_stopped();
    Look look;
    CHECK(look_at(look) == Status::ok);
    auto people = people_of(look);
    CHECK(people.size() == 2 && people[1].alive && people[1].pid == uint32_t(child.pid()));
    child.kill();
    people = people_of(look);
    CHECK(people.size() == 2 && people[0].alive && !people[1].alive);
    QueueLook queue;
    uint64_t bytes = 0;
    CHECK(queue.read(look) && queue.holders(bytes).at(people[1].owner).leases == 1);
    CHECK(a.recover(true));
    CHECK(people_of(look).size() == 1);
}
