// What every kind of object is to the process that has it open: a segment, a place among its
// participants, and a doorbell.
//
// What touches this process's list of segments or its count of forks is virtual: each extension module
// has both of its own, and an object belongs to the module that made it.
#pragma once

#include "event.hpp"

namespace weft {

class Object {
public:
    Object() = default;
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    virtual ~Object() = default;

    virtual Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) = 0;
    // `ok` too if what is there is of another kind: the caller compares kinds and says so.
    virtual Status open(const char* directory, const char* name, Failure& why) = 0;
    // Gives up what this participant owns. How many messages went with the object: 0 unless this was the
    // last attachment of all.
    virtual uint64_t close() noexcept = 0;
    // Joins anew after a fork; every operation is called through this.
    virtual Status ensure_joined(Failure& why) noexcept = 0;

    Segment& segment() noexcept { return segment_; }
    Participants& people() noexcept { return people_; }

    // The bell's FIFO, made if asked for and need be; -1 and errno. Stays this object's. Most objects have one
    // bell alone, the first.
    int bell(bool create, int which = 0) noexcept {
        int bell = bells_[which].load(std::memory_order_acquire);
        if (bell >= 0) return bell;
        bell = os::open_bell(segment_.bell_path(which).c_str(), create, segment_.fd());
        int none = -1;
        if (bell >= 0 && !bells_[which].compare_exchange_strong(none, bell)) {
            ::close(bell);
            bell = none;
        }
        return bell;
    }
    // The bell that says that there is something to take.
    virtual int items_bell() noexcept { return bell(true); }

    void ring_bell(int which = 0) noexcept {
        if (int fd = bell(false, which); fd >= 0) os::ring(fd);
    }

    // Wakes up to `count` who wait for that event, in this system call or in an event loop.
    void notify(Event& event, int count, int which = 0) noexcept {
        if (event.notify(count)) ring_bell(which);
    }

    // A new descriptor that becomes readable when the bell is rung, or -1 and errno; the caller closes it.
    virtual int listen() noexcept {
        const int bell = this->bell(true);
        return bell < 0 ? -1 : os::listen_bell(bell);
    }
    // Quiet until the next ring.
    virtual void hush(int listener) noexcept { os::hush(listener); }

protected:
    // The last step of closing; whether the segment went with it.
    bool detach() noexcept {
        for (auto& each : bells_)
            if (int bell = each.exchange(-1); bell >= 0) ::close(bell);
        return segment_.detach();
    }

    static constexpr int kMostBells = Segment::kMostBells;
    Segment segment_;
    Participants people_;

private:
    std::atomic<int> bells_[kMostBells] = {-1, -1, -1};
};

}  // namespace weft
