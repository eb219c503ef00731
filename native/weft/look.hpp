// Looking at a segment from outside, without taking part in it.
//
// The file is opened for reading and read by pread: nothing is mapped, so that a file that is cut off under
// our eyes can do no harm; nothing is written, and no slot and no lock is taken, so that those attached, and
// those about to attach or to leave, never notice. (But see `is_attached`.) It works on programs that hang,
// are stopped, or are dead. What is read is not believed: numbers are bounded before they are used.
#pragma once

#include <vector>

#include "participants.hpp"

namespace weft {

class Look {
public:
    struct Person {
        uint32_t slot;
        Owner owner;
        bool alive;
        uint32_t pid;
        int64_t started_ns;
        uint32_t waiting_producers, waiting_consumers;
        char command[40];
    };

    Look() = default;
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;
    ~Look() { close(); }

    // Also where the header is not `ok` the file stays open: what can be told of it can be told.
    Status open(const char* directory, const char* name, Failure& why) noexcept {
        why.step = "opening the file";
        os::Directory place(directory);
        fd_ = place.fd() < 0 ? -1 : os::open_to_look(place.fd(), name);
        struct stat s;
        if (fd_ < 0 || fstat(fd_, &s) != 0) {
            why.os_errno = errno;
            if (errno == EACCES || errno == EPERM) return Status::refused;
            if (errno == EISDIR || errno == ELOOP) return Status::not_a_segment;
            return errno == ENOENT ? Status::missing : Status::os_error;
        }
        file_bytes_ = uint64_t(s.st_size);
        return Segment::check_header(fd_, file_bytes_, header_, why);
    }

    void close() noexcept {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }

    int fd() const noexcept { return fd_; }
    const SegmentHeader& header() const noexcept { return header_; }
    uint64_t file_bytes() const noexcept { return file_bytes_; }
    bool on_tmpfs() const noexcept { return os::on_tmpfs(fd_); }

    // False if there are not so many bytes.
    bool read(void* to, uint64_t at, uint64_t size) const noexcept {
        return at <= uint64_t(INT64_MAX) - size && pread(fd_, to, size, off_t(at)) == ssize_t(size);
    }

    // Whether a participant lives: the kernel says so, whatever stands in the table.
    bool has_participants() const noexcept { return os::byte_is_locked(fd_, 0, kMaxSlots); }

    // Of each slot in use: the living, and the dead whom nobody has missed yet. False: the file ends before.
    bool people(std::vector<Person>& found) const {
        constexpr uint32_t kAtATime = os::kPage / sizeof(Participant);
        char table[os::kPage];
        for (uint32_t first = 0; first < kMaxSlots; first += kAtATime) {
            if (!read(table, kParticipantsAt + first * sizeof(Participant), sizeof table)) return false;
            for (uint32_t i = 0; i < kAtATime; ++i) {
                const char* entry = table + i * sizeof(Participant);
                Person person{};
                uint32_t word;
                memcpy(&word, entry + offsetof(Participant, word), sizeof word);
                if (!Participants::is_used(word)) continue;
                person.slot = first + i;
                person.owner = Participants::owner_of(person.slot, word);
                person.alive = os::byte_is_locked(fd_, person.slot);
                memcpy(&person.pid, entry + offsetof(Participant, pid), sizeof person.pid);
                memcpy(&person.started_ns, entry + offsetof(Participant, started_ns), sizeof person.started_ns);
                memcpy(&person.waiting_producers, entry + offsetof(Participant, waiting_producers), sizeof(uint32_t));
                memcpy(&person.waiting_consumers, entry + offsetof(Participant, waiting_consumers), sizeof(uint32_t));
                memcpy(person.command, entry + offsetof(Participant, command), sizeof person.command);
                found.push_back(person);
            }
        }
        return true;
    }

    // Whether anybody is attached, participant or not, by trying for the lock that nobody gets who is not
    // alone. It is given back at once; who opens the segment in that moment looks again a moment later, and
    // who leaves as the last in the very instant between two steps of the kernel takes us for another who
    // stays, and leaves the file to the next. So it is asked last, where no other way tells.
    bool is_attached() const {
        auto guard = Segment::hold_forks();
        if (!os::attach_alone(fd_)) return true;
        flock(fd_, LOCK_UN);
        return false;
    }

private:
    int fd_ = -1;
    uint64_t file_bytes_ = 0;
    SegmentHeader header_{};
};

}  // namespace weft
