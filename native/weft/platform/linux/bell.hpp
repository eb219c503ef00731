// The doorbell: a descriptor that becomes readable when another process rings.
//
// One FIFO beside the segment serves all its listeners. A listener watches it edge-triggered through
// an epoll instance of its own, so every ring reaches every listener, nobody has to take bytes out of
// the FIFO, and a listener that dies takes no ring along. Ringers empty the FIFO when it is full.
//
// Who has the FIFO open has a shared flock on it; who gets it alone may remove it, since whoever comes
// later makes it anew.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "file.hpp"
#include "futex.hpp"

namespace weft::os {

// Mode and group are those of the segment that `like` has open.
inline int open_bell(const char* path, bool create, int like) noexcept {
    for (int tries = 0;; ++tries) {
        struct stat s;
        bool made = false;
        if (create && fstat(like, &s) == 0) {
            made = mkfifo(path, 0600) == 0;
            if (!made && errno != EEXIST) return -1;
        }
        int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && !(create && errno == ENOENT && tries < 200)) return -1;
        if (made && fd >= 0 && (fchown(fd, uid_t(-1), s.st_gid) != 0 || fchmod(fd, s.st_mode & 0777) != 0)) {
            // Others may not hear it then; we do, and nothing is lost.
        }
        if (fd >= 0 && (fstat(fd, &s) != 0 || !S_ISFIFO(s.st_mode))) {
            close(fd);
            errno = EINVAL;
            return -1;
        }
        // Somebody may be removing what nobody had open until now. One who stopped half-way is not waited
        // for: what it removes later costs some rings, and sleepers look by themselves.
        if (fd >= 0 && ((attach_shared(fd) && is_linked_as(fd, AT_FDCWD, path)) || tries >= 200)) return fd;
        if (fd >= 0) {
            close(fd);
            usleep(1000);
        }
    }
}

inline void ring(int bell) noexcept {
    char byte = 1;
    for (int tries = 0; tries < 4; ++tries) {
        if (write(bell, &byte, 1) == 1 || errno != EAGAIN) return;
        char waste[4096];
        while (read(bell, waste, sizeof waste) > 0) {
        }
    }
}

inline void close_bell(int fd) noexcept { close(fd); }

inline void hush(int listener) noexcept {
    epoll_event event;
    epoll_wait(listener, &event, 1, 0);
}

// A pollable descriptor: readable from a ring on until `hush`.
inline int listen_bell(int bell) noexcept {
    int listener = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0) return -1;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    if (epoll_ctl(listener, EPOLL_CTL_ADD, bell, &event) != 0) {
        int error = errno;
        close(listener);
        errno = error;
        return -1;
    }
    hush(listener);  // rings of the past
    return listener;
}

// Has a listener hear another bell too; 0 or an errno.
inline int hear_bell(int listener, int bell) noexcept {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    const int error = epoll_ctl(listener, EPOLL_CTL_ADD, bell, &event) == 0 ? 0 : errno;
    hush(listener);
    return error;
}

// Has a listener hear, once, that a socket's other side has gone; 0 or an errno.
inline int hear_hang_up(int listener, int socket) noexcept {
    epoll_event event{};
    event.events = EPOLLRDHUP | EPOLLET;
    return epoll_ctl(listener, EPOLL_CTL_ADD, socket, &event) == 0 || errno == EEXIST ? 0 : errno;
}

// Sleeps until it rings.
inline Sleep wait_bell(int listener, int64_t timeout_ns) noexcept {
    epoll_event event;
    const int got = epoll_wait(listener, &event, 1, int((timeout_ns + 999'999) / 1'000'000));
    return got > 0 ? Sleep::woken : got == 0 ? Sleep::timed_out : Sleep::interrupted;
}

// Has a listener hear, once, that a process ends; 0 or an errno.
inline int hear_end(int listener, int process) noexcept {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    return epoll_ctl(listener, EPOLL_CTL_ADD, process, &event) == 0 || errno == EEXIST ? 0 : errno;
}

}  // namespace weft::os
