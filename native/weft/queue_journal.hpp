// The journal beside a durable message queue: a file of records that many processes append to, one after the other.
// What the records say is the business of weft._journal.
//
// `journal_end` tells how far whole records reach. Dying while one is written leaves bytes behind that end, which
// the next one cuts off; so a torn record is the last one, or none. Who has to know that its records are on the disk
// takes the second lock and asks the system once, for all that has been appended by then: who comes after and finds
// its own among them returns at once.
//
// Lock order: append, sync.
#pragma once

#include "journal_record.hpp"
#include "queue.hpp"

namespace weft {

inline Status Queue::append(int fd, uint64_t generation, const char* data, uint64_t size, int64_t patience_ns,
                            uint64_t& end, Failure& why) noexcept {
    OrderState& order = state_->order;
    Status status = order.append.lock(people_, patience_ns).status;
    if (status != Status::ok) return status;
    end = order.journal_end.load(std::memory_order_relaxed);
    const os::FileFacts file = os::facts_of(fd);
    int error = 0;
    why.step = "appending to the journal";
    if (order.journal_state.load(std::memory_order_relaxed) == kJournalFailed) status = Status::broken;
    else if (order.journal_generation.load(std::memory_order_relaxed) != generation || !file.links) status = Status::missing;
    else if (file.bytes < end) status = Status::corrupted;
    else if (file.bytes > end && (error = os::shrink(fd, end))) status = Status::os_error;
    else if ((error = os::write_all(fd, data, size, end))) status = Status::os_error;
    if (status == Status::ok) {
        WEFT_FAULT(journal_written);
        end += size;
        order.journal_end.store(end, std::memory_order_release);
        WEFT_FAULT(journal_appended);
    }
    why.os_errno = error;
    order.append.unlock();
    return status;
}

inline Status Queue::sync(int fd, uint64_t generation, uint64_t end, int64_t patience_ns, Failure& why) noexcept {
    OrderState& order = state_->order;
    Status status = order.sync.lock(people_, patience_ns).status;
    if (status != Status::ok) return status;
    why.step = "writing the journal to the disk";
    // A later generation was on the disk, whole, before it got its name.
    if (order.journal_generation.load(std::memory_order_relaxed) == generation &&
        order.journal_synced.load(std::memory_order_relaxed) < end) {
        // sync: acquire pairs with append's release: what is before that end has been written.
        const uint64_t reached = order.journal_end.load(std::memory_order_acquire);
        if (order.journal_state.load(std::memory_order_relaxed) == kJournalFailed) status = Status::broken;
        else if ((why.os_errno = os::sync_data(fd))) {
            // What the system could not write it may have forgotten: no later success would mean anything.
            order.journal_state.store(kJournalFailed, std::memory_order_relaxed);
            status = Status::os_error;
        } else {
            WEFT_FAULT(journal_synced);
            order.journal_synced.store(reached, std::memory_order_release);
        }
    }
    order.sync.unlock();
    return status;
}

inline Status Queue::lock_journal(int64_t patience_ns) noexcept {
    Status status = state_->order.append.lock(people_, patience_ns).status;
    if (status != Status::ok) return status;
    status = state_->order.sync.lock(people_, patience_ns).status;
    if (status != Status::ok) state_->order.append.unlock();
    return status;
}

inline void Queue::unlock_journal() noexcept {
    state_->order.sync.unlock();
    state_->order.append.unlock();
}

}  // namespace weft
