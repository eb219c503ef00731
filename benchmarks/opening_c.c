// What the system takes to open shared memory, in C: the least there could be, and the calls that weft makes.
// Prints six times in microseconds: see CALLS in memory.py.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COUNT 2000

static const char *path;
static off_t size;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int open_least(void) { return open(path, O_RDWR | O_CLOEXEC); }

static int open_as_weft(void) {
    char header[2312];
    struct stat facts;
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    flock(fd, LOCK_EX | LOCK_NB);  // fails: somebody is attached
    flock(fd, LOCK_SH | LOCK_NB);
    fstat(fd, &facts);
    if (pread(fd, header, sizeof header, 0) < 0) exit(1);
    return fd;
}

static void close_as_weft(int fd) {
    flock(fd, LOCK_EX | LOCK_NB);
    close(fd);
}

// Maps all of it, and touches a page at each of the places.
static void touch(int fd, int places, const off_t *at) {
    volatile char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) exit(1);
    for (int i = 0; i < places; ++i) (void)base[at[i]];
    munmap((void *)base, size);
}

static void lock_bytes(int fd) {
    for (int byte = 0; byte < 2; ++byte) {
        struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ((off_t)1 << 62) + 2000 + byte, .l_len = 1};
        fcntl(fd, F_OFD_SETLK, &range);
    }
}

static double opening(int (*make)(void)) {
    double total = 0;
    for (int i = 0; i < COUNT; ++i) {
        const double begin = now();
        const int fd = make();
        total += now() - begin;
        close(fd);
    }
    return total / COUNT;
}

static double whole(int as_weft, int use) {
    const off_t data = 0x12000, places[] = {0x1000, 0x11000, data};
    struct stat facts;
    const double begin = now();
    for (int i = 0; i < COUNT; ++i) {
        const int fd = as_weft ? open_as_weft() : open_least();
        if (use && as_weft) {
            lock_bytes(fd);
            fstat(fd, &facts);
            touch(fd, 3, places);
            fstat(fd, &facts);
        } else if (use) {
            touch(fd, 1, &data);
        }
        if (as_weft) close_as_weft(fd);
        else close(fd);
    }
    return (now() - begin) / COUNT;
}

int main(int count, char **words) {
    struct stat facts;
    if (count != 2 || stat(path = words[1], &facts) != 0) return 2;
    size = facts.st_size;
    printf("%.3f %.3f ", opening(open_least), opening(open_as_weft));
    printf("%.3f %.3f ", whole(0, 0), whole(1, 0));
    printf("%.3f %.3f\n", whole(0, 1), whole(1, 1));
    return 0;
}
