// Processes to be started, stopped and killed by a test, and memory to compare notes in.
#pragma once

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "harness.hpp"
#include "weft/fault.hpp"
#include "weft/platform/platform.hpp"

namespace test {

class Child {
public:
    // Runs `body` in a forked child, which ends when it returns.
    template <class Body>
    explicit Child(Body body) : pid_(fork()) {
        CHECK(pid_ >= 0);
        if (pid_ != 0) return;
        body();
        _exit(0);
    }

    pid_t pid() const { return pid_; }
    void send(int signal) const { CHECK(::kill(pid_, signal) == 0); }

    bool ended_well() { return wait() && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }
    bool was_killed() { return wait() && WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL; }
    void kill() {
        send(SIGKILL);
        CHECK(was_killed());
    }
    // Until it has stopped itself, or has ended; left unreaped.
    void wait_stopped() const {
        siginfo_t what;
        CHECK(waitid(P_PID, id_t(pid_), &what, WSTOPPED | WEXITED | WNOWAIT) == 0 && what.si_code == CLD_STOPPED);
    }
    void wait_zombie() const {
        siginfo_t what;
        CHECK(waitid(P_PID, id_t(pid_), &what, WEXITED | WNOWAIT) == 0);
    }
    bool is_running() const {
        siginfo_t what{};
        CHECK(waitid(P_PID, id_t(pid_), &what, WEXITED | WNOWAIT | WNOHANG) == 0);
        return what.si_pid == 0;
    }

private:
    bool wait() {
        while (!reaped_ && waitpid(pid_, &status_, 0) == pid_) reaped_ = true;
        return reaped_;
    }

    pid_t pid_;
    int status_ = 0;
    bool reaped_ = false;
};

// Shared with every child forked later; zero to begin with; lives as long as the test.
template <class T>
T& shared() {
    void* place = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    return *new (place) T;
}

// Lets `count` processes or threads go on together, again and again.
class Rendezvous {
public:
    void meet(uint32_t count) {
        uint32_t round = round_.load();
        if (arrived_.fetch_add(1) + 1 == count) {
            arrived_.store(0);
            round_.fetch_add(1);
        } else {
            while (round_.load() == round) sched_yield();
        }
    }

private:
    std::atomic<uint32_t> arrived_, round_;
};

// This process is to die, or stop, when it comes to the point for the `count`th time.
inline void arm(const char* point, int count = 1, const char* action = "kill") {
    char text[100];
    snprintf(text, sizeof text, "%s:%d:%s", point, count, action);
    weft::fault::armed().parse(text);
}

inline int64_t in_ms(int64_t milliseconds) { return weft::os::now_ns() + milliseconds * 1'000'000; }

// Small, repeatable, and the same everywhere (Marsaglia's xorshift64*).
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 2685821657736338717u + 1) {}
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 2685821657736338717u >> 11;
    }
    uint64_t below(uint64_t end) { return next() % end; }

private:
    uint64_t state_;
};

}  // namespace test
