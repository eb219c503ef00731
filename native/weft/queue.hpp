// A queue: a two-ended ring of records, blocks for large payloads, leases, and recovery. It stands anywhere in
// a segment: that of a queue has one, that of a pipe one for each direction. Whose segment it is, its home
// (queue_home.hpp), has the participants, and sees to what the dead leave in all its queues.
//
// Lock order: producers, consumers, pool. No lock is held while anything outside this file runs.
// The parts: queue_put.hpp (the producers' end), queue_take.hpp (the consumers' end and leases),
// queue_order.hpp (message queues: the best first), queue_notice.hpp (… and who is told that one is there),
// queue_journal.hpp (… and what is kept on a disk),
// queue_recover.hpp (what a death leaves, and who sees to it).
#pragma once

#include "object.hpp"
#include "queue_layout.hpp"
#include "waiting.hpp"

namespace weft {

// A message to be put: its bytes if it goes into the ring, or the block it already stands in.
struct Outgoing {
    RecordKind kind = RecordKind::raw;  // raw or body
    const char* data = nullptr;         // inline payload
    uint32_t size = 0;
    uint32_t unit = Pool::kNowhere;     // or the block
    uint64_t total = 0;
    uint64_t body_size = 0;
    uint8_t marks = 0;                  // see RecordHeader
    uint16_t priority = 0;              // of message queues
};

// A message taken: copied to the caller's buffer, or the block which the taker now holds.
struct Incoming {
    RecordKind kind = RecordKind::raw;
    uint32_t size = 0;                  // bytes copied, if not in a block
    uint32_t unit = Pool::kNowhere;
    uint64_t total = 0;
    uint64_t body_size = 0;
    uint64_t sequence = 0;
    uint32_t lease = ~0u;               // index of the lease, if leased
    uint32_t deliveries = 0;
    uint8_t marks = 0;                  // see RecordHeader
    uint16_t priority = 0;
    void clear() noexcept { *this = Incoming(); }

    bool expired = false;               // leased to be put aside: it has been delivered too often
    bool left_extent = false;           // the head has left an extent of the ring, whose memory is free now
};

// The message at `at` in what take_batch copied.
struct Batched {
    RecordKind kind;
    uint32_t size;
    const char* data;
    Batched() noexcept = default;
    explicit Batched(const char* at) noexcept : data(at + sizeof(RecordHeader)) {
        RecordHeader header;
        memcpy(&header, at, sizeof header);
        kind = header.kind;
        size = header.size;
    }
    const char* next() const noexcept { return data - sizeof(RecordHeader) + record_bytes(size); }
};

class Queue;

// What a queue asks of the object that it belongs to.
class QueueHome : public Object {
public:
    // Gives back what the dead owned in all its queues (queue_recover.hpp). True if somebody was dead. Waits for
    // each lock at most so long; less than what finds a lock's owner dead leaves that to whoever waits for the lock.
    bool recover(bool at_once, int64_t patience_ns = 2 * RobustLock::kOwnerCheckNs) noexcept;
    Status ensure_joined(Failure& why) noexcept override { return people_.foreign() ? rejoin(why) : Status::ok; }

    // Whether who waits here hears of deaths by the bell: after a nap in vain sleepers go to sleep beside it.
    virtual bool watches() const noexcept { return false; }
    // What the dead had has come back, or this participant leaves: others look again.
    virtual void wake() noexcept;
    // What a sleeper sees to that nothing has woken.
    virtual void look_after() noexcept { recover(false); }

protected:
    void add(Queue& queue) noexcept { queues_[count_++] = &queue; }
    void inherit() noexcept;
    Status rejoin(Failure& why) noexcept;
    // The first step of closing: what this participant owns is given back.
    void give_up() noexcept;

private:
    bool has_orphans() noexcept;
    static constexpr int kMost = 2;
    Queue* queues_[kMost] = {};
    int count_ = 0;
    std::atomic<bool> has_inherited_{false};  // its slot was a dead participant's, whose belongings lie about still
};

class Queue {
public:
    explicit Queue(QueueHome& home) noexcept : home_(home), segment_(home.segment()), people_(home.people()) {}

    // Reserves what a new one needs first, at that place of its file: 0 or an errno.
    static int prepare(char* base, int fd, uint64_t at, const QueueGeometry& geometry) noexcept;
    static uint64_t prepared_bytes(const QueueGeometry& geometry) noexcept {
        return 2 * os::kPage + geometry.extent_units * Pool::kUnitBytes +
               geometry.first_leases() * (sizeof(Lease) + sizeof(Ranked));
    }
    // The segment is mapped: here it stands.
    void bind(uint64_t at, const QueueGeometry& geometry) noexcept;
    // The bell of its home that is rung when there is something to take.
    void set_items_bell(int which) noexcept { items_bell_ = which; }
    // Its home is closing.
    void unbind() noexcept { state_ = nullptr; }
    bool is_bound() const noexcept { return state_; }
    Participants& people() noexcept { return people_; }

    // --- producers (queue_put.hpp). `patience_ns`: until when to wait for a lock, not for room.
    // `sequence`: the number that the message got, or the first of them.
    Status put(const Outgoing& message, int64_t patience_ns, Failure& why, uint64_t* sequence = nullptr) noexcept;
    // Puts as many as fit, in order, visible together; `done` tells how many.
    Status put_batch(const Outgoing* messages, uint32_t count, uint32_t& done, int64_t patience_ns, Failure& why,
                     uint64_t* sequence = nullptr) noexcept;
    // A block to write a message into: committed by `put`, or given back by `give_block`.
    Status take_block(uint64_t bytes, uint32_t& unit, int64_t patience_ns, Failure& why) noexcept;
    // `read`: see Pool::give.
    void give_block(uint32_t unit, bool read = false) noexcept;
    // Before the first part of a message in parts (kMore, kContinued), and before it has any memory: `full` while
    // another is on its way.
    Status claim_series() noexcept;
    // It is given up in the middle: nobody will get any of it.
    void end_series() noexcept;
    // Who takes one gives it up: the parts that are to come are dropped when their turn comes.
    void abandon_series() noexcept;
    // Makes room by throwing away the oldest message; `empty` if there is none.
    Status drop_oldest(int64_t patience_ns) noexcept;
    void count_dropped_newest() noexcept { state_->dropped_newest.fetch_add(1, std::memory_order_relaxed); }

    // --- consumers (queue_take.hpp)
    Status take(Incoming& message, char* buffer, int64_t patience_ns) noexcept;
    // Copies up to `count` inline messages behind one another, as they stand in the ring: see Batched.
    // `done` is 0 with `ok` if the next message is not inline or has been given back: `take` takes it.
    Status take_batch(char* buffer, uint64_t size, uint32_t count, uint32_t& done, int64_t patience_ns) noexcept;
    Status take_lease(Incoming& message, char* buffer, int64_t patience_ns) noexcept;
    // A leased block passes to the caller, who frees it with give_block.
    void acknowledge(const Incoming& message) noexcept;
    // Back to the front. A block whose views live on goes back as the copy in `replacement` and is the
    // caller's to free, as after acknowledge.
    Status give_back(const Incoming& message, uint32_t replacement, int64_t patience_ns) noexcept;
    void count_dead_lettered() noexcept { state_->dead_lettered.fetch_add(1, std::memory_order_relaxed); }

    // --- notification (queue_notice.hpp): once, when a message comes into an empty queue for which nobody waits.
    // The registration's mark; 0 if somebody else has one.
    uint64_t register_notice() noexcept;
    // Whether it stood still.
    bool cancel_notice(uint64_t mark) noexcept;
    bool is_registered(uint64_t mark) const noexcept {
        return state_->order.registrant.load(std::memory_order_acquire) == mark;
    }
    // Sleeps until it has ended, some time has passed, or a signal has come: look again.
    Status wait_notice(uint64_t mark, int64_t deadline_ns) noexcept;
    // A consumer that waits in an event loop: nobody need be told while it does.
    void count_consumer(int by) noexcept { people_.mine().waiting_consumers.fetch_add(uint32_t(by)); }
    Owner registrant() const noexcept { return state_->order.registrant.load() & kOwnerMask; }

    // --- the journal of a durable queue (queue_journal.hpp). Called without the GIL.
    // Appends to the file, of that generation; `end`: how far it reaches then. `missing`: the file is another now,
    // or has lost its name; `broken`: it has failed before.
    Status append(int fd, uint64_t generation, const char* data, uint64_t size, int64_t patience_ns, uint64_t& end,
                  Failure& why) noexcept;
    // Returns once what is before `end` is on the disk, by one call of the system for all who ask meanwhile.
    Status sync(int fd, uint64_t generation, uint64_t end, int64_t patience_ns, Failure& why) noexcept;
    // Nobody appends or syncs until it is unlocked.
    Status lock_journal(int64_t patience_ns) noexcept;
    void unlock_journal() noexcept;

    // --- waiting (queue_wait.hpp). Called without the GIL. ok: look again.
    void begin_wait() noexcept {
        patience_.begin();
        napped_.store(false, std::memory_order_relaxed);
    }
    Status wait_items(int64_t deadline_ns, Waiting mode) noexcept;
    bool glance_items(Waiting mode) noexcept;
    Status wait_room(uint32_t& announced, int64_t deadline_ns, Waiting mode) noexcept;
    bool has_items() const noexcept;
    bool has_seen_items() const noexcept;
    // Shut down and drained: nothing there, and nobody else holds a lease that could come back. A lease
    // of this participant's own does not count, lest a consumer wait for itself.
    bool has_ended() noexcept;
    bool has_room() const noexcept;
    // Messages that can be taken. After an immediate shutdown there are none: what is in the queue still,
    // or comes back, is dropped where it stands.
    uint64_t depth() const noexcept;
    // Bytes of the messages that came back and wait. For display: others may take them meanwhile.
    uint64_t returned_bytes() noexcept;
    // Arms the doorbell for whoever waits for items, or for room, or to be told.
    void arm_bell(bool for_room) noexcept { (for_room ? state_->room : state_->items).announce_bell(); }
    void arm_notice_bell() noexcept { state_->order.notices.announce_bell(); }
    void wake_all() noexcept;
    void wake_takers() noexcept { notify_items(INT32_MAX); }
    void wake_putters() noexcept { notify_room(INT32_MAX); }

    // --- the end of the stream, and of others
    void shut_down(bool immediate) noexcept;
    // Nobody uses it: what is in it goes, and it is as new.
    void reset() noexcept;
    uint32_t shut() const noexcept { return state_->shut.load(std::memory_order_acquire); }
    // See QueueHome.
    bool recover(bool at_once, int64_t patience_ns = 2 * RobustLock::kOwnerCheckNs) noexcept {
        return home_.recover(at_once, patience_ns);
    }
    // The home's part of it, with the locks that could be had (queue_recover.hpp).
    enum class Recovered { nothing, leases, all };
    Recovered recover_owned(int64_t now_ns, int64_t patience_ns) noexcept;
    bool begins_scan(bool at_once, int64_t now_ns) noexcept;
    bool has_orphans() noexcept;
    bool give_back_own() noexcept;
    Pool& pool() noexcept { return pool_; }
    QueueState& state() noexcept { return *state_; }
    const QueueGeometry& geometry() const noexcept { return geometry_; }

private:
    // Where the next record goes; lives while the producers' lock is held.
    struct Cursor {
        uint64_t offset, sequence, bytes;
        uint32_t extent;
    };
    Lease* leases() const noexcept {
        return reinterpret_cast<Lease*>(segment_.base() + at_ + QueueGeometry::kLeasesAt);
    }
    uint32_t lease_count() noexcept;
    char* at(uint64_t offset) const noexcept { return segment_.base() + units_at_ + offset; }

    Status lock_producers(int64_t patience_ns) noexcept;
    Status lock_consumers(int64_t patience_ns) noexcept;
    void repair_producers() noexcept;
    void repair_consumers() noexcept;

    Status put_all(const Outgoing* messages, uint32_t count, uint32_t& done, int64_t patience_ns, Failure& why,
                   uint64_t* sequence) noexcept;
    Status check_room(const Cursor& cursor) noexcept;
    Status write_record(const Outgoing& message, Cursor& cursor, Failure& why) noexcept;
    uint64_t fresh_units(int64_t now_ns) noexcept;
    Status next_extent(Cursor& cursor, Failure& why) noexcept;
    void commit(const Cursor& cursor) noexcept;
    void notify_items(int count) noexcept { home_.notify(state_->items, count, items_bell_); }
    void notify_room(int count) noexcept { home_.notify(state_->room, count); }
    void notify_taken(uint32_t count, bool left_extent) noexcept;
    bool is_extent_spent(uint32_t unit, uint64_t word) noexcept;

    Status find_record(uint64_t& offset, RecordHeader& header) noexcept;
    Status read_record(uint64_t offset, const RecordHeader& header, uint64_t sequence, uint32_t returned_unit,
                       Incoming& message, char* buffer) noexcept;
    Status find_block(const RecordHeader& header, uint64_t offset, uint64_t sequence, uint32_t returned_unit,
                      BlockRecord& block) noexcept;
    Lease* oldest_returned() noexcept;
    // Of message queues (queue_order.hpp).
    Ranked* heap() const noexcept { return reinterpret_cast<Ranked*>(segment_.base() + at_ + geometry_.heap_at()); }
    void note_priorities(const Outgoing* messages, uint32_t count) noexcept;
    Status arrange(bool& from_table) noexcept;
    Status choose(uint64_t known, bool& from_table) noexcept;
    Status move_run() noexcept;
    Status fill_lease(uint64_t& offset, uint64_t sequence, uint32_t& index) noexcept;
    Lease* best_returned(bool& damaged) noexcept;
    bool is_waiting(const Ranked& ranked, uint32_t end) noexcept;
    void rank(uint32_t index) noexcept;
    void unrank_best() noexcept;
    void rank_all() noexcept;
    void repair_order() noexcept;
    uint64_t count_waiting(uint64_t tail, uint64_t& head) const noexcept;
    void look_for_spent_pages(bool at_once) noexcept;
    bool has_left_extent(uint64_t head, uint32_t unit, uint64_t word) noexcept;
    void tell_registrant(uint64_t put) noexcept;
    bool is_waited_for() const noexcept;
    void look_after_leases() noexcept;
    void hold_block(uint32_t unit) noexcept;
    void unhold_block(uint32_t unit) noexcept;
    void count_returned() noexcept;
    Status take_locked(Incoming& message, char* buffer, bool lease) noexcept;
    Status take_next(Incoming& message, char* buffer, bool lease) noexcept;
    Status take_part(Incoming& message, uint64_t end) noexcept;
    Status copy_batch(char* buffer, uint64_t size, uint32_t count, uint32_t& done, bool& left_extent) noexcept;
    Status take_returned(Incoming& message, char* buffer, bool lease) noexcept;
    Status reserve_lease(uint32_t& index) noexcept;
    bool find_free_lease(uint32_t end, uint32_t& index) noexcept;
    void advance_head(uint64_t offset, uint64_t sequence) noexcept;
    void recover_leases(bool own) noexcept;
    void recover_blocks(bool own) noexcept;
    bool gone(Owner owner, bool own) noexcept;
    static constexpr uint64_t kStream = 4;  // messages since the queue was empty last that make a stream
    static constexpr int kLookAway = 200;
    static constexpr int64_t kNapNs = 5'000'000;  // of who sleeps beside the bell after it
    static constexpr int64_t kStreamNs = 2'000'000;  // memory taken twice within this time is a stream's
    Status sleep(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers, int64_t deadline_ns,
                 Waiting mode) noexcept;
    Status sleep_lightly(Event& event, uint32_t announced, std::atomic<uint32_t>& sleepers, int64_t deadline_ns,
                         Waiting mode) noexcept;

    QueueHome& home_;
    Segment& segment_;
    Participants& people_;
    Pool pool_;
    QueueState* state_ = nullptr;
    QueueGeometry geometry_{};
    int items_bell_ = 0;
    uint64_t at_ = 0;        // where in the segment
    uint64_t units_at_ = 0;  // … and its pages
    Patience patience_;
    std::atomic<bool> napped_{false};        // in vain, in this wait
    std::atomic<uint64_t> glanced_{0};       // head when this handle last found the queue empty
    std::atomic<int64_t> taken_ns_{0};       // when this handle last took memory for messages
    std::atomic<uint32_t> known_leases_{0};  // entries of the lease table seen to be backed
};

// ---------------------------------------------------------------------------------------------

inline void Queue::bind(uint64_t at, const QueueGeometry& geometry) noexcept {
    geometry_ = geometry;
    at_ = at;
    state_ = reinterpret_cast<QueueState*>(segment_.base() + at);
    units_at_ = at + geometry_.units_at();
    pool_.bind(segment_, &state_->pool, at + QueueGeometry::kTableAt, units_at_, geometry_.units);
}

// The ring's first extent is unit 0, where tail and head begin.
inline int Queue::prepare(char* base, int fd, uint64_t at, const QueueGeometry& g) noexcept {
    auto whole = [](uint64_t bytes) { return (bytes + os::kPage - 1) / os::kPage * os::kPage; };
    const uint64_t leases = g.first_leases(), table = whole(leases ? leases * sizeof(Lease) : 1);
    if (int error = os::reserve(fd, at + QueueGeometry::kLeasesAt, table)) return error;
    if (leases)
        if (int error = os::reserve(fd, at + g.heap_at(), whole(leases * sizeof(Ranked)))) return error;
    if (int error = os::reserve(fd, at + QueueGeometry::kTableAt, os::kPage)) return error;
    if (int error = os::reserve(fd, at + g.units_at(), g.extent_units * Pool::kUnitBytes)) return error;
    auto first = reinterpret_cast<Unit*>(base + at + QueueGeometry::kTableAt);
    first->ticket.store(Unit::kNoTicket);
    first->word.store(Unit::make(Run::ring, 0, g.extent_units));
    auto state = reinterpret_cast<QueueState*>(base + at);
    state->pool.reserved.store(g.extent_units);
    state->lease_end.store(uint32_t(leases));
    return 0;
}

inline void Queue::wake_all() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    notify_items(INT32_MAX);
    notify_room(INT32_MAX);
}

inline void Queue::reset() noexcept {
    while (drop_oldest(os::now_ns() + 1'000'000'000) == Status::ok) {
    }
    state_->series.store(0);
    state_->taker.store(0);
    state_->shut.store(0);
}

inline void Queue::shut_down(bool immediate) noexcept {
    uint32_t open = 0;
    state_->shut.compare_exchange_strong(open, 1);
    if (immediate) {
        // Nothing comes in any more: what is there goes. Who can't get the lock leaves it to consumers,
        // who take nothing from now on.
        while (drop_oldest(os::now_ns() + 1'000'000'000) == Status::ok) {
        }
        state_->shut.store(2);
    }
    wake_all();
}

inline uint64_t Queue::depth() const noexcept {
    if (shut() == 2) return 0;
    uint64_t head = state_->head.load(std::memory_order_acquire);
    uint64_t tail = state_->tail.load(std::memory_order_acquire);
    if (geometry_.is_ordered) return count_waiting(tail, head);
    return Mark::between(head, tail) + state_->returned.load(std::memory_order_relaxed);
}

inline bool Queue::has_items() const noexcept {
    return state_->tail.load(std::memory_order_acquire) >> Mark::kPositionBits !=
               state_->head.load(std::memory_order_relaxed) >> Mark::kPositionBits ||
           state_->returned.load(std::memory_order_relaxed) != 0;
}

// What consumers have seen already and not taken yet.
inline bool Queue::has_seen_items() const noexcept {
    return Mark::count(state_->seen_tail.load(std::memory_order_relaxed)) !=
           Mark::count(state_->head.load(std::memory_order_relaxed));
}

inline bool Queue::has_ended() noexcept {
    uint32_t how = shut();
    if (how != 1) return how == 2;
    // A put that had begun before may still succeed; whoever takes the lock from now on sees the end.
    Owner producer = state_->producers.owner();
    if (producer && people_.is_alive(producer)) return false;
    for (uint32_t i = 0, end = lease_count(); i < end; ++i) {
        uint64_t word = leases()[i].word.load(std::memory_order_acquire);
        if (Lease::state(word) == LeaseState::leased && Lease::owner(word) != people_.self()) return false;
    }
    return !has_items();
}

inline bool Queue::has_room() const noexcept { return !geometry_.limit || depth() < geometry_.limit; }

}  // namespace weft

#include "queue_journal.hpp"
#include "queue_notice.hpp"
#include "queue_order.hpp"
#include "queue_put.hpp"
#include "queue_recover.hpp"
#include "queue_take.hpp"
#include "queue_wait.hpp"
