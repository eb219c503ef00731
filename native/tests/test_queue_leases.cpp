// Who leases a message answers for it: acknowledged, given back, or left behind at death.
#include <set>

#include "queue_kit.hpp"

using namespace test;

static uint64_t deliveries(Taken& taken) { return taken.message.deliveries; }

TEST(acknowledged_is_gone) {
    QueueObject queue;
    create(queue);
    Taken first, second;
    for (uint64_t size : {100, 20'000}) {
        CHECK(put(queue, 1, size) == Status::ok && put(queue, 2, size) == Status::ok);
        CHECK(lease(queue, first) == Status::ok && first.id == 1 && deliveries(first) == 1);
        CHECK(lease(queue, second) == Status::ok && second.id == 2 && queue.depth() == 0 && queue.state().leased == 2);
        acknowledge(queue, second);
        acknowledge(queue, first);
        CHECK(lease(queue, first) == Status::empty);
        check_nothing_is_left(queue);
    }
}

TEST(given_back_comes_first_and_the_oldest_before_all) {
    QueueObject queue;
    create(queue, {.start = kLongAgo});
    Taken all[3], taken;
    for (uint64_t id = 1; id <= 4; ++id) CHECK(put(queue, id, id == 2 ? 20'000 : 100) == Status::ok);
    for (auto& one : all) CHECK(lease(queue, one) == Status::ok);
    CHECK(give_back(queue, all[1]) == Status::ok && give_back(queue, all[2]) == Status::ok);
    CHECK(give_back(queue, all[0]) == Status::ok && queue.depth() == 4 && queue.has_items());
    CHECK(lease(queue, taken) == Status::ok && taken.id == 1 && deliveries(taken) == 2);
    acknowledge(queue, taken);
    // A plain get takes it for good.
    for (uint64_t id = 2; id <= 4; ++id) CHECK(get(queue, taken) == Status::ok && taken.id == id);
    CHECK(queue.state().redelivered == 3);
    check_nothing_is_left(queue);
}

TEST(a_replacement_goes_back_in_place_of_the_block) {
    QueueObject queue;
    create(queue);
    Taken first, second;
    Outgoing copy;
    std::vector<char> bytes;
    CHECK(put(queue, 1, 20'000) == Status::ok && lease(queue, first) == Status::ok);
    CHECK(prepare(queue, 1, 20'000, bytes, copy, 0) == Status::ok);
    CHECK(queue.give_back(first.message, copy.unit, in_ms(1000)) == Status::ok);
    CHECK(lease(queue, second) == Status::ok && second.message.unit == copy.unit && second.id == 1);
    CHECK(is_filled(queue.pool().data(first.message.unit), 1, 20'000));
    first.free(queue);
    CHECK(give_back(queue, second) == Status::ok && get(queue, second) == Status::ok);
    check_nothing_is_left(queue);
}

TEST(a_lease_keeps_what_it_stands_for) {
    // The ring goes around many times past a leased record.
    QueueObject queue;
    create(queue, {.units = 16});
    Taken kept, taken;
    CHECK(put(queue, 1, 1000) == Status::ok && put(queue, 2, 10'000) == Status::ok);
    Taken block;
    CHECK(lease(queue, kept) == Status::ok && lease(queue, block) == Status::ok);
    Random random(1);
    for (uint64_t id = 3; id < 2000; ++id) {
        CHECK(put(queue, id, some_size(random, queue, 1)) == Status::ok);
        CHECK(get(queue, taken) == Status::ok && taken.id == id);
    }
    CHECK(give_back(queue, kept) == Status::ok && give_back(queue, block) == Status::ok);
    CHECK(get(queue, taken) == Status::ok && taken.id == 1 && taken.size == 1000);
    CHECK(get(queue, taken) == Status::ok && taken.id == 2 && taken.size == 10'000);
    check_nothing_is_left(queue);
}

TEST(too_many_deliveries_are_told) {
    QueueObject queue;
    create(queue, {.max_deliveries = 3});
    Taken taken;
    for (uint64_t size : {100, 20'000}) {
        CHECK(put(queue, 1, size) == Status::ok);
        for (uint64_t n = 1; n <= 3; ++n) {
            CHECK(lease(queue, taken) == Status::ok && !taken.message.expired && deliveries(taken) == n);
            CHECK(give_back(queue, taken) == Status::ok);
        }
        // Handed out once more, to be put aside; given back it stays so, for a plain get as well.
        CHECK(lease(queue, taken) == Status::ok && taken.message.expired && deliveries(taken) == 3);
        CHECK(give_back(queue, taken) == Status::ok);
        CHECK(take(queue, taken, false, 0) == Status::ok && taken.message.expired && taken.message.lease != ~0u);
        acknowledge(queue, taken);
        check_nothing_is_left(queue);
    }
}

TEST(thousands_of_leases_at_once) {
    QueueObject queue;
    create(queue, {.units = 512});
    const uint64_t count = 10'000;
    std::vector<std::unique_ptr<Taken>> all;
    for (uint64_t id = 1; id <= count; ++id) {
        CHECK(put(queue, id, 16) == Status::ok);
        CHECK(lease(queue, *all.emplace_back(std::make_unique<Taken>())) == Status::ok && all.back()->id == id);
        all.back()->buffer = {};
    }
    CHECK(queue.state().leased == count && queue.state().lease_end == count);
    for (uint64_t i = 0; i < count; i += 2) acknowledge(queue, *all[i]);
    // Entries are used anew.
    for (uint64_t id = 1; id <= 2000; ++id) {
        Taken taken;
        CHECK(put(queue, count + id, 16) == Status::ok && lease(queue, taken) == Status::ok);
        acknowledge(queue, taken);
    }
    CHECK(queue.state().lease_end < count + 10);
    for (uint64_t i = 1; i < count; i += 2) acknowledge(queue, *all[i]);
    check_nothing_is_left(queue);
}

TEST(closing_gives_back_what_is_leased) {
    QueueObject here;
    create(here);
    Taken taken;
    for (uint64_t id = 1; id <= 3; ++id) CHECK(put(here, id, id * 5000) == Status::ok);
    {
        QueueObject other;
        open(other);
        Taken all[3];
        for (auto& one : all) CHECK(lease(other, one) == Status::ok);
        CHECK(here.depth() == 0);
        other.close();
    }
    CHECK(here.depth() == 3);
    for (uint64_t id = 1; id <= 3; ++id) CHECK(lease(here, taken) == Status::ok && taken.id == id && deliveries(taken) == 2), acknowledge(here, taken);
    check_nothing_is_left(here);
}

TEST(the_stream_has_not_ended_while_another_may_give_back) {
    QueueObject here, other;
    create(here);
    open(other);
    Taken mine, taken;
    CHECK(put(here, 1, 100) == Status::ok && lease(here, mine) == Status::ok);
    here.shut_down(false);
    CHECK(get(other, taken) == Status::empty && get(here, taken) == Status::shut_down);
    CHECK(give_back(here, mine) == Status::ok);
    CHECK(get(other, taken) == Status::ok && taken.id == 1 && get(other, taken) == Status::shut_down);
}

TEST(what_came_back_counts_with_its_bytes) {
    QueueObject queue;
    create(queue, {.start = kLongAgo});
    Taken all[3], taken;
    for (uint64_t id = 1; id <= 3; ++id) CHECK(put(queue, id, id == 2 ? 20'000 : 100 * id) == Status::ok);
    for (auto& one : all) CHECK(lease(queue, one) == Status::ok);
    CHECK(queue.returned_bytes() == 0);
    const uint64_t sizes[] = {100, 20'000, 300};
    uint64_t bytes = 0;
    for (int i : {1, 2, 0}) {
        CHECK(give_back(queue, all[i]) == Status::ok);
        CHECK(queue.returned_bytes() == (bytes += sizes[i]));
    }
    for (int i : {0, 1, 2}) {
        CHECK(get(queue, taken) == Status::ok);
        CHECK(queue.returned_bytes() == (bytes -= sizes[i]));
    }
    check_nothing_is_left(queue);
}

TEST(nothing_waits_after_an_immediate_shutdown) {
    QueueObject here, other;
    create(here);
    open(other);
    Taken mine, others, taken;
    for (uint64_t id = 1; id <= 3; ++id) CHECK(put(here, id, 100) == Status::ok);
    CHECK(lease(here, mine) == Status::ok && lease(other, others) == Status::ok);
    here.shut_down(true);
    CHECK(here.depth() == 0 && here.state().dropped_oldest == 1);
    CHECK(give_back(here, mine) == Status::ok && here.depth() == 0 && here.returned_bytes() == 0);
    other.close();
    CHECK(here.depth() == 0 && get(here, taken) == Status::shut_down && lease(here, taken) == Status::shut_down);
}

TEST(the_last_one_out_is_told_what_goes_with_it) {
    for (auto lifetime : {Lifetime::attached, Lifetime::kept}) {
        QueueObject here, other;
        create(here, {.lifetime = lifetime});
        open(other);
        Taken taken;
        for (uint64_t id = 1; id <= 3; ++id) CHECK(put(here, id, 100) == Status::ok);
        CHECK(lease(here, taken) == Status::ok && here.close() == 0);
        CHECK(get(other, taken) == Status::ok && taken.id == 1 && lease(other, taken) == Status::ok);
        CHECK(other.close() == (lifetime == Lifetime::attached ? 2 : 0));
        if (lifetime == Lifetime::kept) open(here), CHECK(here.segment().unlink() && here.close() == 0);
    }
}

PROCESS_TEST(leases_stand_while_the_memory_grows) {
    for (int round = 0; round < 10; ++round) {
        auto& ready = shared<Rendezvous>();
        QueueObject queue;
        create(queue, {.units = 4096});
        for (uint64_t id = 1; id <= 4000; ++id) CHECK(put(queue, id, 16) == Status::ok);
        Child grower([&] {
            rejoin(queue);
            uint32_t unit;
            Failure why;
            ready.meet(2);
            while (queue.take_block(1, unit, in_ms(kLockPatience), why) == Status::ok) {
            }
        });
        ready.meet(2);
        std::set<uint32_t> entries;
        Taken taken;
        for (uint64_t id = 1; id <= 4000; ++id)
            CHECK(lease(queue, taken) == Status::ok && taken.id == id && entries.insert(taken.message.lease).second);
        CHECK(grower.ended_well());
    }
}

PROCESS_TEST(a_dead_holders_leases_come_to_who_waits) {
    for (uint64_t start : {uint64_t(0), kLongAgo}) {
        auto& ready = shared<Rendezvous>();
        QueueObject queue;
        create(queue, {.start = start});
        for (uint64_t id = 1; id <= 5; ++id) CHECK(put(queue, id, id % 2 ? 100 : 20'000) == Status::ok);
        Child holder([&] {
            QueueObject own;
            open(own);
            Taken all[5];
            for (auto& one : all) CHECK(lease(own, one) == Status::ok);
            acknowledge(own, all[2]);
            ready.meet(2);
            pause();
        });
        ready.meet(2);
        Taken taken;
        CHECK(lease(queue, taken, in_ms(50)) == Status::empty);
        holder.kill();
        int64_t died = os::now_ns();
        std::set<uint64_t> ids;
        for (int i = 0; i < 4; ++i) {
            CHECK(lease(queue, taken, in_ms(5000)) == Status::ok && deliveries(taken) == 2);
            ids.insert(taken.id);
            acknowledge(queue, taken);
        }
        CHECK(os::now_ns() - died < 1'000'000'000 && ids == std::set<uint64_t>({1, 2, 4, 5}));
        CHECK(get(queue, taken) == Status::empty);
        check_nothing_is_left(queue);
        queue.close();
    }
}

PROCESS_TEST(a_lease_on_what_a_dead_getter_had_marked_keeps_its_block) {
    QueueObject queue;
    create(queue);
    CHECK(put(queue, 1, 20'000) == Status::ok);
    Child getter([&] {
        QueueObject own;
        open(own);
        Taken taken;
        arm("get_block_held");
        get(own, taken);
    });
    CHECK(getter.was_killed());
    Taken taken;
    CHECK(lease(queue, taken) == Status::ok && taken.id == 1);
    queue.recover(true);
    // Whatever is put now goes elsewhere.
    for (uint64_t id = 2; put(queue, id, 20'000) == Status::ok; ++id) {
    }
    taken.check(queue);
    CHECK(taken.id == 1 && give_back(queue, taken) == Status::ok && get(queue, taken) == Status::ok && taken.id == 1);
    while (get(queue, taken) == Status::ok) {
    }
    check_nothing_is_left(queue);
}

PROCESS_TEST(a_stopped_holder_keeps_its_lease) {
    QueueObject queue;
    create(queue);
    CHECK(put(queue, 1, 20'000) == Status::ok);
    Child holder([&] {
        rejoin(queue);
        Taken taken;
        CHECK(lease(queue, taken) == Status::ok);
        raise(SIGSTOP);
        acknowledge(queue, taken);
    });
    holder.wait_stopped();
    Taken taken;
    CHECK(lease(queue, taken, in_ms(200)) == Status::empty && !queue.recover(true));
    holder.send(SIGCONT);
    CHECK(holder.ended_well() && get(queue, taken) == Status::empty);
    check_nothing_is_left(queue);
}

PROCESS_TEST(a_job_that_kills_its_holders_expires) {
    QueueObject queue;
    create(queue, {.max_deliveries = 3});
    CHECK(put(queue, 1, 20'000) == Status::ok);
    for (int i = 0; i < 3; ++i) {
        Child victim([&] {
            QueueObject own;
            open(own);
            Taken taken;
            CHECK(lease(own, taken, in_ms(5000)) == Status::ok && !taken.message.expired);
            raise(SIGKILL);
        });
        CHECK(victim.was_killed());
    }
    Taken taken;
    CHECK(lease(queue, taken, in_ms(5000)) == Status::ok && taken.message.expired);
    acknowledge(queue, taken);
    check_nothing_is_left(queue);
}

PROCESS_TEST(leases_of_more_dead_than_one_look_takes) {
    // Each holder is dead before the next comes; all lie about when somebody looks.
    QueueObject queue;
    create(queue, {.units = 256});
    auto& ready = shared<Rendezvous>();
    const uint64_t holders = 150;
    for (uint64_t id = 1; id <= holders; ++id) CHECK(put(queue, id, id % 5 ? 100 : 9000) == Status::ok);
    Child host([&] {
        std::vector<std::unique_ptr<QueueObject>> all;
        for (uint64_t i = 0; i < holders; ++i) {
            Taken taken;
            open(*all.emplace_back(std::make_unique<QueueObject>()));
            CHECK(lease(*all.back(), taken) == Status::ok);
        }
        ready.meet(2);
        pause();
    });
    ready.meet(2);
    host.kill();
    std::set<uint64_t> ids;
    Taken taken;
    while (get(queue, taken, in_ms(300)) == Status::ok) CHECK(ids.insert(taken.id).second);
    CHECK(ids.size() == holders);
    while (queue.recover(true)) {
    }
    check_nothing_is_left(queue);
}
