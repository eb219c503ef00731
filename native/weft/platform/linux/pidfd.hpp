// A process held by a descriptor: it stays this very process, whatever becomes of its pid.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace weft::os {

// A descriptor, or a negative errno.
inline int open_process(int pid) noexcept {
    const long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : int(fd);
}

// Whether it has ended, zombies included; without waiting.
inline bool has_ended(int process) noexcept {
    pollfd look{process, POLLIN, 0};
    return poll(&look, 1, 0) == 1;
}

// 0 or an errno. A real-time signal always goes with a value, since only such a one is sure to be queued, or to
// be refused with EAGAIN.
inline int signal_process(int process, int number, bool with_value, int value) noexcept {
    if (!with_value && number < SIGRTMIN)
        return syscall(SYS_pidfd_send_signal, process, number, nullptr, 0) == 0 ? 0 : errno;
    siginfo_t info{};
    info.si_signo = number;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return syscall(SYS_pidfd_send_signal, process, number, &info, 0) == 0 ? 0 : errno;
}

// Whether orphans among this process's descendants become its children; returns what was so before.
inline bool adopt_orphans(bool adopt) noexcept {
    int before = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &before, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, adopt, 0, 0, 0);
    return before != 0;
}

}  // namespace weft::os
