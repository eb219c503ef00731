// All that stands in an arena: what the binding includes.
#pragma once

#include "semaphore.hpp"
#include "sync_lock.hpp"

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
}

}  // namespace weft
