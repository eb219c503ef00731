// How every operation of the core ends. No exceptions, no Python: the binding turns a status into the
// exception that a user would catch.
#pragma once

#include <cstdint>

namespace weft {

enum class Status : int {
    ok,
    empty,          // nothing to take now
    full,           // no room now
    busy,           // a lock was contended: call again with the GIL released and more patience
    timed_out,
    interrupted,    // a signal was handled in this thread
    shut_down,
    no_space,       // the file system cannot back what is needed
    out_of_slots,   // more participants than the segment has places for
    corrupted,      // the segment holds what no honest process writes
    too_large,
    exists,
    missing,
    not_a_segment,
    wrong_version,
    refused,        // permission
    os_error,
    in_use,         // others have it open
    marked,         // the owner of a lock died, and nobody has repaired what it guards
    not_held,
    beyond,         // more permits would be out than there can be
    broken,         // a barrier that will not open
    orphan,         // within a queue: a part of a message whose taker has died or given up was dropped
};

// What a failed set-up call knows about its failure.
struct Failure {
    int os_errno = 0;
    const char* step = "";       // what was being done, as words for a sentence
    uint64_t wanted = 0;         // no_space: bytes that were to be reserved
    uint64_t available = 0;      // no_space: bytes that are left
};

}  // namespace weft
