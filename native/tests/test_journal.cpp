// The journal of a durable message queue: its records, and who may write to it when.
#include <fcntl.h>

#include <string>
#include <thread>

#include "queue_kit.hpp"
#include "weft/queue_journal.hpp"

using namespace test;

static std::string record_of(uint64_t number, const std::string& payload, uint8_t what = 1, uint16_t priority = 0) {
    JournalRecord record{};
    record.size = payload.size();
    record.number = number;
    record.what = what;
    record.priority = priority;
    std::string bytes(sizeof record + payload.size(), '\0');
    CHECK(record.write_to(bytes.data(), payload.data()) == bytes.data() + bytes.size());
    return bytes;
}

TEST(the_checksum_is_the_one_of_zlib) {
    Crc32 sum;
    sum.add("123456789", 9);
    CHECK(sum.value() == 0xCBF43926);
    Crc32 parts;
    parts.add("1234", 4);
    parts.add("56789", 5);
    CHECK(parts.value() == 0xCBF43926 && Crc32().value() == 0);
}

TEST(a_record_is_whole_or_none) {
    for (const std::string& payload : {std::string(), std::string("x"), std::string(1000, 'y')}) {
        const std::string whole = record_of(42, payload, 2, 7);
        JournalRecord record;
        CHECK(record.read_from(whole.data(), whole.size()) && record.number == 42 && record.size == payload.size());
        CHECK(record.what == 2 && record.priority == 7 && record.is_known(kMaxPriority) && !record.is_known(6));
        for (uint64_t size = 0; size < whole.size(); ++size) {
            std::vector<char> exact(whole.data(), whole.data() + size);  // the sanitizer sees each byte beyond it
            CHECK(!record.read_from(exact.data(), size));
        }
        for (uint64_t at = 0; at < whole.size(); ++at)
            for (int bit = 0; bit < 8; ++bit) {
                std::string damaged = whole;
                damaged[at] = char(damaged[at] ^ 1 << bit);
                CHECK(!record.read_from(damaged.data(), damaged.size()));
            }
    }
}

TEST(kinds_that_are_not_known_are_told_from_those_that_are) {
    for (int what = 0; what < 256; ++what) {
        const std::string bytes = record_of(1, "p", uint8_t(what));
        JournalRecord record;
        CHECK(record.read_from(bytes.data(), bytes.size()) && record.is_known(kMaxPriority) == (what >= 1 && what <= 3));
    }
    JournalRecord record{};
    record.what = 2;
    record.body_size = 1;  // more than there is
    CHECK(!record.is_known(kMaxPriority));
}

// A queue, and the file beside it.
struct Kept {
    QueueObject queue{kMessageQueueKind};
    std::string path = path_of("journal");
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    Kept() {
        create(queue, {.units = 64, .limit = 50});
        CHECK(fd >= 0);
        queue.state().order.journal_state = 1;
        queue.state().order.journal_generation = 1;
    }
    ~Kept() {
        ::close(fd);
        unlink(path.c_str());
    }
    Status append(const std::string& bytes, uint64_t& end, uint64_t generation = 1) {
        Failure why;
        return queue.append(fd, generation, bytes.data(), bytes.size(), in_ms(kLockPatience), end, why);
    }
    Status sync(uint64_t end) {
        Failure why;
        return queue.sync(fd, 1, end, in_ms(kLockPatience), why);
    }
    std::string content() const {
        std::string bytes(os::file_bytes(fd), '\0');
        CHECK(pread(fd, bytes.data(), bytes.size(), 0) == ssize_t(bytes.size()));
        return bytes;
    }
};

TEST(what_stands_behind_the_end_is_cut_off) {
    Kept kept;
    const std::string first = record_of(1, "first"), second = record_of(2, "second");
    uint64_t end = 0;
    CHECK(kept.append(first, end) == Status::ok && end == first.size());
    CHECK(os::write_all(kept.fd, second.data(), second.size() - 1, end) == 0);  // one who died of it
    CHECK(kept.append(second, end) == Status::ok && kept.content() == first + second && end == kept.content().size());
    CHECK(kept.sync(end) == Status::ok && kept.queue.state().order.journal_synced == end);
}

TEST(a_file_that_is_not_it_is_not_written_to) {
    Kept kept;
    const std::string bytes = record_of(1, "x");
    uint64_t end = 0;
    CHECK(kept.append(bytes, end, 2) == Status::missing);  // compacted meanwhile
    CHECK(kept.append(bytes, end) == Status::ok);
    CHECK(os::shrink(kept.fd, 3) == 0 && kept.append(bytes, end) == Status::corrupted);
    CHECK(unlink(kept.path.c_str()) == 0 && kept.append(bytes, end) == Status::missing);
    kept.queue.state().order.journal_state = kJournalFailed;
    CHECK(kept.append(bytes, end) == Status::broken && kept.sync(end + 1000) == Status::broken);
    CHECK(kept.content().size() == 3);
}

TEST(a_sync_that_fails_is_believed_by_nobody_after_it) {
    Kept kept;
    uint64_t end = 0;
    CHECK(kept.append(record_of(1, "x"), end) == Status::ok);
    Failure why;
    CHECK(kept.queue.sync(-1, 1, end, in_ms(kLockPatience), why) == Status::os_error && why.os_errno == EBADF);
    CHECK(kept.sync(end) == Status::broken && kept.append(record_of(2, "y"), end) == Status::broken);
    CHECK(kept.queue.state().order.journal_synced == 0);
}

TEST(threads_append_whole_records_and_find_theirs_on_the_disk) {
    constexpr uint64_t kThreads = 4, kEach = 200;
    Kept kept;
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            for (uint64_t i = 0; i < kEach; ++i) {
                uint64_t end = 0;
                CHECK(kept.append(record_of(t * kEach + i, std::string(i % 90, char('a' + t))), end) == Status::ok);
                if (i % 8) continue;
                CHECK(kept.sync(end) == Status::ok && kept.queue.state().order.journal_synced >= end);
            }
        });
    for (auto& thread : threads) thread.join();
    const std::string bytes = kept.content();
    uint64_t next[kThreads] = {}, at = 0;
    while (at < bytes.size()) {
        JournalRecord record;
        CHECK(record.read_from(bytes.data() + at, bytes.size() - at));
        CHECK(record.number % kEach == next[record.number / kEach]++);
        at += sizeof record + record.size;
    }
    for (const uint64_t count : next) CHECK(count == kEach);
}

PROCESS_TEST(killed_while_it_writes) {
    for (const char* point : {"journal_written", "journal_appended", "journal_synced", "lock_taken"})
        for (int count : {1, 3}) {
            Kept kept;
            auto& acknowledged = shared<std::atomic<uint64_t>>();
            Child writer([&] {
                rejoin(kept.queue);
                arm(point, count);
                for (uint64_t number = 0; number < 20; ++number) {
                    uint64_t end = 0;
                    CHECK(kept.append(record_of(number, "of the victim"), end) == Status::ok);
                    CHECK(kept.sync(end) == Status::ok);
                    acknowledged = number + 1;
                }
            });
            CHECK(writer.was_killed());
            uint64_t end = 0;
            CHECK(kept.append(record_of(99, "of the survivor"), end) == Status::ok && kept.sync(end) == Status::ok);
            const std::string bytes = kept.content();
            uint64_t at = 0, number = 0;
            JournalRecord record;
            for (; at < bytes.size(); at += sizeof record + record.size, ++number) {
                CHECK(record.read_from(bytes.data() + at, bytes.size() - at));
                CHECK(record.number == number || (record.number == 99 && at + sizeof record + record.size == end));
            }
            CHECK(number - 1 >= acknowledged && number - 1 <= acknowledged + 1);
        }
}
