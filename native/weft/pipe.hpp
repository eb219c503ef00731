// A pipe: two ends, and a queue for each direction.
//
// An end may be in several hands: those of forked children, and of processes to which it has travelled. It is over
// when the last of them has closed it, or when one that used it has died and nobody else uses it; children that have
// inherited an end and do nothing with it hide no death, nor that who used it has closed it. Who finds the other end
// over shuts both queues:
// what was sent can be taken, then comes the end of the stream, and nothing more can be put. An end that is over
// stays so.
//
// Any death is found by the kernel's locks alone; that there may have been one, sleepers hear from the kernel too,
// by descriptors of the other end's processes.
#pragma once

#include <utility>
#include <vector>

#include "pipe_layout.hpp"
#include "queue.hpp"

namespace weft {

class Pipe final : public QueueHome, private Segment::Keeper {
public:
    ~Pipe() override { forget_processes(); }

    // spec.geometry as PipeGeometry has it. Neither this nor `open` takes a place yet.
    Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) override;
    Status open(const char* directory, const char* name, Failure& why) override;
    // Takes an end: -1 the next that is free; `in_use`: none is.
    Status come(int end, Failure& why) noexcept;
    // This is nobody's end any more; memory of messages stays until `close`.
    void leave() noexcept;
    uint64_t close() noexcept override;
    Status ensure_joined(Failure& why) noexcept override;

    int end() const noexcept { return end_; }
    // nullptr: this end does not send, or does not receive.
    Queue* sends() noexcept { return queue_from(end_); }
    Queue* receives() noexcept { return queue_from(1 - end_); }

    // The first call of a process, or of a forked child, says that it uses the end.
    bool is_used() const noexcept { return used_; }
    Status use(Failure& why) noexcept;

    // Whether the other end is over; looks for it.
    bool is_over() noexcept;
    // Whether it is time to look, for who is at work and does not wait.
    bool is_due() noexcept {
        const int64_t now = os::coarse_now_ns();
        if (looked_ns_.load(std::memory_order_relaxed) == now) return false;
        looked_ns_.store(now, std::memory_order_relaxed);
        return true;
    }
    // Whether somebody has come to the other end, ever.
    bool is_met() const noexcept { return state_->places.load(std::memory_order_acquire) >> (1 - end_) & 1; }
    Status wait_met(int64_t deadline_ns) noexcept;
    void arm_met_bell() noexcept { state_->changed.announce_bell(); }

    // An opening of the file that has this end for a process that is to come: the caller gives it away, and it is
    // closed here when the next is made, or this end closed. -1 and errno.
    int send_off() noexcept;

    bool watches() const noexcept override { return true; }
    void look_after() noexcept override {
        recover(false);
        is_over();
    }
    // At the bells of the end, and at the other end's processes.
    int listen() noexcept override;
    // The same, but quiet as long as there is nothing to take. `link`: -1, or a socket to the other end, which hangs
    // up when the last who has it there has gone: that tells of processes that were not there yet.
    int listen_for_items(int link) noexcept;
    // Looks for processes at the other end that are new to the listener.
    void watch(int listener) noexcept;
    // Each end has one of its own, so that nothing but what is for it makes a descriptor of its readable.
    int items_bell() noexcept override { return bell(true, 1 + end_); }
    void hush(int listener) noexcept override {
        os::hush(listener);
        watch(listener);
    }

    void wake() noexcept override;
    // Threads of this process that wait in this end, and those who share it.
    void wake_own() noexcept;
    PipeState& state() noexcept { return *state_; }
    // The word of a participant's entry.
    uint32_t holder(uint32_t slot) const noexcept { return holders()[slot].word.load(std::memory_order_acquire); }
    // Whether an end has anybody who counts.
    bool is_held(int end) const noexcept;

private:
    struct Process {
        Owner owner;
        int descriptor;
    };
    Holder* holders() const noexcept { return reinterpret_cast<Holder*>(segment_.base() + PipeGeometry::kHoldersAt); }
    Queue* queue_from(int end) noexcept {
        if (geometry_.directions == 2) return &queues_[end];
        return end == 1 ? &queues_[0] : nullptr;
    }
    void bind() noexcept;
    Status take_place(Failure& why) noexcept;
    void begin_conversation() noexcept;
    void enter(Owner owner, int end, uint32_t flags) noexcept;
    void shut() noexcept;
    void forget_processes() noexcept;
    void before_fork(int child_fd) noexcept override;
    void after_fork(bool in_child) noexcept override;
    void last_one_out(int) noexcept override {}

    Queue queues_[2] = {Queue(*this), Queue(*this)};
    PipeState* state_ = nullptr;
    PipeGeometry geometry_{};
    int end_ = -1;
    uint32_t conversation_ = 0;
    bool used_ = false, has_left_ = false;
    std::atomic<int64_t> looked_ns_{0};
    int travelling_ = -1;
    Participants child_;
    bool child_joined_ = false;
    std::mutex mutex_;                // of the processes that are watched
    std::vector<Process> processes_;
};

// ---------------------------------------------------------------------------------------------

inline void Pipe::bind() noexcept {
    segment_.keep(*this);
    state_ = reinterpret_cast<PipeState*>(segment_.base() + kObjectAt);
    for (uint64_t i = 0; i < geometry_.directions; ++i) {
        queues_[i].bind(geometry_.queue_at(i), geometry_.queue);
        add(queues_[i]);
    }
    queues_[0].set_items_bell(geometry_.directions == 2 ? 2 : 1);
    queues_[1].set_items_bell(1);
    if (geometry_.directions == 2) {
        queues_[0].pool().set_sibling(queues_[1].pool());
        queues_[1].pool().set_sibling(queues_[0].pool());
    }
}

inline Status Pipe::create(const char* directory, const char* name, SegmentSpec spec, Failure& why) {
    geometry_ = PipeGeometry::of(spec.geometry);
    spec.kind = kPipeKind;
    spec.file_bytes = geometry_.file_bytes();
    spec.object_bytes = 2 * os::kPage;
    spec.prepare_bytes = geometry_.directions * (os::kPage + Queue::prepared_bytes(geometry_.queue));
    spec.prepare = [](char* base, int fd, const SegmentSpec& self) -> int {
        const auto g = PipeGeometry::of(self.geometry);
        for (uint64_t i = 0; i < g.directions; ++i) {
            if (int error = os::reserve(fd, g.queue_at(i), os::kPage)) return error;
            if (int error = Queue::prepare(base, fd, g.queue_at(i), g.queue)) return error;
        }
        return 0;
    };
    Status status = segment_.create(directory, name, spec, why);
    if (status != Status::ok) return status;
    bind();
    return Status::ok;
}

inline Status Pipe::open(const char* directory, const char* name, Failure& why) {
    Status status = segment_.open(directory, name, why);
    if (status != Status::ok) return status;
    const SegmentHeader& header = segment_.header();
    if (header.kind != kPipeKind) return Status::ok;  // the caller compares kinds and says so
    geometry_ = PipeGeometry::of(header.geometry);
    if (!geometry_.is_sane() || header.file_bytes != geometry_.file_bytes() ||
        segment_.file_bytes() != header.file_bytes) {
        why.step = "reading the geometry";
        return Status::corrupted;
    }
    bind();
    return Status::ok;
}

inline Status Pipe::come(int end, Failure& why) noexcept {
    Status status = people_.join(segment_, why);
    end_ = end;
    if (status == Status::ok) status = take_place(why);
    if (status != Status::ok) return status;
    inherit();
    state_->arrivals.fetch_add(1);
    notify(state_->changed, INT32_MAX);
    return Status::ok;
}

// Nobody hears that there is something to take when there is not: there are no leases that could come back.
inline void Pipe::wake() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    notify(state_->changed, INT32_MAX);
    for (uint64_t i = 0; i < geometry_.directions; ++i) queues_[i].wake_putters();
}

inline void Pipe::wake_own() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (receives()) receives()->wake_takers();
    if (sends()) sends()->wake_putters();
    notify(state_->changed, INT32_MAX);
}

// What the slot's last owner left has to tell of a death still.
inline void Pipe::enter(Owner owner, int end, uint32_t flags) noexcept {
    Holder& entry = holders()[owner_slot(owner)];
    const uint32_t before = entry.word.load(std::memory_order_acquire);
    if (Holder::is_used(before) && Holder::owner(before) != owner) state_->died.fetch_or(1u << Holder::end(before));
    entry.word.store(Holder::make(owner, end, flags), std::memory_order_seq_cst);
    WEFT_FAULT(pipe_entered);
}

inline bool Pipe::is_held(int end) const noexcept {
    const uint32_t gone = state_->died.load(std::memory_order_acquire) >> end;
    const bool closed = gone & 4;
    bool had = false, died = gone & 1;
    for (uint32_t slot = 0, all = people_.reserved_slots(); slot < all; ++slot) {
        const uint32_t word = holder(slot);
        if (!Holder::owner(word) || Holder::end(word) != end) continue;
        const bool used = Holder::is_used(word);
        if (people_.is_alive(Holder::owner(word))) {
            if (used) return true;
            had |= !(closed && Holder::is_heir(word));
        } else {
            died |= used;
        }
    }
    return had && !died;
}

// One after the other, by the door's lock. Who dies with it has taken a place or has not: it is told by `places`.
inline Status Pipe::take_place(Failure& why) noexcept {
    why.step = "taking an end (a process stopped half-way through that)";
    const int64_t deadline = os::now_ns() + 2'000'000'000;
    Status status = Status::busy;
    while (status != Status::ok && os::now_ns() < deadline) status = state_->door.lock(people_, deadline).status;
    if (status != Status::ok) return Status::timed_out;
    uint32_t places = state_->places.load(std::memory_order_relaxed);
    const bool any = end_ < 0;
    if (any && (places & PipeState::kBoth) == PipeState::kBoth) {
        if (is_held(0) || is_held(1)) {
            state_->door.unlock();
            return Status::in_use;
        }
        begin_conversation();
        places = state_->places.load(std::memory_order_relaxed);
    }
    if (any) end_ = places & 1 ? 1 : 0;
    conversation_ = places >> PipeState::kNumberShift;
    enter(people_.self(), end_, 0);
    if (!(places >> end_ & 1)) {
        PlaceTaken& place = state_->taken[end_];
        place.pid = os::process_id();
        place.since_ns = os::wall_clock_ns();
        os::command_line(place.command, sizeof place.command);
        state_->places.store(places | 1u << end_, std::memory_order_release);
    }
    WEFT_FAULT(pipe_placed);
    state_->door.unlock();
    return Status::ok;
}

// Both ends of the last one are over. Dying half-way leaves it to the next: `places` is written last.
inline void Pipe::begin_conversation() noexcept {
    for (uint64_t i = 0; i < geometry_.directions; ++i) queues_[i].reset();
    for (uint32_t slot = 0, all = people_.reserved_slots(); slot < all; ++slot)
        holders()[slot].word.store(0, std::memory_order_relaxed);
    state_->died.store(0);
    const uint32_t number = (state_->places.load(std::memory_order_relaxed) >> PipeState::kNumberShift) + 1;
    state_->places.store(number << PipeState::kNumberShift, std::memory_order_release);
}

// A forked child for which its parent could not join does so now.
inline Status Pipe::ensure_joined(Failure& why) noexcept {
    if (!people_.foreign()) return Status::ok;
    Status status = rejoin(why);
    if (status == Status::ok) enter(people_.self(), end_, Holder::kHeir);
    return status;
}

inline Status Pipe::use(Failure& why) noexcept {
    Status status = ensure_joined(why);
    if (status != Status::ok) return status;
    // A child that kept an end of a conversation that is over, where others have begun another.
    if (state_->places.load(std::memory_order_acquire) >> PipeState::kNumberShift != conversation_)
        return Status::broken;
    enter(people_.self(), end_, Holder::kUsed);
    used_ = true;
    return Status::ok;
}

inline void Pipe::shut() noexcept {
    for (uint64_t i = 0; i < geometry_.directions; ++i) queues_[i].shut_down(false);
    notify(state_->changed, INT32_MAX);
    for (int which = 1; which < kMostBells; ++which) ring_bell(which);
}

inline bool Pipe::is_over() noexcept {
    if (queues_[0].shut()) return true;
    if (!is_met() || is_held(1 - end_)) return false;
    if (state_->places.load(std::memory_order_acquire) >> PipeState::kNumberShift == conversation_) shut();
    return true;
}

inline void Pipe::leave() noexcept {
    if (std::exchange(has_left_, true)) return;
    if (travelling_ >= 0) os::close_bell(std::exchange(travelling_, -1));
    if (!state_ || !people_.self() || people_.foreign() || end_ < 0) return;
    const bool current = state_->places.load(std::memory_order_acquire) >> PipeState::kNumberShift == conversation_;
    if (used_ && current) state_->died.fetch_or(4u << end_);
    // Of two that leave at the same time the one whose entry goes last finds nobody.
    Holder& entry = holders()[owner_slot(people_.self())];
    if (Holder::owner(entry.word.load()) == people_.self()) entry.word.store(0, std::memory_order_seq_cst);
    WEFT_FAULT(pipe_left);
    if (current && !is_held(end_)) shut();
}

inline uint64_t Pipe::close() noexcept {
    if (!segment_.attached()) return 0;
    leave();
    uint64_t left = 0;
    if (state_ && end_ >= 0 && !is_met() && sends()) left = sends()->depth();
    if (state_) give_up();
    for (Queue& queue : queues_) queue.unbind();
    state_ = nullptr;
    forget_processes();
    return detach() ? left : 0;
}

// The clock ticks while it sleeps: a place is taken once in a pipe's life.
inline Status Pipe::wait_met(int64_t deadline_ns) noexcept {
    const uint32_t announced = state_->changed.announce_sleeper();
    if (is_met()) return Status::ok;
    const int64_t now = os::now_ns();
    if (now >= deadline_ns) return Status::timed_out;
    const int64_t most = deadline_ns - now < Event::kSignalTickNs ? deadline_ns - now : Event::kSignalTickNs;
    std::atomic<uint32_t>& waiting = people_.mine().waiting_consumers;
    waiting.fetch_add(1, std::memory_order_relaxed);
    const os::Sleep end = state_->changed.sleep(announced, most);
    waiting.fetch_sub(1, std::memory_order_relaxed);
    return end == os::Sleep::interrupted ? Status::interrupted : Status::ok;
}

inline int Pipe::send_off() noexcept {
    if (travelling_ >= 0) os::close_bell(std::exchange(travelling_, -1));
    auto forks = Segment::hold_forks();
    const int fd = os::reopen(segment_.fd());
    if (fd < 0) return -1;
    Participants traveller;
    Failure why;
    if (!os::attach_shared(fd) || traveller.join_through(segment_, fd, why) != Status::ok) {
        const int error = why.os_errno ? why.os_errno : EAGAIN;
        os::close_bell(fd);
        errno = error;
        return -1;
    }
    enter(traveller.self(), end_, 0);
    return travelling_ = fd;
}

// --- hearing of deaths

inline int Pipe::listen_for_items(int link) noexcept {
    const int bell = items_bell();
    const int listener = bell < 0 ? -1 : os::listen_bell(bell);
    if (listener >= 0) watch(listener);
    if (listener >= 0 && link >= 0) os::hear_hang_up(listener, link);
    return listener;
}

inline int Pipe::listen() noexcept {
    const int room = bell(true), listener = room < 0 ? -1 : listen_for_items(-1);
    if (listener >= 0) os::hear_bell(listener, room);
    return listener;
}

// Has the listener hear when a process at the other end ends. A pid may be of another namespace, or another
// process's by now: then it hears too much, or too little, and sleepers look by themselves after a while. Those who
// merely have the end do not matter while somebody uses it, or this process has it too.
inline void Pipe::watch(int listener) noexcept {
    std::lock_guard guard(mutex_);
    for (size_t i = processes_.size(); i-- > 0;)
        if (!people_.is_alive(processes_[i].owner)) {
            os::close_bell(processes_[i].descriptor);
            processes_.erase(processes_.begin() + long(i));
        }
    constexpr size_t kMost = 16;
    bool has_user = false;
    for (uint32_t slot = 0, all = people_.reserved_slots(); slot < all && !has_user; ++slot) {
        const uint32_t word = holder(slot);
        has_user = Holder::owner(word) && Holder::end(word) != end_ &&
                   (Holder::is_used(word) || people_.at(slot).pid == os::process_id()) &&
                   people_.is_alive(Holder::owner(word));
    }
    for (uint32_t slot = 0, all = people_.reserved_slots(); slot < all; ++slot) {
        const uint32_t word = holder(slot);
        const Owner owner = Holder::owner(word);
        if (!owner || Holder::end(word) == end_ || (has_user && !Holder::is_used(word))) continue;
        if (people_.at(slot).pid == os::process_id()) continue;
        size_t at = 0;
        while (at < processes_.size() && processes_[at].owner != owner) ++at;
        if (at == processes_.size()) {
            const int descriptor = at < kMost ? os::open_process(int(people_.at(slot).pid)) : -1;
            if (descriptor < 0) continue;
            processes_.push_back({owner, descriptor});
        }
        os::hear_end(listener, processes_[at].descriptor);
    }
}

inline void Pipe::forget_processes() noexcept {
    std::lock_guard guard(mutex_);
    for (const Process& process : processes_) os::close_bell(process.descriptor);
    processes_.clear();
}

// --- forks. The child has the end from before the fork on, since its parent may close it or die before the child
// has run a single instruction; that it uses it, it says itself.

inline void Pipe::before_fork(int child_fd) noexcept {
    mutex_.lock();
    Failure why;
    child_joined_ = state_ && end_ >= 0 && !has_left_ && child_fd >= 0 && !people_.foreign() &&
                    child_.join_through(segment_, child_fd, why) == Status::ok;
    if (child_joined_) enter(child_.self(), end_, Holder::kHeir);
}

inline void Pipe::after_fork(bool in_child) noexcept {
    if (in_child) {
        if (child_joined_) {
            people_ = child_;
            people_.adopt();
        }
        if (travelling_ >= 0) os::close_bell(std::exchange(travelling_, -1));
        used_ = false;
    }
    mutex_.unlock();
}

}  // namespace weft
