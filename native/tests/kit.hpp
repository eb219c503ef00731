// What the tests of everything that stands in a segment have in common.
#pragma once

#include <sys/resource.h>

#include <memory>
#include <string>

#include "processes.hpp"
#include "weft/participants.hpp"

namespace test {

using namespace weft;

// A segment with one page for whatever is under test, which begins as zeros.
inline SegmentSpec one_page(Lifetime lifetime = Lifetime::attached) {
    SegmentSpec spec;
    spec.kind = 77;
    spec.lifetime = lifetime;
    spec.object_bytes = os::kPage;
    spec.file_bytes = kObjectAt + spec.object_bytes;
    return spec;
}

inline std::string path_of(const char* name) { return std::string(directory) + "/" + name; }
inline bool exists(const char* name) { return access(path_of(name).c_str(), F_OK) == 0; }
inline bool directory_is_empty() { return std::filesystem::is_empty(directory); }

inline Status create(Segment& segment, const char* name = "s", const SegmentSpec& spec = one_page()) {
    Failure why;
    return segment.create(directory, name, spec, why);
}
inline Status open(Segment& segment, const char* name = "s") {
    Failure why;
    return segment.open(directory, name, why);
}

// Whether no participant holds a slot through another opening than this.
inline bool is_alone(const Segment& segment) { return !os::byte_is_locked(segment.fd(), 0, kMaxSlots); }

// One attachment that takes part.
struct Member {
    Segment segment;
    Participants people;

    void join() {
        Failure why;
        CHECK(people.join(segment, why) == Status::ok);
    }
    Member& created() {
        CHECK(test::create(segment) == Status::ok);
        join();
        return *this;
    }
    Member& opened() {
        CHECK(test::open(segment) == Status::ok);
        join();
        return *this;
    }
    ~Member() {
        people.leave();
        segment.detach();
    }
};

// In this process and those it starts.
inline bool allow_open_files(rlim_t count) {
    rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < count) return false;
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace test
