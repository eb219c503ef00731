// A segment: one file, mapped by all who share it, gone with the last of them.
//
// Creation is one step for everybody else: the file is made without a name, filled in, attached, and
// then linked into its directory. Whoever finds the name finds a complete segment; a creator killed
// before the link leaves nothing, one killed after it leaves a segment without attachments, which the
// next opener reclaims.
//
// Attachment is a shared flock. Whoever gets it alone knows that nobody else is attached: the last one
// out then unlinks an `attached` segment, and an opener who gets it alone has found what SIGKILL left.
// A forked child inherits the parent's open files and mappings, and with them the parent's locks; the fork
// handlers give the child an opening and a mapping of its own in their place, or the parent's death would go
// unseen.
#pragma once

#include <cstdlib>
#include <mutex>
#include <string>

#include "fault.hpp"
#include "layout.hpp"
#include "status.hpp"

namespace weft {

struct SegmentSpec {
    uint32_t kind = 0;
    Lifetime lifetime = Lifetime::attached;
    uint64_t file_bytes = 0;
    uint64_t map_bytes = 0;      // 0: file_bytes
    bool announce = false;       // see Segment::map
    uint64_t object_bytes = 0;   // reserved at creation, from kObjectAt on
    uint64_t prepare_bytes = 0;  // what `prepare` will reserve besides
    uint64_t geometry[kGeometryWords] = {};
    std::string config;
    unsigned mode = 0600;
    int64_t group = -1;
    // Sets up the object while nobody can see it: 0 or an errno.
    int (*prepare)(char* base, int fd, const SegmentSpec& spec) = nullptr;
};

class Segment {
public:
    // What an object has to see to when its process forks, and when its file goes. All called while the
    // list of segments is locked.
    class Keeper {
    public:
        // The child's opening, or -1 if it could not be had. Other threads still run.
        virtual void before_fork(int child_fd) noexcept = 0;
        virtual void after_fork(bool in_child) noexcept = 0;
        // Nobody else is attached: other names of the file can go.
        virtual void last_one_out(int directory) noexcept = 0;

    protected:
        ~Keeper() = default;
    };
    void keep(Keeper& keeper) noexcept { keeper_ = &keeper; }

    Segment() = default;
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;
    ~Segment() { detach(); }

    // Makes the segment and gives it its name; `exists` if the name is taken.
    Status create(const char* directory, const char* name, const SegmentSpec& spec, Failure& why);

    // Attaches to what the name leads to and maps it; `missing` if nothing does, or only what the dead left.
    Status open(const char* directory, const char* name, Failure& why) {
        Status status = attach(directory, name, false, why);
        return status == Status::ok ? map(header_.file_bytes, false, why) : status;
    }

    // The first half of it: a kind may map later, and more than the header's file_bytes. Who only reads needs
    // no permission to write.
    Status attach(const char* directory, const char* name, bool read_only, Failure& why);

    // The second half; a failure gives up the attachment. `announce`: holds a shared lock for as long as the
    // memory is mapped, here or in a forked child, by which others see that they are not the only ones.
    Status map(uint64_t bytes, bool announce, Failure& why) noexcept;

    // Whether another attachment has announced a mapping. An answer given to somebody who has announced his
    // own stands against all who announce theirs later and look at the object after that.
    bool is_mapped_elsewhere() const noexcept { return os::byte_is_locked(fd_, kMappedByte); }

    // Gives up the attachment; the last one out removes an `attached` segment. Whether it did. Never fails.
    bool detach() noexcept;

    // Removes the name now; those attached keep the memory. 1 done, 0 it led elsewhere or nowhere, or
    // -errno.
    int unlink() noexcept {
        os::Directory directory(directory_.c_str());
        if (directory.fd() < 0) return -errno;
        return attached_ && os::unlink_if_same(fd_, directory.fd(), name_.c_str());
    }

    // Whether the name leads here still.
    bool is_linked() const noexcept { return attached_ && os::leads_to(path_.c_str(), file_); }

    bool attached() const noexcept { return attached_; }
    // Whether it was found to be that user's, and closed to all others: then nobody else has made it or changed
    // it, whoever may write to the directory.
    bool is_private(uint32_t user) const noexcept { return file_.is_closed && file_.owner == user; }
    bool read_only() const noexcept { return read_only_; }
    char* base() const noexcept { return base_; }
    uint64_t mapped_bytes() const noexcept { return mapped_bytes_; }
    uint64_t file_bytes() const noexcept { return file_.bytes; }  // as they were when it was opened
    int fd() const noexcept { return fd_; }
    const SegmentHeader& header() const noexcept { return header_; }
    const char* directory() const noexcept { return directory_.c_str(); }
    Participant* participants() const noexcept {
        return reinterpret_cast<Participant*>(base_ + kParticipantsAt);
    }
    std::string identity() const { return identity_of(header_); }
    // Of its doorbells; most objects have the first alone.
    static constexpr int kMostBells = 3;
    std::string bell_path(int which = 0) const {
        return directory_ + "/.bell-" + identity() + (which ? "-" + std::to_string(which) : "");
    }

    // Counts the forks this process is away from the one that started: whoever keeps something that
    // belongs to one process compares it.
    static uint64_t fork_count() noexcept { return forks_; }

    // Why a forked child could not get an opening of its own: an errno, or 0.
    int lost() const noexcept { return fd_ < 0 ? fork_error_ : 0; }

    // How far `remove` goes among segments to which nobody is attached; each includes those before.
    enum class Reach : int {
        left,     // lifetime `attached`: what the dead left
        kept,     // those that were to stay
        damaged,  // and what calls itself a segment, but is none of this version, or no whole one
    };
    enum class Removal : int { removed, in_use, kept, damaged, other_version, foreign, missing, failed };

    // Removes `name` if nobody is attached to it and `reach` allows.
    static Removal remove(const char* directory, const char* name, Reach reach, Failure& why);
    static bool reclaim(const char* directory, const char* name) {
        Failure why;
        return remove(directory, name, Reach::left, why) == Removal::removed;
    }

    // Reads and checks a header without attaching: ok, not_a_segment, wrong_version, corrupted.
    static Status check_header(int fd, uint64_t file_bytes, SegmentHeader& header, Failure& why) noexcept;

    // No fork of this process while it stands: for who holds a lock that a child must not inherit.
    static std::unique_lock<std::mutex> hold_forks() { return std::unique_lock(registry().mutex); }

    // Of a segment with that identity.
    static std::string identity_of(const SegmentHeader& header) {
        char text[40];
        snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(header.id[0]),
                 static_cast<unsigned long long>(header.id[1]));
        return text;
    }

    // Removes `name`, a doorbell or a file that was to become a segment, if nobody has it open: who does
    // has locked it (bell.hpp, file.hpp).
    static bool sweep(const char* directory, const char* name);

private:
    struct Registry {
        std::mutex mutex;
        Segment* first = nullptr;
    };
    // Its mutex is held from the opening of a file until it is listed, and while one is closed: a fork
    // in another thread waits, so that a child never keeps an opening that its fork handler can't see.
    static Registry& registry() noexcept;
    void enlist() noexcept;
    void delist() noexcept;
    Status attach_existing(Failure& why);
    bool reclaim_opened() noexcept;
    void open_for_child() noexcept;
    bool lock_for_child(int fd) const noexcept;
    void leave_to_child() noexcept;
    void become_child() noexcept;
    Status fail(Status status, const char* step, Failure& why) noexcept;
    void remove_bells() const noexcept;
    void forget() noexcept;

    static constexpr uint32_t kMappedByte = kMaxSlots;  // behind those of the participants

    Keeper* keeper_ = nullptr;
    int fd_ = -1;
    int child_fd_ = -1;  // between the handlers before and after a fork
    int fork_error_ = 0;
    bool attached_ = false, read_only_ = false, announced_ = false;
    char* base_ = nullptr;
    uint64_t mapped_bytes_ = 0;
    os::FileFacts file_;
    std::string directory_, name_, path_;
    SegmentHeader header_{};
    Segment* next_ = nullptr;
    bool enlisted_ = false;

    static inline uint64_t forks_ = 0;  // written by the fork handler, when there is one thread
};

// ---------------------------------------------------------------------------------------------

inline Segment::Registry& Segment::registry() noexcept {
    static Registry* shared = [] {
        auto* made = new Registry;  // never freed: fork handlers may run until the process ends
        os::at_fork(
            [] {
                registry().mutex.lock();
                for (Segment* s = registry().first; s; s = s->next_) s->open_for_child();
            },
            [] {
                for (Segment* s = registry().first; s; s = s->next_) s->leave_to_child();
                registry().mutex.unlock();
            },
            [] {
                ++forks_;
                for (Segment* s = registry().first; s; s = s->next_) s->become_child();
                registry().mutex.unlock();
            });
        return made;
    }();
    return *shared;
}

inline void Segment::enlist() noexcept {
    next_ = registry().first;
    registry().first = this;
    enlisted_ = true;
}

inline void Segment::delist() noexcept {
    for (Segment** at = &registry().first; *at; at = &(*at)->next_)
        if (*at == this) {
            *at = next_;
            break;
        }
    enlisted_ = false;
}

// The child's opening is made and attached before the fork, so that at no moment the segment is without
// it: the parent may close its handle, or die, before the child has run a single instruction. Only calls
// that are safe between fork and exec.
inline void Segment::open_for_child() noexcept {
    child_fd_ = os::reopen(fd_, read_only_);
    fork_error_ = errno;
    if (child_fd_ >= 0 && !lock_for_child(child_fd_)) {
        fork_error_ = errno;
        ::close(child_fd_);
        child_fd_ = -1;
    }
    if (keeper_) keeper_->before_fork(child_fd_);
}

inline bool Segment::lock_for_child(int fd) const noexcept {
    return os::attach_shared(fd) && (!announced_ || os::share_byte(fd, kMappedByte));
}

inline void Segment::leave_to_child() noexcept {
    if (child_fd_ >= 0) ::close(child_fd_);
    child_fd_ = -1;
    if (keeper_) keeper_->after_fork(false);
}

inline void Segment::become_child() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = child_fd_;
    child_fd_ = -1;
    if (fd_ < 0 && !keeper_) {
        // There was no descriptor to spare. Now there is one: that of the parent's opening.
        fd_ = os::open_file(AT_FDCWD, path_.c_str(), read_only_);
        if (fd_ >= 0 && !(os::facts_of(fd_).is_same(file_) && lock_for_child(fd_))) {
            ::close(fd_);
            fd_ = -1;
        }
    }
    // A child without an opening of its own keeps its parent's mapping, and with it the parent's attachment.
    if (base_ && fd_ >= 0) os::map_again(fd_, base_, mapped_bytes_, read_only_);
    if (keeper_) keeper_->after_fork(true);
}

inline Status Segment::fail(Status status, const char* step, Failure& why) noexcept {
    why.os_errno = errno;
    why.step = step;
    if (why.os_errno == EACCES || why.os_errno == EPERM || why.os_errno == EROFS) status = Status::refused;
    if (why.os_errno == ENOSPC || why.os_errno == EDQUOT) status = Status::no_space;
    forget();
    return status;
}

inline void Segment::forget() noexcept {
    if (enlisted_) delist();
    if (base_) os::unmap(base_, mapped_bytes_);
    if (fd_ >= 0) ::close(fd_);
    base_ = nullptr;
    fd_ = -1;
    attached_ = announced_ = false;
}

inline Status Segment::create(const char* directory, const char* name, const SegmentSpec& spec,
                              Failure& why) {
    std::lock_guard guard(registry().mutex);
    directory_ = directory;
    name_ = name;
    path_ = directory_ + "/" + name_;
    os::Directory place(directory);
    if (place.fd() < 0) return fail(Status::os_error, "opening the namespace's directory", why);
    char temporary[40];
    fd_ = os::create_unlinked(place.fd(), spec.mode, temporary, sizeof temporary);
    if (fd_ < 0) return fail(Status::os_error, "making a file", why);
    struct Hidden {
        int directory;
        const char* name;
        ~Hidden() { os::remove_hidden(directory, name); }
    } hidden{place.fd(), temporary};
    if (fchmod(fd_, spec.mode) != 0 ||
        (spec.group >= 0 && fchown(fd_, uid_t(-1), gid_t(spec.group)) != 0))
        return fail(Status::os_error, "setting mode and group", why);
    if (ftruncate(fd_, off_t(spec.file_bytes)) != 0)
        return fail(Status::os_error, "sizing the file", why);
    WEFT_FAULT(segment_created);
    const uint64_t head = kParticipantsAt + os::kPage;
    int error = os::reserve(fd_, 0, head);
    if (!error) error = os::reserve(fd_, kObjectAt, spec.object_bytes);
    if (error) {
        errno = error;
        why.wanted = head + spec.object_bytes + spec.prepare_bytes;
        why.available = os::free_bytes(fd_);
        return fail(Status::os_error, "reserving memory", why);
    }
    file_ = os::facts_of(fd_);
    header_ = {};
    header_.file_bytes = spec.file_bytes;
    read_only_ = false;
    mapped_bytes_ = spec.map_bytes ? spec.map_bytes : spec.file_bytes;
    base_ = static_cast<char*>(os::map_shared(fd_, mapped_bytes_, false));
    if (!base_) return fail(Status::os_error, "mapping the file", why);
    header_.magic = kMagic;
    header_.layout_version = kLayoutVersion;
    header_.header_bytes = sizeof(SegmentHeader);
    header_.kind = spec.kind;
    header_.lifetime = spec.lifetime;
    if (getrandom(header_.id, sizeof header_.id, 0) != sizeof header_.id)
        return fail(Status::os_error, "drawing an identity", why);
    header_.created_ns = os::wall_clock_ns();
    header_.creator_pid = os::process_id();
    memcpy(header_.geometry, spec.geometry, sizeof header_.geometry);
    header_.config_bytes = uint32_t(spec.config.size());
    memcpy(header_.config, spec.config.data(), spec.config.size());
    os::command_line(header_.creator, sizeof header_.creator);
    header_.checksum = header_.sum();
    memcpy(base_, &header_, sizeof header_);
    if (spec.prepare && (errno = spec.prepare(base_, fd_, spec)) != 0) {
        why.wanted = head + spec.object_bytes + spec.prepare_bytes;
        why.available = os::free_bytes(fd_);
        return fail(Status::os_error, "reserving memory", why);
    }
    if (!os::attach_shared(fd_) || (spec.announce && !os::share_byte(fd_, kMappedByte)))
        return fail(Status::os_error, "attaching", why);
    attached_ = true;
    announced_ = spec.announce;
    enlist();
    WEFT_FAULT(segment_filled);
    if (os::link_file(fd_, place.fd(), temporary, name) != 0) {
        if (errno == EEXIST) {
            forget();
            return Status::exists;
        }
        return fail(Status::os_error, "giving the file its name", why);
    }
    WEFT_FAULT(segment_linked);
    return Status::ok;
}

inline Status Segment::check_header(int fd, uint64_t file_bytes, SegmentHeader& header, Failure& why) noexcept {
    why.step = "reading the header";
    header = {};
    const bool whole = pread(fd, &header, sizeof header, 0) == sizeof header;
    if (header.magic != kMagic) return Status::not_a_segment;
    if (!whole || file_bytes < kObjectAt) {
        why.step = "the file has been cut off";
        return Status::corrupted;
    }
    if (header.layout_version != kLayoutVersion || header.header_bytes != sizeof header) {
        why.wanted = kLayoutVersion;
        why.available = header.layout_version;
        return Status::wrong_version;
    }
    if (header.checksum != header.sum() || header.config_bytes > kConfigBytes || uint32_t(header.lifetime) > 1)
        return Status::corrupted;
    if (header.file_bytes > file_bytes) {
        why.step = "the file is shorter than its header says";
        return Status::corrupted;
    }
    header.creator[sizeof header.creator - 1] = 0;
    return Status::ok;
}

inline Status Segment::attach(const char* directory, const char* name, bool read_only, Failure& why) {
    std::lock_guard guard(registry().mutex);
    directory_ = directory;
    name_ = name;
    path_ = directory_ + "/" + name_;
    read_only_ = read_only;
    Status status = Status::busy;
    for (int tries = 0; status == Status::busy; ++tries) {
        if (tries == 1000) {
            errno = EBUSY;
            return fail(Status::timed_out, "attaching (a process stopped half-way through removing it)", why);
        }
        if (tries > 1) usleep(1000);
        forget();
        status = attach_existing(why);
    }
    if (status != Status::ok) {
        if (status == Status::os_error) return fail(status, why.step, why);
        forget();
        return status;
    }
    attached_ = true;
    enlist();
    WEFT_FAULT(segment_attached);
    return Status::ok;
}

inline Status Segment::map(uint64_t bytes, bool announce, Failure& why) noexcept {
    std::lock_guard guard(registry().mutex);
    if (announce && !(announced_ = os::share_byte(fd_, kMappedByte)))
        return fail(Status::os_error, "announcing a mapping", why);
    base_ = static_cast<char*>(os::map_shared(fd_, bytes, read_only_));
    mapped_bytes_ = bytes;
    return base_ ? Status::ok : fail(Status::os_error, "mapping the file", why);
}

// One try: ok, busy (look again: somebody is removing or has removed it), or what is wrong. As few calls of
// the system as can be: opening is nothing but them.
inline Status Segment::attach_existing(Failure& why) {
    why.step = "opening the file";
    fd_ = os::open_file(AT_FDCWD, path_.c_str(), read_only_);
    if (fd_ < 0) {
        if (errno == ENOENT) return Status::missing;
        return errno == ENXIO || errno == ELOOP || errno == EISDIR ? Status::not_a_segment : Status::os_error;
    }
    // Alone means: all who were attached have gone, however they died.
    if (os::attach_alone(fd_) && reclaim_opened()) return Status::busy;
    const bool shared = os::attach_shared(fd_);
    file_ = os::facts_of(fd_);
    if (!file_.is_regular) return Status::not_a_segment;
    if (!shared || !file_.links) return Status::busy;  // removed before we had our lock
    return check_header(fd_, file_.bytes, header_, why);
}

// With the file locked alone: removes it if it is a segment that was to go with its last attachment.
inline bool Segment::reclaim_opened() noexcept {
    Failure why;
    file_ = os::facts_of(fd_);
    if (!file_.is_regular || check_header(fd_, file_.bytes, header_, why) != Status::ok ||
        header_.lifetime != Lifetime::attached)
        return false;
    os::Directory place(directory_.c_str());
    os::unlink_if_same(fd_, place.fd(), name_.c_str());
    remove_bells();
    return true;
}

inline void Segment::remove_bells() const noexcept {
    for (int which = 0; which < kMostBells; ++which) ::unlink(bell_path(which).c_str());
}

inline bool Segment::detach() noexcept {
    if (!attached_) return false;
    std::lock_guard guard(registry().mutex);
    bool removed = false;
    // A failed try for the exclusive lock gives up the shared one as well: right, for who leaves.
    if (fd_ >= 0 && os::attach_alone(fd_)) {
        WEFT_FAULT(detach_last);
        os::Directory place(directory_.c_str());
        if (keeper_ && place.fd() >= 0) keeper_->last_one_out(place.fd());
        if (header_.lifetime == Lifetime::attached) {
            removed = place.fd() < 0 ? os::unlink_path_if_same(fd_, path_.c_str())
                                     : os::unlink_if_same(fd_, place.fd(), name_.c_str());
        }
        remove_bells();  // nobody is there to hear them
    }
    forget();
    return removed;
}

inline Segment::Removal Segment::remove(const char* directory, const char* name, Reach reach, Failure& why) {
    std::lock_guard guard(registry().mutex);
    why.step = "opening the file";
    Segment probe;
    probe.directory_ = directory;
    probe.name_ = name;
    os::Directory place(directory);
    probe.fd_ = os::open_file(place.fd(), name);
    struct Forgotten {
        Segment& probe;
        ~Forgotten() { probe.forget(); }
    } forgotten{probe};
    struct stat s;
    if (probe.fd_ < 0) {
        why.os_errno = errno;
        if (errno == ENOENT) return Removal::missing;
        return errno == ENXIO || errno == ELOOP || errno == EISDIR ? Removal::foreign : Removal::failed;
    }
    if (fstat(probe.fd_, &s) != 0 || !S_ISREG(s.st_mode)) return Removal::foreign;
    Status status = check_header(probe.fd_, uint64_t(s.st_size), probe.header_, why);
    if (status == Status::not_a_segment) return Removal::foreign;
    if (status != Status::ok && reach < Reach::damaged)
        return status == Status::wrong_version ? Removal::other_version : Removal::damaged;
    if (status == Status::ok && probe.header_.lifetime == Lifetime::kept && reach < Reach::kept) return Removal::kept;
    // Every version of the layout attaches by this lock.
    if (!os::attach_alone(probe.fd_)) return Removal::in_use;
    why.step = "removing the name";
    WEFT_FAULT(remove_alone);
    if (!os::unlink_if_same(probe.fd_, place.fd(), name)) {
        why.os_errno = errno;
        return os::is_linked_as(probe.fd_, place.fd(), name) ? Removal::failed : Removal::missing;
    }
    WEFT_FAULT(remove_unlinked);
    if (status == Status::ok) probe.remove_bells();
    return Removal::removed;
}

inline bool Segment::sweep(const char* directory, const char* name) {
    std::lock_guard guard(registry().mutex);
    os::Directory place(directory);
    Segment probe;
    probe.fd_ = os::open_file(place.fd(), name);
    struct stat s;
    bool removed = probe.fd_ >= 0 && fstat(probe.fd_, &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISREG(s.st_mode)) &&
                   os::attach_alone(probe.fd_) && os::unlink_if_same(probe.fd_, place.fd(), name);
    probe.forget();
    return removed;
}

}  // namespace weft
