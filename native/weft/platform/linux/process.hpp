// Facts about this process, for display only: nothing is ever decided by a pid.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace weft::os {

inline uint32_t process_id() noexcept { return uint32_t(getpid()); }

inline int64_t wall_clock_ns() noexcept {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// The kernel's number of this thread.
inline uint32_t thread_id() noexcept { return uint32_t(syscall(SYS_gettid)); }

// The command line with blanks between its words, cut to fit. It is read once: that takes longer than all
// else that is done to open an object.
inline void command_line(char* text, size_t size) noexcept {
    struct Line {
        char text[256] = {};
        Line() noexcept {
            int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
            ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
            if (fd >= 0) close(fd);
            for (ssize_t i = 0; i + 1 < length; ++i)
                if (!text[i]) text[i] = ' ';
        }
    };
    static const Line line;
    memset(text, 0, size);
    strncpy(text, line.text, size - 1);
}

inline void yield_core() noexcept { sched_yield(); }

inline void sleep_ns(long ns) noexcept {
    timespec pause{0, ns};
    nanosleep(&pause, nullptr);
}

inline int at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
    return pthread_atfork(before, in_parent, in_child);
}

}  // namespace weft::os
