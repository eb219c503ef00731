// Processes killed at every point at which shared state is half changed, and at any instruction.
//
// All who take part keep a ledger of what they have begun and finished. When all is over and the queue
// drained, each message must have been consumed once, but for what the rules let a dead process take
// along: the messages of one unfinished plain get, or one whose acknowledgement has happened.
#include "queue_kit.hpp"

using namespace test;

static constexpr uint64_t kWorkers = 64, kPerWorker = 20'000;

struct Note {
    std::atomic<uint8_t> begun, put, consumed, acknowledging;
};
struct Ledger {
    Note notes[kWorkers * kPerWorker];
    std::atomic<uint8_t> getting[kWorkers];  // how many messages the unfinished get may have taken

    void consume(uint64_t id) { CHECK(++notes[id].consumed == 1); }
};

// Does everything that a queue is for, at random.
class Worker {
public:
    Worker(QueueObject& queue, Ledger& ledger, uint64_t number)
        : queue_(queue), ledger_(ledger), random_(number + 7), number_(number), next_(number * kPerWorker) {}

    void step() {
        switch (random_.below(12)) {
            case 0: case 1: case 2: put_one(); break;
            case 3: put_some(); break;
            case 4: case 5: get_one(); break;
            case 6: get_some(); break;
            case 7: case 8: lease_one(); break;
            case 9: end_lease(true); break;
            case 10: end_lease(random_.below(2)); break;
            case 11: drop_a_loan(); break;
        }
    }

    void end_leases() {
        while (!leases_.empty()) end_lease(true);
    }
    void drain() {
        end_leases();
        while (get_one()) {
        }
    }
    // Leaves a bit of everything behind.
    void leave_things_about() {
        for (int i = 0; i < 12; ++i) put_one();
        for (int i = 0; i < 5; ++i) lease_one();
        ledger_.getting[number_] = 1;
        Taken held;
        take(queue_, held, false, 0);
        Failure why;
        uint32_t loaned;
        queue_.take_block(100, loaned, in_ms(1000), why);
        raise(SIGKILL);
    }

    uint64_t number() const { return number_; }

private:
    bool has_ids_left() const { return next_ + 4 < (number_ + 1) * kPerWorker; }
    Note& note(uint64_t id) { return ledger_.notes[id]; }

    void put_one() {
        if (!has_ids_left()) return;
        note(next_).begun = 1;
        if (put(queue_, next_, some_size(random_, queue_, 3)) == Status::ok) note(next_++).put = 1;
        else note(next_).begun = 0;
    }
    void put_some() {
        if (!has_ids_left()) return;
        char bytes[4][256];
        Outgoing messages[4];
        for (uint64_t i = 0; i < 4; ++i) {
            messages[i].data = bytes[i];
            messages[i].size = uint32_t(8 + random_.below(248));
            fill(bytes[i], next_ + i, messages[i].size);
            note(next_ + i).begun = 1;
        }
        uint32_t done = 0;
        Failure why;
        queue_.put_batch(messages, 4, done, in_ms(kLockPatience), why);
        for (uint64_t i = 0; i < 4; ++i) (i < done ? note(next_ + i).put = 1 : note(next_ + i).begun = 0);
        next_ += done;
    }
    bool get_one() {
        Taken taken;
        ledger_.getting[number_] = 1;
        Status status = take(queue_, taken, false, 0);
        CHECK(status == Status::ok || status == Status::empty);
        if (status == Status::ok) ledger_.consume(taken.id);
        ledger_.getting[number_] = 0;
        if (status == Status::ok) taken.free(queue_);
        return status == Status::ok;
    }
    void get_some() {
        uint32_t done = 0;
        std::vector<char> buffer(4 * (queue_.geometry().inline_max + 16));
        ledger_.getting[number_] = 4;
        queue_.take_batch(buffer.data(), buffer.size(), 4, done, in_ms(kLockPatience));
        const char* at = buffer.data();
        for (uint32_t i = 0; i < done; ++i) {
            Batched taken(at);
            uint64_t id;
            CHECK(taken.size >= sizeof id);
            memcpy(&id, taken.data, sizeof id);
            CHECK(is_filled(taken.data, id, taken.size));
            ledger_.consume(id);
            at = taken.next();
        }
        ledger_.getting[number_] = 0;
    }
    void lease_one() {
        Taken taken;
        if (leases_.size() < 4 && lease(queue_, taken) == Status::ok) leases_.push_back(std::move(taken));
    }
    void end_lease(bool acknowledges) {
        if (leases_.empty()) return;
        size_t which = random_.below(leases_.size());
        Taken taken = std::move(leases_[which]);
        leases_.erase(leases_.begin() + long(which));
        if (!acknowledges) {
            CHECK(give_back(queue_, taken) == Status::ok);
            return;
        }
        note(taken.id).acknowledging = 1;
        queue_.acknowledge(taken.message);
        ledger_.consume(taken.id);
        note(taken.id).acknowledging = 0;
        taken.free(queue_);
    }
    void drop_a_loan() {
        Failure why;
        uint32_t unit;
        if (queue_.take_block(random_.below(20'000), unit, in_ms(kLockPatience), why) == Status::ok) queue_.give_block(unit);
    }

    QueueObject& queue_;
    Ledger& ledger_;
    Random random_;
    const uint64_t number_;
    uint64_t next_;
    std::vector<Taken> leases_;
};

static bool is_one_of(const char* point, std::initializer_list<const char*> points) {
    for (const char* one : points)
        if (!strcmp(point, one)) return true;
    return false;
}

// `point`: at which worker 0 died, or null for anywhere.
static void check_ledger(Ledger& ledger, const char* point) {
    // A batch takes message by message: at all points but the last it has taken one less than it might.
    uint64_t may_miss = 0, missing = 0;
    const bool had_taken = !point || is_one_of(point, {"get_committed", "get_unlocked", "recover_lease", "recover_block", "recover_done"});
    const bool may_have = had_taken || is_one_of(point, {"get_copied", "get_block_held"});
    for (auto& getting : ledger.getting)
        if (getting && may_have) may_miss += getting - !had_taken;
    const bool committed = point && is_one_of(point, {"put_committed", "put_unlocked"});
    const bool acknowledged = point && is_one_of(point, {"lease_acked"});
    // Of an unfinished batch the first ones may have found room and the others not.
    bool in_doubt = false, last_consumed = true;
    for (auto& note : ledger.notes) {
        CHECK(note.consumed <= note.begun);
        if (note.acknowledging) CHECK(!point || note.consumed == !acknowledged);
        else if (note.put) missing += !note.consumed;
        else if (note.begun && point) {
            CHECK(note.consumed ? committed && last_consumed : in_doubt || !committed);
            in_doubt = true;
            last_consumed = note.consumed;
        }
    }
    CHECK(missing <= may_miss);
}

// Whoever is left goes on at once, and in the end all is accounted for.
static void finish(QueueObject& queue, Ledger& ledger, Worker& survivor, const char* point) {
    int64_t died = os::now_ns();
    for (int i = 0; i < 200; ++i) survivor.step();
    CHECK(os::now_ns() - died < 3'000'000'000);
    while (queue.recover(true)) {
    }
    survivor.drain();
    check_ledger(ledger, point);
    check_nothing_is_left(queue);
    queue.close();
}

// Kills one at the point when it comes there for the `count`th time, beside a survivor that is at work.
static void kill_at(const char* point, int count, const char* after = nullptr) {
    auto& ledger = shared<Ledger>();
    QueueObject queue;
    create(queue, {.units = 24, .start = count % 2 ? 0 : kLongAgo});
    Worker survivor(queue, ledger, 1);
    for (int i = 0; i < 20; ++i) survivor.step();
    Child victim([&] {
        QueueObject own;
        open(own);
        Worker worker(own, ledger, 0);
        arm(point, count);
        for (int i = 0; i < 15'000; ++i) worker.step();
    });
    while (!after && victim.is_running()) survivor.step();
    if (!victim.was_killed()) fprintf(stderr, "never came to %s for the %dth time\n", point, count), CHECK(false);
    if (after) {
        // The one to take over dies as well, before it has put anything right.
        Child second([&] {
            // Opening may take over already: the slot of the dead is the lowest that is free.
            arm(after);
            QueueObject own;
            open(own);
            Worker worker(own, ledger, 2);
            for (int i = 0; i < 15'000; ++i) worker.step();
        });
        CHECK(second.was_killed());
    }
    finish(queue, ledger, survivor, point);
    munmap(&ledger, sizeof ledger);
}

static const int kCounts[] = {1, 2, 5, 14};

static void kill_at_each(std::initializer_list<const char*> points) {
    for (const char* point : points)
        for (int count : kCounts) kill_at(point, count);
}

PROCESS_TEST(killed_while_putting) {
    kill_at_each({"put_block_written", "put_extent_linked", "put_record_written", "put_committed", "put_unlocked"});
}
PROCESS_TEST(killed_while_getting) { kill_at_each({"get_block_held", "get_copied", "get_committed", "get_unlocked"}); }
PROCESS_TEST(killed_while_leasing) {
    kill_at_each({"lease_prepared", "lease_committed", "lease_ack_block", "lease_acked", "lease_return", "lease_returned"});
}
PROCESS_TEST(killed_under_any_lock_or_in_the_pool) { kill_at_each({"lock_taken", "pool_merging", "pool_split", "pool_taken"}); }

PROCESS_TEST(killed_while_taking_over_from_the_dead) {
    for (const char* point : {"put_extent_linked", "put_record_written", "put_committed", "get_block_held", "get_copied",
                              "get_committed", "lease_prepared", "lease_committed", "lease_return", "lock_taken",
                              "pool_merging", "pool_split", "pool_taken"})
        for (int count : {1, 4}) kill_at(point, count, "lock_takeover");
}

PROCESS_TEST(killed_while_recovering) {
    for (const char* point : {"recover_lease", "recover_block", "recover_done"})
        for (int count : {1, 2, 4}) {
            if (count > 1 && is_one_of(point, {"recover_done"})) continue;
            auto& ledger = shared<Ledger>();
            QueueObject queue;
            create(queue, {.units = 64});
            Worker survivor(queue, ledger, 1);
            std::vector<Child> first;
            for (uint64_t i = 0; i < 3; ++i)
                first.emplace_back([&, i] {
                    rejoin(queue);
                    Worker(queue, ledger, 2 + i).leave_things_about();
                });
            for (auto& child : first) CHECK(child.was_killed());
            for (int i = 0; i < 3; ++i) {
                Child victim([&] {
                    arm(point, count);
                    rejoin(queue);
                    queue.recover(true);
                });
                CHECK(victim.was_killed() || (i && victim.ended_well()));
            }
            finish(queue, ledger, survivor, point);
            munmap(&ledger, sizeof ledger);
        }
}

PROCESS_TEST(killed_at_any_instruction) {
    auto& ledger = shared<Ledger>();
    QueueObject queue;
    create(queue, {.units = 48, .start = kLongAgo});
    Random random(11);
    uint64_t number = 1;
    auto start = [&] {
        return Child([&, number] {
            QueueObject own;
            open(own);
            Worker worker(own, ledger, number);
            for (;;) worker.step();
        });
    };
    std::vector<Child> children;
    for (int i = 0; i < 3; ++i, ++number) children.push_back(start());
    for (; number < kWorkers; ++number) {
        usleep(useconds_t(random.below(30'000)));
        Child& victim = children[random.below(children.size())];
        CHECK(victim.is_running());
        victim.kill();
        victim = start();
    }
    for (auto& child : children) {
        CHECK(child.is_running());
        child.kill();
    }
    Worker survivor(queue, ledger, 0);
    finish(queue, ledger, survivor, nullptr);
}
