// The round trip of a signal in C: kill() and sigwait(), two processes. Prints the median in microseconds.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void pin(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int count, char **words) {
    if (count != 4) return 2;
    const int trips = atoi(words[1]), warm = trips / 10, here = atoi(words[2]), there = atoi(words[3]);
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        pin(there);
        for (int i = 0; i < trips + warm; ++i) {
            sigwait(&set, &number);
            kill(parent, SIGUSR1);
        }
        _exit(0);
    }
    pin(here);
    double *times = malloc(trips * sizeof *times);
    for (int i = -warm; i < trips; ++i) {
        const double begin = now();
        kill(child, SIGUSR1);
        sigwait(&set, &number);
        if (i >= 0) times[i] = now() - begin;
    }
    waitpid(child, NULL, 0);
    qsort(times, trips, sizeof *times, compare);
    printf("%.3f\n", times[trips / 2]);
    return 0;
}
