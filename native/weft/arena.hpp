// The arena: records of locks in one segment, and who has which open.
//
// A record is found by its name, under the guard. It stands for as long as a living participant has it
// open, or, in an arena of lifetime `kept`, until it is unlinked. What is half made when its maker dies is
// a record that nobody has open: the next who needs the place takes it.
#pragma once

#include <unordered_map>

#include "arena_layout.hpp"
#include "object.hpp"
#include "thread.hpp"

namespace weft {

// What a record is made as, and what is asked of one that is there.
struct RecordSpec {
    Sort sort = Sort::none;
    OnDeath on_death = OnDeath::marks;
    uint32_t size = 0;
    uint32_t prefers_readers = 0;
    char partner[56] = {};
    bool has_shares() const noexcept {
        return sort == Sort::rwlock || sort == Sort::semaphore || sort == Sort::bounded || sort == Sort::barrier;
    }
};

class Arena final : public Object, private Segment::Keeper {
public:
    using G = ArenaGeometry;
    enum class Making { never, maybe, always };

    // spec.geometry[0] is the number in the arena's own name.
    Status create(const char* directory, const char* name, SegmentSpec spec, Failure& why) override;
    Status open(const char* directory, const char* name, Failure& why) override;
    uint64_t close() noexcept override;
    Status ensure_joined(Failure& why) noexcept override;

    // Opens the record of that name, or makes it; `made` tells which. `missing`: there is none and none is to be
    // made; `exists`: the name leads elsewhere, or the record must be new and is not; `full`: make another arena.
    Status open_record(const char* name, Making making, const RecordSpec& spec, uint32_t& index, bool& made,
                       Failure& why);
    // Gives up one opening of this process; the last one of all lets the record go.
    void close_record(uint32_t index) noexcept;
    // Removes the name: 1 done, 0 it was gone, or -errno. Who has the record open keeps it.
    int unlink_record(uint32_t index) noexcept;
    // Lets go what only the dead had open. How many names went.
    uint32_t clean() noexcept;

    Record& record(uint32_t index) const noexcept {
        return *reinterpret_cast<Record*>(segment_.base() + G::kCellsAt + uint64_t(index) * G::kCellBytes);
    }
    uint32_t index_of(const Record& record) const noexcept {
        return uint32_t((reinterpret_cast<const char*>(&record) - segment_.base() - G::kCellsAt) / G::kCellBytes);
    }
    // Neighbours stand in lines of their own, so that participants don't meet.
    std::atomic<uint64_t>& share(const Record& record, uint32_t slot) const noexcept {
        auto near = reinterpret_cast<std::atomic<uint64_t>*>(segment_.base() + G::kCellsAt +
                                                             uint64_t(index_of(record)) * G::kCellBytes + G::kCellBytes);
        if (slot < G::kNearShares) return near[slot % G::kLines * 8 + slot / G::kLines];
        return *(reinterpret_cast<std::atomic<uint64_t>*>(
                     segment_.base() + G::kOverflowAt + index_of(record) / G::kCellsPerPage * G::kOverflowBytes) +
                 (slot - G::kNearShares));
    }
    std::atomic<uint64_t>& my_share(const Record& record) const noexcept {
        return share(record, owner_slot(people_.self()));
    }
    // Calls visit(slot, word, share) for each share that counts something.
    template <class Visit>
    void each_share(const Record& record, Visit visit) const noexcept {
        const uint32_t top = record.top.load(std::memory_order_acquire);
        for (uint32_t slot = 0, end = top < kMaxSlots ? top : kMaxSlots; slot < end; ++slot) {
            auto& place = share(record, slot);
            if (uint64_t word = place.load(std::memory_order_acquire); Share::count(word)) visit(slot, word, place);
        }
    }

    // Records in use, for those who look: calls visit(index).
    template <class Visit>
    void each_record(Visit visit) const noexcept {
        for (uint32_t i = 0, end = cells(); i < end; ++i)
            if (hashes()[i].load(std::memory_order_acquire) != kFree && is_sane(i)) visit(i);
    }
    bool has_opener(const Record& record) const noexcept;

    // A place for a thread that is to sleep; null if there is none.
    Waiter* claim_waiter(const Record& record, uint32_t thread) noexcept;
    static void release_waiter(Waiter* waiter) noexcept {
        if (!waiter) return;
        waiter->record.store(0, std::memory_order_relaxed);
        waiter->state.store(0, std::memory_order_relaxed);
        waiter->owner.store(0, std::memory_order_release);
    }
    // Calls visit(waiter, owner) for all claimed entries of that record, the dead's included.
    template <class Visit>
    void each_waiter(const Record& record, Visit visit) const noexcept {
        const uint32_t wanted = index_of(record) + 1, end = waiter_count();
        for (uint32_t i = 0; i < end; ++i) {
            Waiter& waiter = waiters()[i];
            Owner owner = waiter.owner.load(std::memory_order_acquire);
            if (owner && waiter.record.load(std::memory_order_relaxed) == wanted) visit(waiter, owner);
        }
    }

    // Notes who has died with the record's lock.
    void note_death(Record& record, Owner dead) const noexcept;
    // The process's own number for a thread, without a system call but for the first time.
    static uint32_t this_thread() noexcept { return ThisThread::get().id; }

    uint64_t next_ticket() noexcept { return state().tickets.fetch_add(1, std::memory_order_relaxed); }

    // Those of this participant that are asleep for something else than a lock's word, for display.
    std::atomic<uint32_t>& sleepers() const noexcept { return people_.mine().waiting_consumers; }

    void notify_event(Event& event, int count) noexcept { notify(event, count); }
    void ring() noexcept { ring_bell(); }
    uint64_t number() const noexcept { return number_; }

    // What a peer wrote is not trusted beyond what is mapped; memory behind it was reserved before it was raised.
    uint32_t cells() const noexcept {
        uint32_t pages = state().pages.load(std::memory_order_acquire);
        return (pages < G::kPages ? pages : G::kPages) * G::kCellsPerPage;
    }
    uint32_t waiter_count() const noexcept {
        uint32_t count = state().waiters.load(std::memory_order_acquire);
        return count < G::kMaxWaiters ? count : G::kMaxWaiters;
    }
    Waiter* waiters() const noexcept { return reinterpret_cast<Waiter*>(segment_.base() + G::kWaitersAt); }
    bool is_record(uint32_t index) const noexcept {
        return index < cells() && hashes()[index].load(std::memory_order_acquire) != kFree && is_sane(index);
    }

private:
    // In the table of hashes.
    static constexpr uint32_t kFree = 0, kNameless = 1;
    static constexpr int64_t kGuardPatienceNs = 2'000'000'000;

    void before_fork(int child_fd) noexcept override;
    void after_fork(bool in_child) noexcept override;
    void last_one_out(int directory) noexcept override;

    ArenaState& state() const noexcept { return *reinterpret_cast<ArenaState*>(segment_.base() + kObjectAt); }
    std::atomic<uint32_t>* hashes() const noexcept {
        return reinterpret_cast<std::atomic<uint32_t>*>(segment_.base() + G::kHashesAt);
    }
    bool is_sane(uint32_t index) const noexcept {
        const Record& it = record(index);
        return it.cells == 1 || (it.cells == G::kCellsPerPage && index % G::kCellsPerPage == 0);
    }
    static uint32_t hash_of(const char* name, size_t size) noexcept {  // FNV-1a
        uint32_t hash = 0x811c9dc5;
        for (size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(name[i])) * 0x01000193;
        return hash | 4;
    }
    uint32_t find(const char* name, uint32_t hash) const noexcept;
    Status place_for(const RecordSpec& spec, uint32_t& index, Failure& why) noexcept;
    int fill(uint32_t index, const char* name, const RecordSpec& spec) noexcept;
    // A copy, since peers may write; only what can be a name in the directory.
    std::string name_of(uint32_t index) const {
        const Record& it = record(index);
        std::string name(it.name, it.name_bytes < sizeof it.name ? it.name_bytes : 0);
        return name.find_first_of(std::string_view("/\0", 2)) == name.npos ? name : std::string();
    }
    // Whether the record's own name leads to this file: not if it has been taken away.
    bool is_linked(uint32_t index, int directory) const {
        if (hashes()[index].load(std::memory_order_relaxed) <= kNameless) return false;
        const std::string name = name_of(index);
        return !name.empty() && leads_here(directory, name.c_str());
    }
    bool leads_here(int directory, const char* name) const noexcept {
        return os::is_linked_as(segment_.fd(), directory, name);
    }
    void drop(uint32_t index, int directory) noexcept;
    uint32_t clean_locked(int directory) noexcept;
    int admit(uint32_t index, Owner owner, int fd) const noexcept;
    void forget_slot(uint32_t slot) noexcept;
    Status join(Failure& why) noexcept;
    Status fail_reserving(int error, Failure& why) const noexcept {
        why = {error, "reserving a place for a lock", os::kPage, os::free_bytes(segment_.fd())};
        return error == ENOSPC || error == EDQUOT ? Status::no_space : Status::os_error;
    }
    void note_opening(uint32_t index) {
        auto& opening = opened_.try_emplace(index, Opening{0, record(index).serial}).first->second;
        ++opening.count;
    }
    // What this process has of it when its last handle goes comes back as from the dead (sync.hpp).
    void leave_record(Record& record) noexcept;

    uint64_t number_ = 0;
    // This process's openings, by index; the mutex keeps them still while it forks.
    std::mutex mutex_;
    struct Opening {
        uint32_t count;
        uint64_t serial;
    };
    std::unordered_map<uint32_t, Opening> opened_;
    Participants child_;
    bool child_joined_ = false;
};

// ---------------------------------------------------------------------------------------------

inline Status Arena::create(const char* directory, const char* name, SegmentSpec spec, Failure& why) {
    spec.kind = kLocksKind;
    spec.file_bytes = G::kFileBytes;
    spec.object_bytes = os::kPage;
    spec.prepare_bytes = 2 * os::kPage;
    spec.prepare = [](char* base, int fd, const SegmentSpec&) -> int {
        if (int error = os::reserve(fd, G::kWaitersAt, os::kPage)) return error;
        if (int error = os::reserve(fd, G::kHashesAt, os::kPage)) return error;
        reinterpret_cast<ArenaState*>(base + kObjectAt)->waiters.store(G::kWaitersPerPage);
        return 0;
    };
    number_ = spec.geometry[0];
    Status status = segment_.create(directory, name, spec, why);
    return status == Status::ok ? join(why) : status;
}

inline Status Arena::open(const char* directory, const char* name, Failure& why) {
    Status status = segment_.open(directory, name, why);
    if (status != Status::ok) return status;
    const SegmentHeader& header = segment_.header();
    if (header.kind != kLocksKind) return Status::ok;  // the caller compares kinds and says so
    if (header.file_bytes != G::kFileBytes) {
        why.step = "reading the geometry";
        return Status::corrupted;
    }
    number_ = header.geometry[0];
    return join(why);
}

inline Status Arena::join(Failure& why) noexcept {
    Status status = people_.join(segment_, why);
    if (status != Status::ok) return status;
    if (people_.inherited()) forget_slot(owner_slot(people_.self()));
    segment_.keep(*this);
    return Status::ok;
}

inline uint64_t Arena::close() noexcept {
    if (segment_.attached() && people_.self() && !people_.foreign()) {
        while (!opened_.empty()) {
            opened_.begin()->second.count = 1;
            close_record(opened_.begin()->first);
        }
        people_.leave();
    }
    detach();
    return 0;
}

inline Status Arena::ensure_joined(Failure& why) noexcept {
    if (!people_.foreign()) return Status::ok;
    std::lock_guard guard(mutex_);
    Status status = people_.join(segment_, why);
    if (status != Status::ok) return status;
    if (people_.inherited()) forget_slot(owner_slot(people_.self()));
    // Only where a place could not be had before the fork can a record have gone in the meantime.
    for (auto& [index, opening] : opened_) {
        int error = 0;
        if (record(index).serial == opening.serial) error = admit(index, people_.self(), segment_.fd());
        else error = ENOENT, why.step = "opening a lock again after a fork: it has gone";
        if (error) why.os_errno = error, status = Status::os_error;
    }
    return status;
}

// A child is a participant before it runs: what this process has open, the child has too, and nobody may let
// it go between the fork and the child's first call.
inline void Arena::before_fork(int child_fd) noexcept {
    mutex_.lock();
    Failure why;
    child_joined_ = child_fd >= 0 && !people_.foreign() && child_.join_through(segment_, child_fd, why) == Status::ok;
    if (!child_joined_) return;
    if (child_.inherited()) forget_slot(owner_slot(child_.self()));
    for (auto& [index, opening] : opened_) child_joined_ = !admit(index, child_.self(), child_fd) && child_joined_;
}

inline void Arena::after_fork(bool in_child) noexcept {
    if (in_child && child_joined_) {
        people_ = child_;
        people_.adopt();
    }
    mutex_.unlock();
}

// A participant opens a record: 0 or an errno. What a dead predecessor had in its place is seen to here, but
// for permits and parties, whose objects do that themselves.
inline int Arena::admit(uint32_t index, Owner owner, int fd) const noexcept {
    Record& it = record(index);
    const uint32_t slot = owner_slot(owner);
    if (it.cells > 1) {
        if (slot >= G::kNearShares)
            if (int error = os::reserve(fd, G::kOverflowAt + index / G::kCellsPerPage * G::kOverflowBytes, G::kOverflowBytes))
                return error;
        auto& mine = share(it, slot);
        if (it.sort == Sort::rwlock && Share::generation(mine.load()) != owner_generation(owner))
            mine.store(Share::make(owner, 0, 0));
        uint32_t top = it.top.load(std::memory_order_relaxed);
        while (top <= slot && !it.top.compare_exchange_weak(top, slot + 1)) {
        }
    }
    it.open[slot / 64].fetch_or(uint64_t(1) << slot % 64, std::memory_order_seq_cst);
    return 0;
}

inline void Arena::forget_slot(uint32_t slot) noexcept {
    each_record([&](uint32_t index) {
        auto& bits = record(index).open[slot / 64];
        if (bits.load(std::memory_order_relaxed) >> slot % 64 & 1)
            bits.fetch_and(~(uint64_t(1) << slot % 64), std::memory_order_seq_cst);
    });
}

inline bool Arena::has_opener(const Record& record) const noexcept {
    for (uint32_t word = 0; word < kMaxSlots / 64; ++word)
        for (uint64_t bits = record.open[word].load(std::memory_order_seq_cst); bits; bits &= bits - 1)
            if (people_.lives(word * 64 + uint32_t(__builtin_ctzll(bits)))) return true;
    return false;
}

inline uint32_t Arena::find(const char* name, uint32_t hash) const noexcept {
    const size_t size = strlen(name);
    for (uint32_t i = 0, end = cells(); i < end; ++i) {
        if (hashes()[i].load(std::memory_order_acquire) != hash || !is_sane(i)) continue;
        const Record& it = record(i);
        if (it.name_bytes == size && size < sizeof it.name && !memcmp(it.name, name, size)) return i;
    }
    return ~0u;
}

// Under the guard. Memory first, then the count of pages: a count that is seen is backed.
inline Status Arena::place_for(const RecordSpec& spec, uint32_t& index, Failure& why) noexcept {
    const uint32_t wanted = spec.has_shares() ? G::kCellsPerPage : 1;
    auto is_free = [&](uint32_t first) {
        const uint32_t page = first / G::kCellsPerPage * G::kCellsPerPage;
        if (hashes()[page].load(std::memory_order_relaxed) != kFree && record(page).cells > 1) return false;
        for (uint32_t i = first; i < first + wanted; ++i)
            if (hashes()[i].load(std::memory_order_relaxed) != kFree) return false;
        return true;
    };
    uint32_t end = cells();
    for (int turn = 0; turn < 2; ++turn) {
        for (index = 0; index < end; index += wanted)
            if (is_free(index)) return Status::ok;
        if (turn) break;
        os::Directory directory(segment_.directory());
        if (!clean_locked(directory.fd())) break;  // before the arena grows, what the dead left goes
    }
    const uint32_t page = end / G::kCellsPerPage;
    if (page == G::kPages) return Status::full;
    int error = os::reserve(segment_.fd(), G::kHashesAt, (uint64_t(end) + G::kCellsPerPage) * sizeof(uint32_t));
    if (!error) error = os::reserve(segment_.fd(), G::kCellsAt + uint64_t(page) * os::kPage, os::kPage);
    if (error) return fail_reserving(error, why);
    state().pages.store(page + 1, std::memory_order_release);
    index = end;
    return Status::ok;
}

// The hash comes last: from then on the record counts, and all of its page if it is one of a page.
inline int Arena::fill(uint32_t index, const char* name, const RecordSpec& spec) noexcept {
    Record& it = record(index);
    const uint32_t cells = spec.has_shares() ? G::kCellsPerPage : 1;
    memset(static_cast<void*>(&it), 0, uint64_t(cells) * G::kCellBytes);
    it.cells = cells;
    it.sort = spec.sort;
    it.on_death = spec.on_death;
    it.size = spec.size;
    it.prefers_readers = spec.prefers_readers;
    memcpy(it.partner, spec.partner, sizeof it.partner);
    it.serial = ++state().serials;
    it.name_bytes = uint32_t(strlen(name));
    memcpy(it.name, name, it.name_bytes);
    if (spec.sort == Sort::semaphore || spec.sort == Sort::bounded) it.word.store(spec.size);
    if (int error = admit(index, people_.self(), segment_.fd())) return error;
    WEFT_FAULT(record_filled);
    hashes()[index].store(hash_of(name, it.name_bytes), std::memory_order_release);
    WEFT_FAULT(record_made);
    return 0;
}

inline Status Arena::open_record(const char* name, Making making, const RecordSpec& spec, uint32_t& index, bool& made,
                                 Failure& why) {
    made = false;
    std::lock_guard still(mutex_);
    Status status = state().guard.lock(people_, os::now_ns() + kGuardPatienceNs).status;
    if (status != Status::ok) {
        why.step = "waiting for the locks' guard (a process stopped while it made or closed one)";
        return Status::timed_out;
    }
    struct Unlock {
        RobustLock& guard;
        ~Unlock() { guard.unlock(); }
    } unlock{state().guard};
    os::Directory directory(segment_.directory());
    if (directory.fd() < 0) {
        why = {errno, "opening the namespace's directory", 0, 0};
        return Status::os_error;
    }
    const bool linked = leads_here(directory.fd(), name);
    index = find(name, hash_of(name, strlen(name)));
    if (index != ~0u) {
        Record& it = record(index);
        const bool lives = has_opener(it) || (segment_.header().lifetime == Lifetime::kept && linked);
        if (linked && lives) {
            if (making == Making::always) return Status::exists;
            if (int error = admit(index, people_.self(), segment_.fd())) return fail_reserving(error, why);
            note_opening(index);
            return Status::ok;
        }
        if (lives)  // its name has been taken away: it belongs to those who have it, and is not found any more
            hashes()[index].store(kNameless, std::memory_order_relaxed);
        else drop(index, -1);
    }
    if (making == Making::never) {
        if (linked) os::unlink_if_same(segment_.fd(), directory.fd(), name);  // what the dead left
        return Status::missing;
    }
    status = place_for(spec, index, why);
    if (status != Status::ok) return status;
    if (int error = fill(index, name, spec)) return fail_reserving(error, why);
    if (!linked && os::link_file(segment_.fd(), directory.fd(), "", name) != 0) {
        const int error = errno;
        drop(index, -1);
        why = {error, "giving the lock its name", 0, 0};
        return error == EEXIST ? Status::exists : error == ENOENT ? Status::missing : Status::os_error;
    }
    WEFT_FAULT(record_linked);
    note_opening(index);
    made = true;
    return Status::ok;
}

// Under the guard. The name first: dying between the two leaves a record that nobody has open.
inline void Arena::drop(uint32_t index, int directory) noexcept {
    Record& it = record(index);
    if (directory >= 0 && is_linked(index, directory)) unlinkat(directory, name_of(index).c_str(), 0);
    WEFT_FAULT(record_unlinked);
    each_waiter(it, [](Waiter& waiter, Owner) { release_waiter(&waiter); });  // only the dead's can be left
    hashes()[index].store(kFree, std::memory_order_release);
}

inline void Arena::close_record(uint32_t index) noexcept {
    std::lock_guard still(mutex_);
    auto found = opened_.find(index);
    if (found == opened_.end() || --found->second.count) return;
    opened_.erase(found);
    if (people_.foreign()) return;
    Record& it = record(index);
    leave_record(it);
    // Who cannot get the guard leaves as the dead do: its bit stays until it has gone.
    if (state().guard.lock(people_, os::now_ns() + kGuardPatienceNs).status != Status::ok) return;
    const uint32_t slot = owner_slot(people_.self());
    it.open[slot / 64].fetch_and(~(uint64_t(1) << slot % 64), std::memory_order_seq_cst);
    WEFT_FAULT(record_left);
    os::Directory directory(segment_.directory());
    const bool kept = segment_.header().lifetime == Lifetime::kept && is_linked(index, directory.fd());
    if (!kept && !has_opener(it)) drop(index, directory.fd());
    state().guard.unlock();
}

inline int Arena::unlink_record(uint32_t index) noexcept {
    std::lock_guard still(mutex_);
    if (state().guard.lock(people_, os::now_ns() + kGuardPatienceNs).status != Status::ok) return -EBUSY;
    os::Directory directory(segment_.directory());
    int done = 0;
    if (directory.fd() < 0) done = -errno;
    else if (is_linked(index, directory.fd()))
        done = unlinkat(directory.fd(), name_of(index).c_str(), 0) == 0 ? 1 : -errno;
    if (done >= 0) hashes()[index].store(kNameless, std::memory_order_relaxed);
    state().guard.unlock();
    return done;
}

inline uint32_t Arena::clean_locked(int directory) noexcept {
    uint32_t dropped = 0;
    const bool keeps = segment_.header().lifetime == Lifetime::kept;
    each_record([&](uint32_t index) {
        Record& it = record(index);
        if (has_opener(it) || (keeps && directory >= 0 && is_linked(index, directory))) return;
        drop(index, directory);
        ++dropped;
    });
    return dropped;
}

inline uint32_t Arena::clean() noexcept {
    std::lock_guard still(mutex_);
    if (state().guard.lock(people_, os::now_ns() + kGuardPatienceNs).status != Status::ok) return 0;
    os::Directory directory(segment_.directory());
    uint32_t dropped = clean_locked(directory.fd());
    state().guard.unlock();
    return dropped;
}

// Nobody else is there: no record of an `attached` arena has anybody. A kept one goes when it is empty.
inline void Arena::last_one_out(int directory) noexcept {
    bool empty = true;
    const bool keeps = segment_.header().lifetime == Lifetime::kept;
    each_record([&](uint32_t index) {
        const bool linked = is_linked(index, directory);
        if (keeps && linked) empty = false;
        else if (linked) unlinkat(directory, name_of(index).c_str(), 0);
    });
    char own[32];
    snprintf(own, sizeof own, "anon-%016llx", static_cast<unsigned long long>(number_));
    if ((!keeps || empty) && leads_here(directory, own)) unlinkat(directory, own, 0);
}

inline Waiter* Arena::claim_waiter(const Record& record, uint32_t thread) noexcept {
    const Owner self = people_.self();
    const uint32_t index = index_of(record) + 1;
    for (int turn = 0; turn < 3; ++turn) {
        const uint32_t end = waiter_count();
        for (uint32_t i = 0; i < end; ++i) {
            Waiter& it = waiters()[(i + thread * 7) % end];
            Owner owner = it.owner.load(std::memory_order_relaxed);
            // sync: acquire pairs with release_waiter. The dead's places are taken only where there are no others.
            if (owner && (turn == 0 || people_.is_alive(owner))) continue;
            if (owner && it.state.load(std::memory_order_relaxed)) continue;  // its condition sees to that
            if (!it.owner.compare_exchange_strong(owner, self, std::memory_order_acquire)) continue;
            it.thread.store(thread, std::memory_order_relaxed);
            it.since_ns.store(os::coarse_now_ns(), std::memory_order_relaxed);
            it.record.store(index, std::memory_order_release);
            return &it;
        }
        if (turn == 1 && end < G::kMaxWaiters) {
            if (os::reserve(segment_.fd(), G::kWaitersAt + end * sizeof(Waiter), os::kPage)) return nullptr;
            uint32_t seen = end;
            state().waiters.compare_exchange_strong(seen, end + G::kWaitersPerPage);
        }
    }
    return nullptr;
}

inline void Arena::note_death(Record& it, Owner dead) const noexcept {
    const Participant& place = people_.at(owner_slot(dead));
    const bool known = (place.word.load(std::memory_order_acquire) & 0xffff) == owner_generation(dead);
    it.dead.thread.store(it.holding.thread(), std::memory_order_relaxed);
    it.dead.pid.store(known ? place.pid : it.holding.pid.load(std::memory_order_relaxed), std::memory_order_relaxed);
    it.dead.started_ns.store(known ? place.started_ns : 0, std::memory_order_relaxed);
    if (known) memcpy(it.dead.command, place.command, sizeof it.dead.command);
    else memset(it.dead.command, 0, sizeof it.dead.command);
}

}  // namespace weft
