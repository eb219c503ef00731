// Backing files and their mappings.
#pragma once

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "file_lock.hpp"

namespace weft::os {

inline constexpr uint64_t kPage = 4096;

// A directory, open for as long as this object stands.
class Directory {
public:
    explicit Directory(const char* path) noexcept
        : fd_(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
    ~Directory() {
        int error = errno;
        if (fd_ >= 0) close(fd_);
        errno = error;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    int fd() const noexcept { return fd_; }

private:
    int fd_;
};

inline uint32_t effective_user() noexcept { return uint32_t(geteuid()); }

// Whether what `s` tells of is this user's, and nobody else's to read or write.
inline bool is_private(const struct stat& s, uint32_t user) noexcept {
    return s.st_uid == user && (s.st_mode & 077) == 0;
}

// What a file was found to be.
struct FileFacts {
    uint64_t device = 0, number = 0, links = 0;
    uint64_t bytes = 0, reserved = 0;  // its length, and the memory or disk space behind it
    uint32_t owner = 0;
    bool is_regular = false, is_closed = false;  // to all but its owner
    bool is_same(const FileFacts& other) const noexcept {
        return is_regular && device == other.device && number == other.number;
    }
};

inline FileFacts facts_in(const struct stat& s) noexcept {
    return {uint64_t(s.st_dev),          uint64_t(s.st_ino),   uint64_t(s.st_nlink), uint64_t(s.st_size),
            uint64_t(s.st_blocks) * 512, uint32_t(s.st_uid),   S_ISREG(s.st_mode),
            (s.st_mode & 077) == 0};
}

inline FileFacts facts_of(int fd) noexcept {
    struct stat s;
    return fstat(fd, &s) ? FileFacts{} : facts_in(s);
}

inline bool leads_to(const char* path, const FileFacts& file) noexcept {
    struct stat s;
    return lstat(path, &s) == 0 && facts_in(s).is_same(file);
}

inline bool is_private_directory(const char* path) noexcept {
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode) && is_private(s, effective_user());
}

// A file under a hidden name, which is put in `temporary`. It is locked as an attached one is, so that
// whoever sweeps up what kills have left can tell; one that is swept up before it is locked is made anew.
inline int create_hidden(int directory, unsigned mode, char* temporary, size_t size) noexcept {
    for (;;) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, 0) != sizeof random) return -1;
        snprintf(temporary, size, ".new-%016llx", static_cast<unsigned long long>(random));
        int fd = openat(directory, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0) return fd;
        struct stat s;
        const bool locked = attach_shared(fd);
        if (locked ? fstat(fd, &s) == 0 && s.st_nlink : errno != EWOULDBLOCK) return fd;
        close(fd);
    }
}

// A file that no name leads to yet, so that a creator killed now leaves nothing behind. A file system
// without such files gets a hidden name instead, until the file is linked.
inline int create_unlinked(int directory, unsigned mode, char* temporary, size_t size) noexcept {
    temporary[0] = 0;
    int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
    return create_hidden(directory, mode, temporary, size);
}

// Gives the file its name in one step; EEXIST if somebody else was first. A hidden name stays until
// remove_hidden.
inline int link_file(int fd, int directory, const char* temporary, const char* name) noexcept {
    if (temporary[0]) return linkat(directory, temporary, directory, name, 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW);
}

inline void remove_hidden(int directory, const char* temporary) noexcept {
    if (temporary[0]) unlinkat(directory, temporary, 0);
}

inline int open_file(int directory, const char* name, bool read_only = false) noexcept {
    return openat(directory, name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

// For who only looks: nothing but a regular file is opened, so that no FIFO or device is disturbed; -1 and
// EISDIR for all else.
inline int open_to_look(int directory, const char* name) noexcept {
    int place = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0) return -1;
    struct stat s;
    int fd = -1;
    if (fstat(place, &s) == 0 && S_ISREG(s.st_mode)) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", place);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } else {
        errno = EISDIR;
    }
    int error = errno;
    close(place);
    errno = error;
    return fd;
}

// A second, independent opening of the same file, even when its name is gone.
inline int reopen(int fd, bool read_only = false) noexcept {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
}

// Reserves memory for a range, so that touching it later cannot fail: 0 or an errno.
inline int reserve(int fd, uint64_t offset, uint64_t length) noexcept {
    for (;;) {
        if (fallocate(fd, 0, off_t(offset), off_t(length)) == 0) return 0;
        if (errno == EOPNOTSUPP) return posix_fallocate(fd, off_t(offset), off_t(length));
        if (errno != EINTR) return errno;
    }
}

inline uint64_t reserved_bytes(int fd) noexcept {
    struct stat s;
    return fstat(fd, &s) ? 0 : uint64_t(s.st_blocks) * 512;
}

// Writes zeros, mapped or not: 0 or an errno.
inline int write_zeros(int fd, uint64_t offset, uint64_t length) noexcept {
    static const char zeros[1 << 16] = {};
    while (length) {
        ssize_t done = pwrite(fd, zeros, length < sizeof zeros ? length : sizeof zeros, off_t(offset));
        if (done < 0 && errno != EINTR) return errno;
        if (done > 0) offset += uint64_t(done), length -= uint64_t(done);
    }
    return 0;
}

// Writes all of it, or fails: 0 or an errno.
inline int write_all(int fd, const char* data, uint64_t length, uint64_t offset) noexcept {
    while (length) {
        ssize_t done = pwrite(fd, data, length, off_t(offset));
        if (done < 0 && errno != EINTR) return errno;
        if (done > 0) data += done, offset += uint64_t(done), length -= uint64_t(done);
    }
    return 0;
}

// Returns once what was written is on the disk: 0 or an errno.
inline int sync_data(int fd) noexcept {
    while (fdatasync(fd) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

// Gives memory back that nobody has mapped: 0 or an errno.
inline int shrink(int fd, uint64_t length) noexcept { return ftruncate(fd, off_t(length)) ? errno : 0; }

inline uint64_t file_bytes(int fd) noexcept {
    struct stat s;
    return fstat(fd, &s) ? 0 : uint64_t(s.st_size);
}

inline uint64_t free_bytes(int fd) noexcept {
    struct statvfs s;
    return fstatvfs(fd, &s) ? 0 : uint64_t(s.f_bavail) * s.f_frsize;
}

// A mapping keeps the opening alive through which it was made, with the locks that belong to it, and a forked
// child inherits mappings: the file would seem to be used by a dead parent for as long as its child lives. So
// what is mapped through the opening that holds a process's locks is mapped again in a child …
inline void* map_shared(int fd, uint64_t length, bool read_only = false) noexcept {
    void* base = mmap(nullptr, length, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return base == MAP_FAILED ? nullptr : base;
}

inline void map_again(int fd, void* base, uint64_t length, bool read_only) noexcept {
    mmap(base, length, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

// … and all else through one of its own.
inline void* map_apart(int fd, uint64_t length, uint64_t offset, bool read_only) noexcept {
    int own = reopen(fd, read_only);
    if (own < 0) return nullptr;
    void* base = mmap(nullptr, length, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, own, off_t(offset));
    int error = errno;
    close(own);
    errno = error;
    return base == MAP_FAILED ? nullptr : base;
}

// The same in the place of what is mapped at `place`: 0 or an errno, after which nothing may be mapped there.
inline int map_over(int fd, void* place, uint64_t length, uint64_t offset, bool write, bool copy) noexcept {
    int own = reopen(fd, copy || !write);
    if (own < 0) return errno;
    void* base = mmap(place, length, write ? PROT_READ | PROT_WRITE : PROT_READ,
                      (copy ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED, own, off_t(offset));
    int error = base == MAP_FAILED ? errno : 0;
    close(own);
    return error;
}

// Read-only, and as it is now: for a file that is sealed, so that nobody can write to it or cut it short.
inline void* map_sealed(int fd, uint64_t length) noexcept {
    void* base = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd, 0);
    return base == MAP_FAILED ? nullptr : base;
}

// Maps the pages of a range now, all at once, instead of one by one as they are first written. A hint:
// kernels before 5.14 do without.
inline void touch(void* begin, uint64_t length) noexcept {
#ifdef MADV_POPULATE_WRITE
    madvise(begin, length, MADV_POPULATE_WRITE);
#endif
}

inline void unmap(void* base, uint64_t length) noexcept { munmap(base, length); }

// Writes what has changed in a mapping to its file: 0 or an errno.
inline int flush_mapping(void* begin, uint64_t length) noexcept { return msync(begin, length, MS_SYNC) ? errno : 0; }
inline int advise_mapping(void* begin, uint64_t length, int advice) noexcept {
    return madvise(begin, length, advice) ? errno : 0;
}

// The first and the last place of some bytes in others, or null.
inline const char* find_bytes(const char* in, size_t size, const char* what, size_t length) noexcept {
    return static_cast<const char*>(memmem(in, size, what, length));
}
inline const char* find_last_bytes(const char* in, size_t size, const char* what, size_t length) noexcept {
    if (length > size) return nullptr;
    if (!length) return in + size;
    for (size_t left = size - length + 1; left;) {
        auto at = static_cast<const char*>(memrchr(in, what[0], left));
        if (!at || !memcmp(at, what, length)) return at;
        left = size_t(at - in);
    }
    return nullptr;
}

// True while `name` in `directory` leads to the file that `fd` has open.
inline bool is_linked_as(int fd, int directory, const char* name) noexcept {
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

// Removes what `path` leads to if it is still this very file, without a descriptor to spare.
inline bool unlink_path_if_same(int fd, const char* path) noexcept {
    return is_linked_as(fd, AT_FDCWD, path) && ::unlink(path) == 0;
}

// Removes `name`, but only if it still leads to this very file. The directory's own lock keeps two
// removers apart, lest one unlink what another has just made anew under the same name.
inline bool unlink_if_same(int fd, int directory, const char* name) noexcept {
    for (int tries = 0; flock(directory, LOCK_EX | LOCK_NB) != 0; ++tries) {
        if (tries == 200) return false;  // a remover stopped half-way; the next toucher of the name cleans
        usleep(1000);
    }
    bool removed = is_linked_as(fd, directory, name) && unlinkat(directory, name, 0) == 0;
    flock(directory, LOCK_UN);
    return removed;
}

}  // namespace weft::os
