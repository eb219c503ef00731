// All that stands in an arena: what the binding includes.
#pragma once

#include "semaphore.hpp"
#include "sync_barrier.hpp"
#include "sync_condition.hpp"
#include "sync_event.hpp"
#include "sync_lock.hpp"
#include "sync_rwlock.hpp"

namespace weft {

inline void Arena::leave_record(Record& it) noexcept {
    const Owner self = people_.self();
    if (it.sort != Sort::barrier && it.lock.owner() == self) {
        note_death(it, self);
        bool bell = false;
        if (it.lock.mark(self, bell)) it.owner_deaths.fetch_add(1, std::memory_order_relaxed);
        if (bell) ring_bell();
    }
    if (it.sort == Sort::semaphore || it.sort == Sort::bounded)
        SemaphoreView(*this, it).give_up_all(os::now_ns() + kGuardPatienceNs);
    if (it.sort == Sort::rwlock) {
        my_share(it).store(Share::make(self, 0, 0), std::memory_order_seq_cst);
        notify(it.drained, 1);
        notify(it.changed, INT32_MAX);
    }
    if (it.sort == Sort::barrier) my_share(it).store(0, std::memory_order_seq_cst);
}

// Which locks this thread reads, so that it does not wait for a writer that waits for it. Some few: what is
// beyond is not known, and may wait.
class Readings {
public:
    static bool has(const Record& record) noexcept { return find(record) != nullptr; }
    static void enter(const Record& record) noexcept {
        Entry* it = find(record);
        if (!it) it = find_free();
        if (it) it->record = &record, ++it->count;
    }
    static void leave(const Record& record) noexcept {
        if (Entry* it = find(record); it && --it->count == 0) it->record = nullptr;
    }

private:
    struct Entry {
        const Record* record = nullptr;
        uint32_t count = 0;
    };
    struct All {
        uint64_t forks = 0;
        Entry entries[16];
    };
    static All& mine() noexcept {
        static thread_local All all;
        if (all.forks != Segment::fork_count()) {
            all = All();  // the parent's thread's
            all.forks = Segment::fork_count();
        }
        return all;
    }
    static Entry* find(const Record& record) noexcept {
        for (Entry& it : mine().entries)
            if (it.record == &record) return &it;
        return nullptr;
    }
    static Entry* find_free() noexcept {
        for (Entry& it : mine().entries)
            if (!it.record) return &it;
        return nullptr;
    }
};

}  // namespace weft
