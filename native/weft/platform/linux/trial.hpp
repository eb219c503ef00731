// What a directory can do for segments, found out by trying the very calls that segments make.
#pragma once

#include <sys/vfs.h>

#include "bell.hpp"
#include "file.hpp"

namespace weft::os {

// An errno each, or 0 for what works. What could not be tried, because something before it failed, has the
// errno of that.
struct Trial {
    int unnamed_files = 0;  // without them a hidden name is used
    int making = 0;         // a file by either way
    int reserving = 0;
    int mapping = 0;
    int attaching = 0;      // flock: seen by another opening of the file
    int byte_locks = 0;     // open-file-description locks, likewise
    int linking = 0;
    int doorbells = 0;      // FIFOs
};

inline bool on_tmpfs(int fd) noexcept {
    struct statfs s;
    return fstatfs(fd, &s) == 0 && s.f_type == 0x01021994;
}

// Leaves nothing behind, and shows no file but under a hidden name.
inline Trial try_out(const char* directory) noexcept {
    Trial trial;
    Directory place(directory);
    if (place.fd() < 0) {
        const int error = errno;
        return {error, error, error, error, error, error, error, error};
    }
    char hidden[40], name[48];
    int fd = create_unlinked(place.fd(), 0600, hidden, sizeof hidden);
    trial.making = fd < 0 ? errno : 0;
    trial.unnamed_files = fd < 0 ? errno : hidden[0] ? EOPNOTSUPP : 0;
    if (fd < 0) {
        const int error = errno;
        return {error, error, error, error, error, error, error, error};
    }
    trial.reserving = reserve(fd, 0, kPage);
    if (void* base = trial.reserving ? nullptr : map_shared(fd, kPage))
        unmap(base, kPage);
    else
        trial.mapping = trial.reserving ? trial.reserving : errno;
    int other = reopen(fd);
    if (other < 0) {
        trial.attaching = trial.byte_locks = errno;
    } else {
        if (!attach_shared(fd)) trial.attaching = errno;
        else if (attach_alone(other)) trial.attaching = ENOLCK;  // the lock is not seen
        if (!lock_byte(fd, 0)) trial.byte_locks = errno;
        else if (!byte_is_locked(other, 0) || byte_is_locked(other, 1)) trial.byte_locks = ENOLCK;
        close(other);
    }
    snprintf(name, sizeof name, ".new-%016llx", static_cast<unsigned long long>(wall_clock_ns()));
    if (link_file(fd, place.fd(), hidden, name) != 0) trial.linking = errno;
    else unlinkat(place.fd(), name, 0);
    remove_hidden(place.fd(), hidden);
    if (mkfifoat(place.fd(), name, 0600) != 0) trial.doorbells = errno;
    else unlinkat(place.fd(), name, 0);
    close(fd);
    return trial;
}

}  // namespace weft::os
