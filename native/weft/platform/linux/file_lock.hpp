// Locks that the kernel releases when their holder dies, whatever the way it died.
//
// Attachment: a shared flock on the file. Participant: an open-file-description lock on one byte far
// beyond the file's end. Both belong to the open file description, not to a pid: they are right with
// reused pids, pid namespaces, unreaped zombies (a zombie's files are closed) and stopped processes
// (theirs are not), and closing another descriptor of the same file does not drop them.
#pragma once

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdint>

namespace weft::os {

inline constexpr off_t kFirstLockByte = off_t(1) << 62;

inline bool attach_shared(int fd) noexcept { return flock(fd, LOCK_SH | LOCK_NB) == 0; }
inline bool attach_alone(int fd) noexcept { return flock(fd, LOCK_EX | LOCK_NB) == 0; }

inline struct flock byte_range(short type, uint32_t byte, uint32_t count = 1) noexcept {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = kFirstLockByte + off_t(byte);
    range.l_len = off_t(count);
    return range;
}

inline bool lock_byte(int fd, uint32_t byte) noexcept {
    auto range = byte_range(F_WRLCK, byte);
    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

inline bool share_byte(int fd, uint32_t byte) noexcept {
    auto range = byte_range(F_RDLCK, byte);
    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

inline void unlock_byte(int fd, uint32_t byte) noexcept {
    auto range = byte_range(F_UNLCK, byte);
    fcntl(fd, F_OFD_SETLK, &range);
}

// Whether an opening other than `fd`'s own holds the byte, or one of `count` bytes. Unknown counts as held: nobody may be
// declared dead because a call failed.
inline bool byte_is_locked(int fd, uint32_t byte, uint32_t count = 1) noexcept {
    auto range = byte_range(F_WRLCK, byte, count);
    return fcntl(fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

}  // namespace weft::os
