// Who is told that a message has come: once, when nobody waits for it, and also by whoever takes over from the dead.
#include <thread>

#include "queue_kit.hpp"

using namespace test;

static void create_noticing(QueueObject& queue) { create(queue, {.units = 64, .limit = 50}); }

static bool is_told(QueueObject& queue, uint64_t mark, int64_t deadline_ns = 0) {
    while (queue.is_registered(mark) && os::now_ns() < deadline_ns) queue.wait_notice(mark, deadline_ns);
    return !queue.is_registered(mark);
}

TEST(once_and_only_when_it_was_empty) {
    QueueObject queue(kMessageQueueKind);
    create_noticing(queue);
    Taken taken;
    CHECK(put(queue, 1, 10) == Status::ok);
    uint64_t mark = queue.register_notice();
    CHECK(mark && queue.registrant() == queue.people().self());
    CHECK(put(queue, 2, 10) == Status::ok && !is_told(queue, mark));  // it was not empty
    CHECK(get(queue, taken) == Status::ok && get(queue, taken) == Status::ok && !is_told(queue, mark));
    CHECK(put(queue, 3, 20'000) == Status::ok && is_told(queue, mark) && queue.registrant() == 0);
    CHECK(get(queue, taken) == Status::ok && put(queue, 4, 10) == Status::ok && queue.registrant() == 0);
    CHECK(!queue.cancel_notice(mark));
    CHECK(get(queue, taken) == Status::ok && (mark = queue.register_notice()) != 0);
    CHECK(queue.cancel_notice(mark) && put(queue, 5, 10) == Status::ok && queue.registrant() == 0);
}

TEST(one_at_a_time_and_each_registration_is_another) {
    QueueObject a(kMessageQueueKind), b(kMessageQueueKind);
    create_noticing(a);
    open(b);
    const uint64_t first = a.register_notice();
    CHECK(first && b.register_notice() == 0 && a.register_notice() == 0);
    CHECK(a.cancel_notice(first));
    const uint64_t second = b.register_notice(), again = (b.cancel_notice(second), a.register_notice());
    CHECK(second && again && again != first && !a.is_registered(first) && !a.cancel_notice(first));
    CHECK(a.is_registered(again));
}

// A consumer that is asleep, or counts itself as one that waits, gets the message instead.
TEST(who_waits_for_the_message_goes_before_who_waits_to_be_told) {
    QueueObject queue(kMessageQueueKind), other(kMessageQueueKind);
    create_noticing(queue);
    open(other);
    Taken taken;
    const uint64_t mark = queue.register_notice();
    other.count_consumer(1);
    CHECK(put(queue, 1, 10) == Status::ok && !is_told(queue, mark));
    CHECK(get(other, taken) == Status::ok);
    other.count_consumer(-1);
    std::thread consumer([&] {
        Taken mine;
        CHECK(get(other, mine, in_ms(60'000)) == Status::ok && mine.id == 2);
    });
    auto waits = [&] { return other.people().mine().waiting_consumers.load() != 0; };
    while (!waits()) std::this_thread::yield();
    CHECK(put(queue, 2, 10) == Status::ok);
    consumer.join();
    CHECK(!is_told(queue, mark));
    CHECK(put(queue, 3, 10) == Status::ok && is_told(queue, mark));
}

TEST(who_sleeps_until_it_is_told_is_woken) {
    QueueObject queue(kMessageQueueKind), other(kMessageQueueKind);
    create_noticing(queue);
    open(other);
    for (uint64_t id = 0; id < 300; ++id) {
        const uint64_t mark = other.register_notice();
        std::thread sleeper([&] { CHECK(is_told(other, mark, in_ms(60'000))); });
        if (id % 3 == 0) std::this_thread::yield();
        if (id % 5 == 4) CHECK(other.cancel_notice(mark));  // which wakes it as well
        else CHECK(put(queue, id, 10) == Status::ok);
        sleeper.join();
        Taken taken;
        if (id % 5 != 4) CHECK(get(queue, taken) == Status::ok);
    }
}

PROCESS_TEST(the_place_of_the_dead_is_free) {
    QueueObject queue(kMessageQueueKind);
    create_noticing(queue);
    Child registered([&] {
        rejoin(queue);
        CHECK(queue.register_notice());
        raise(SIGKILL);
    });
    CHECK(registered.was_killed() && queue.registrant() != 0);
    const uint64_t mark = queue.register_notice();
    CHECK(mark && queue.is_registered(mark));
}

PROCESS_TEST(told_of_the_message_of_a_sender_that_died_before_it_could_tell) {
    for (const char* point : {"put_committed", "notice_due", "notice_given"}) {
        QueueObject queue(kMessageQueueKind);
        create_noticing(queue);
        const uint64_t mark = queue.register_notice();
        Child sender([&] {
            rejoin(queue);
            arm(point, 1);
            put(queue, 7, 10);
        });
        CHECK(sender.was_killed() && is_told(queue, mark, in_ms(60'000)));
        Taken taken;
        CHECK(get(queue, taken) == Status::ok && taken.id == 7);
        queue.close();
    }
}
