// The test harness. Each test runs in a process group and a directory of its own: whatever it leaves,
// hung, stopped and orphaned processes included, is cleared away, and a failure ends nothing but itself.
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

namespace test {

inline constexpr unsigned kSecondsPerTest = 120;

struct Case {
    const char* name;
    void (*run)();
    bool forks;
};
inline std::vector<Case> cases;
inline char directory[] = "/dev/shm/weft-native-XXXXXX";

[[noreturn]] inline void fail(const char* file, int line, const char* what) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    _exit(1);
}

// In a process of its own, so that signals and deadlocks cannot take the other tests along.
inline bool passes(const Case& test) {
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    if (!mkdtemp(directory)) return false;
    pid_t group = (fflush(nullptr), fork());
    if (group == 0) {
        setpgid(0, 0);
        alarm(kSecondsPerTest);
        test.run();
        exit(0);
    }
    setpgid(group, group);
    int status = 0;
    waitpid(group, &status, 0);
    kill(-group, SIGKILL);
    std::filesystem::remove_all(directory);
    if (WIFSIGNALED(status)) fprintf(stderr, "%s: ended by %s\n", test.name, strsignal(WTERMSIG(status)));
    return status == 0;
}

}  // namespace test

#define CHECK(...) ((__VA_ARGS__) ? (void)0 : ::test::fail(__FILE__, __LINE__, #__VA_ARGS__))

#define WEFT_TEST(name, forks)                                                                  \
    static void name();                                                                         \
    static const bool name##_listed = (::test::cases.push_back({#name, name, forks}), true);    \
    static void name()
#define TEST(name) WEFT_TEST(name, false)
// For tests that start processes: the thread sanitizer sees the threads of one process only.
#define PROCESS_TEST(name) WEFT_TEST(name, true)

int main(int count, char** words) {
    int failed = 0;
    for (const auto& test : test::cases) {
        if (count > 1 && !strstr(test.name, words[1])) continue;
#ifdef __SANITIZE_THREAD__
        if (test.forks && printf("skipped %s: more than one process\n", test.name)) continue;
#endif
        auto start = std::chrono::steady_clock::now();
        bool ok = test::passes(test);
        failed += !ok;
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        printf("%s %s (%.2f s)\n", ok ? "ok" : "FAILED", test.name, took.count());
    }
    return failed != 0;
}
