// A pipe: its places, the end of a conversation in every way there is, and messages in parts whose sender or taker is
// killed.
#include "queue_kit.hpp"
#include "weft/pipe.hpp"

using namespace test;

static void come(Pipe& pipe, int end = -1) {
    Failure why;
    CHECK(pipe.come(end, why) == Status::ok);
}
static void make(Pipe& pipe, uint64_t directions = 2, Lifetime lifetime = Lifetime::attached) {
    SegmentSpec spec;
    const uint64_t units = 128;
    QueueGeometry{units, 0, 0, 0, units * Pool::kUnitBytes / 4, 0}.write(spec.geometry);
    spec.geometry[4] = directions;
    spec.lifetime = lifetime;
    Failure why;
    CHECK(PipeGeometry::of(spec.geometry).is_sane());
    CHECK(pipe.create(directory, "p", spec, why) == Status::ok);
    come(pipe);
}
static Status meet(Pipe& pipe, int end = -1) {
    Failure why;
    CHECK(pipe.open(directory, "p", why) == Status::ok);
    return pipe.come(end, why);
}
static void use(Pipe& pipe) {
    Failure why;
    CHECK(pipe.use(why) == Status::ok);
}
static Status send(Pipe& pipe, uint64_t id, uint64_t size = 64) {
    std::vector<char> bytes(size);
    fill(bytes.data(), id, size);
    Outgoing message;
    message.data = bytes.data();
    message.size = uint32_t(size);
    Failure why;
    return pipe.sends()->put(message, in_ms(kLockPatience), why);
}
// The next message, or the end.
static Status receive(Pipe& pipe, Incoming& message, std::vector<char>& buffer) {
    Queue& queue = *pipe.receives();
    buffer.resize(queue.geometry().inline_max);
    for (;;) {
        message.clear();
        Status status = queue.take(message, buffer.data(), in_ms(kLockPatience));
        if (status != Status::empty && status != Status::busy && status != Status::timed_out) return status;
        queue.wait_items(in_ms(10'000), Waiting::balanced);
    }
}
static uint64_t receive(Pipe& pipe) {
    Incoming message;
    std::vector<char> buffer;
    CHECK(receive(pipe, message, buffer) == Status::ok);
    uint64_t id;
    memcpy(&id, buffer.data(), sizeof id);
    CHECK(message.unit == Pool::kNowhere && is_filled(buffer.data(), id, message.size));
    return id;
}
static bool is_at_end(Pipe& pipe) {
    Incoming message;
    std::vector<char> buffer;
    return receive(pipe, message, buffer) == Status::shut_down && send(pipe, 1) == Status::shut_down;
}
// A part whose head says which of which message it is.
static Status send_part(Pipe& pipe, uint64_t number, uint64_t part, uint64_t parts) {
    Failure why;
    Outgoing message;
    if (part == 0)
        while (pipe.sends()->claim_series() != Status::ok) sched_yield();
    Status status = pipe.sends()->take_block(sizeof(PartHead) + 5000, message.unit, in_ms(kLockPatience), why);
    if (status != Status::ok) return status;
    const PartHead head{parts * 5000, 0, part * 5000, number, {}};
    memcpy(pipe.sends()->pool().data(message.unit), &head, sizeof head);
    message.total = sizeof(PartHead) + 5000;
    message.marks = uint8_t((part + 1 < parts ? kMore : 0) | (part ? kContinued : 0));
    status = pipe.sends()->put(message, in_ms(kLockPatience), why);
    if (status != Status::ok) pipe.sends()->give_block(message.unit);
    return status;
}
static PartHead read_part(Pipe& pipe, const Incoming& message) {
    CHECK(message.unit != Pool::kNowhere && message.total == sizeof(PartHead) + 5000);
    PartHead head;
    memcpy(&head, pipe.receives()->pool().data(message.unit), sizeof head);
    pipe.receives()->give_block(message.unit);
    return head;
}

// --- places

TEST(two_come_and_a_third_is_refused) {
    Pipe one, two, three;
    make(one);
    CHECK(one.end() == 0 && !one.is_met() && !one.is_over());
    CHECK(send(one, 7) == Status::ok);
    CHECK(meet(two) == Status::ok && two.end() == 1);
    CHECK(one.is_met() && two.is_met());
    CHECK(meet(three) == Status::in_use);
    three.close();
    CHECK(receive(two) == 7 && send(two, 8) == Status::ok && receive(one) == 8);
    one.close();
    CHECK(is_at_end(two) && two.is_over());
    two.close();
    CHECK(directory_is_empty());
}

TEST(one_direction) {
    Pipe reader, writer;
    make(reader, 1);
    CHECK(meet(writer) == Status::ok);
    CHECK(!reader.sends() && !writer.receives());
    CHECK(send(writer, 3) == Status::ok && receive(reader) == 3);
    writer.close();
    Incoming message;
    std::vector<char> buffer;
    CHECK(receive(reader, message, buffer) == Status::shut_down);
}

TEST(a_place_stays_taken_until_both_have_gone) {
    Pipe one, two, three, four;
    make(one, 2, Lifetime::kept);
    CHECK(meet(two) == Status::ok && send(two, 5) == Status::ok);
    two.close();
    CHECK(meet(three) == Status::in_use);
    three.close();
    one.close();
    CHECK(meet(four) == Status::ok && four.end() == 0 && four.receives()->depth() == 0);
    Pipe five;
    CHECK(meet(five) == Status::ok && send(five, 6) == Status::ok && receive(four) == 6);
    CHECK(!four.is_over());
}

PROCESS_TEST(of_many_that_race_two_get_an_end) {
    struct Race {
        std::atomic<uint32_t> places[2], refused;
        Rendezvous together;
    };
    auto& race = shared<Race>();
    Pipe first;
    make(first);
    first.leave();  // this one is over: the test holds the file only
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 6; ++i)
        children.push_back(std::make_unique<Child>([&] {
            Pipe pipe;
            Failure why;
            CHECK(pipe.open(directory, "p", why) == Status::ok);
            race.together.meet(6);
            Status status = pipe.come(-1, why);
            if (status == Status::ok) ++race.places[pipe.end()];
            else if (status == Status::in_use) ++race.refused;
            else CHECK(false);
            race.together.meet(6);
        }));
    for (auto& child : children) CHECK(child->ended_well());
    CHECK(race.places[0] == 0 && race.places[1] == 1 && race.refused == 5);
}

// --- the end

PROCESS_TEST(a_death_is_the_end) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    Child child([&] {
        use(two);
        CHECK(send(two, 9) == Status::ok);
        raise(SIGSTOP);
    });
    child.wait_stopped();
    two.leave();
    CHECK(receive(one) == 9 && !one.is_over());
    Child heir([] { pause(); });  // has both ends, and uses none
    child.kill();
    CHECK(is_at_end(one));
    heir.kill();
}

PROCESS_TEST(heirs_hide_no_close) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    use(one);
    Child heir([] { pause(); });
    one.close();
    CHECK(is_at_end(two));
    heir.kill();
}

PROCESS_TEST(an_heir_goes_on_with_what_its_parent_has_not_used) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    Child heir([&] {
        use(two);
        CHECK(receive(two) == 4 && send(two, 5) == Status::ok);
    });
    two.close();
    CHECK(!one.is_over() && send(one, 4) == Status::ok && receive(one) == 5);
    CHECK(heir.ended_well() && is_at_end(one));
}

PROCESS_TEST(closing_is_the_end_wherever_it_is_killed) {
    for (const char* point : {"pipe_left", "detach_last"}) {
        Pipe one, two;
        make(one);
        Child heir_to_be([&] {
            Pipe mine;
            CHECK(meet(mine) == Status::ok);
            use(mine);
            Child heir([] { pause(); });
            arm(point);
            mine.close();
            heir.kill();
            raise(SIGKILL);
        });
        CHECK(heir_to_be.was_killed());
        CHECK(is_at_end(one));
        one.close();
        std::filesystem::remove(path_of("p"));
        (void)two;
    }
}

PROCESS_TEST(what_travels_is_held_while_it_does) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    use(two);
    const int opening = dup(two.send_off());
    CHECK(opening >= 0);
    two.close();
    CHECK(!one.is_over());
    Pipe arrived;
    CHECK(meet(arrived, 1) == Status::ok);
    ::close(opening);
    CHECK(!one.is_over());
    use(arrived);
    CHECK(send(arrived, 2) == Status::ok && receive(one) == 2);
    arrived.close();
    CHECK(is_at_end(one));
}

// --- parts

TEST(parts_come_in_order_with_others_between) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    Incoming message;
    std::vector<char> buffer;
    for (uint64_t part = 0; part < 4; ++part) {
        CHECK(send_part(one, 1, part, 4) == Status::ok);
        CHECK(send(one, 50 + part) == Status::ok);
        if (part < 3) CHECK(one.sends()->claim_series() == Status::full);  // one at a time
    }
    CHECK(one.sends()->claim_series() == Status::ok);
    one.sends()->end_series();
    for (uint64_t part = 0; part < 4; ++part) {
        CHECK(receive(two, message, buffer) == Status::ok && read_part(two, message).offset == part * 5000);
        CHECK(receive(two) == 50 + part);
    }
}

TEST(what_nobody_has_begun_to_take_is_dropped) {
    Pipe one, two;
    make(one);
    CHECK(meet(two) == Status::ok);
    Incoming message;
    std::vector<char> buffer;
    for (uint64_t part = 0; part < 3; ++part) CHECK(send_part(one, 1, part, 5) == Status::ok);
    CHECK(receive(two, message, buffer) == Status::ok && read_part(two, message).offset == 0);
    two.receives()->abandon_series();
    one.sends()->end_series();
    CHECK(send_part(one, 2, 0, 2) == Status::ok && send_part(one, 2, 1, 2) == Status::ok);
    for (uint64_t part = 0; part < 2; ++part) {
        CHECK(receive(two, message, buffer) == Status::ok);
        const PartHead head = read_part(two, message);
        CHECK(head.number == 2 && head.offset == part * 5000);
    }
    CHECK(two.receives()->depth() == 0);
}

// Sender and taker take turns in being killed at any instruction; who takes sees first parts first, each message's
// in order, and of each that ended all.
PROCESS_TEST(killed_in_the_middle_of_parts) {
    Random random(3);
    for (int turn = 0; turn < 60; ++turn) {
        Pipe one, two;
        make(one);
        CHECK(meet(two) == Status::ok);
        auto& sent = shared<std::atomic<uint64_t>>();
        Child sender([&] {
            use(one);
            for (uint64_t number = 1;; ++number) {
                const uint64_t parts = 1 + number % 5;
                for (uint64_t part = 0; part < parts; ++part)
                    while (send_part(one, number, part, parts) != Status::ok) sched_yield();
                sent = number;
            }
        });
        one.leave();
        use(two);
        Child killer([&] {
            usleep(useconds_t(random.below(8'000)));
            sender.send(SIGKILL);
        });
        uint64_t number = 0, next = 0, whole = 0;
        Incoming message;
        std::vector<char> buffer;
        Status status;
        while ((status = receive(two, message, buffer)) == Status::ok) {
            const PartHead head = read_part(two, message);
            if (head.offset == 0) number = head.number, next = 0;
            CHECK(head.number == number && head.offset == next && number == whole + 1);
            next += 5000;
            if (next == head.total) whole = number;
        }
        CHECK(status == Status::shut_down && whole >= sent && whole <= sent + 1);
        CHECK(killer.ended_well() && sender.was_killed());
        random.next();
    }
}

// --- hostile memory

TEST(nothing_that_the_state_may_say_does_harm) {
    Random random(11);
    for (int turn = 0; turn < 200; ++turn) {
        Pipe one, two;
        make(one);
        CHECK(meet(two) == Status::ok);
        use(one);
        auto* bytes = reinterpret_cast<char*>(&one.state());
        for (int i = 0; i < 20; ++i) {
            const uint64_t at = random.below(2 * os::kPage / 4) * 4;
            if (at < sizeof(RobustLock)) continue;  // a lock that says that it is held is waited for
            const uint32_t value = uint32_t(random.next());
            memcpy(bytes + at, &value, sizeof value);
        }
        one.is_over();
        two.is_over();
        one.is_held(0);
        const int listener = one.listen_for_items(-1);
        if (listener >= 0) ::close(listener);
        Failure why;
        two.use(why);
        two.leave();
        one.close();
        two.close();
        std::filesystem::remove_all(directory);
        std::filesystem::create_directory(directory);
    }
}
