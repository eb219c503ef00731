// The calling thread as the kernel knows it. Asked once per thread, and anew in a forked child: two system
// calls are a twentieth of a round trip between two sleepers.
#pragma once

#include "segment.hpp"

namespace weft {

struct ThisThread {
    uint32_t id = 0;
    bool is_main = false;  // the one that the process, or the fork that made it, began with

    static const ThisThread& get() noexcept {
        static thread_local uint64_t forks = ~uint64_t(0);
        static thread_local ThisThread known;
        if (forks != Segment::fork_count()) {
            forks = Segment::fork_count();
            known = {os::thread_id(), os::thread_id() == os::process_id()};
        }
        return known;
    }
};

}  // namespace weft
