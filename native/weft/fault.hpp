// Named points at which shared state is half changed. Test builds let a process be killed, stopped or
// ended there (WEFT_FAULT=name:count:action, several divided by commas); other builds contain nothing
// of it.
#pragma once

#define WEFT_FAULT_POINT_LIST(X)                                                                   \
    X(segment_created)        /* file sized, header not written */                                 \
    X(segment_filled)         /* complete, attached by its creator, not linked */                  \
    X(segment_linked)         /* visible to all, creator has not returned */                       \
    X(segment_attached)       /* attached, no participant slot yet */                              \
    X(slot_locked)            /* slot's byte locked, slot not filled in */                         \
    X(slot_filled)            /* participant complete */                                           \
    X(detach_last)            /* last one out, file not unlinked */                                \
    X(remove_alone)           /* sure that nobody is attached, name still there */                 \
    X(remove_unlinked)        /* name gone, doorbell still there */                                \
    X(lock_taken)             /* a lock is held, nothing changed under it */                       \
    X(lock_takeover)          /* a dead owner's lock taken over, nothing repaired */               \
    X(user_lock_marked)       /* a dead owner's lock marked, nobody told */                        \
    X(record_filled)          /* a lock's record written, not in the table */                      \
    X(record_made)            /* in the table, without a file name */                              \
    X(record_linked)          /* complete, its maker has not returned */                           \
    X(record_left)            /* not open here any more, name and record stand */                  \
    X(record_unlinked)        /* name gone, record still in the table */                           \
    X(user_lock_taken)        /* a user's lock is held, who holds it not noted */                  \
    X(user_lock_held)         /* acquired, its owner does not know it yet */                       \
    X(permit_entered)         /* a semaphore's word is owned, nothing changed */                   \
    X(permit_moved)           /* a permit has changed hands, the value has not */                  \
    X(permit_left)            /* value stored, nobody woken yet */                                 \
    X(permit_settled)         /* a dead owner's permits taken from it, value not stored */         \
    X(reader_counted)         /* a reader's share counted, the gate not looked at */               \
    X(reader_left)            /* share given back, no writer woken */                              \
    X(writer_alone)           /* the writers' lock held, the gate still open */                    \
    X(gate_closed)            /* gate closed, readers still inside */                              \
    X(gate_opened)            /* gate open again, the writers' lock still held */                  \
    X(condition_announced)    /* a waiter's entry stands, the lock is still held */                \
    X(condition_released)     /* the lock given back, not asleep yet */                            \
    X(condition_notified)     /* a waiter marked as notified, not woken */                         \
    X(condition_woken)        /* notified, the lock not taken again */                             \
    X(barrier_arrived)        /* a party counted, the barrier's lock still held */                 \
    X(barrier_opened)         /* the last party has opened it, nobody woken */                     \
    X(event_set)              /* the flag is set, nobody woken */                                  \
    X(pool_grown)             /* memory reserved, not yet offered */                               \
    X(pool_merging)           /* second of two free runs marked as absorbed */                     \
    X(pool_split)             /* remainder of a run written, run not taken */                      \
    X(pool_taken)             /* run taken, its taker does not know it yet */                      \
    X(memory_reserved)        /* memory reserved, size as before */                                \
    X(memory_zeroed)          /* new bytes zeroed, size as before */                               \
    X(memory_grown)           /* larger, lock still held */                                        \
    X(memory_shrunk)          /* smaller, no memory given back, lock still held */                 \
    X(memory_trimmed)         /* memory given back, lock still held */                             \
    X(put_block_written)      /* payload in its block, no record */                                \
    X(put_extent_linked)      /* old extent closed, jump written, not committed */                 \
    X(put_record_written)     /* record written, not committed */                                  \
    X(put_committed)          /* committed, lock still held */                                     \
    X(put_unlocked)           /* nobody woken yet */                                               \
    X(get_block_held)         /* block marked as held, head not advanced */                        \
    X(get_copied)             /* record copied, head not advanced */                               \
    X(get_committed)          /* head advanced, lock still held */                                 \
    X(get_unlocked)           /* taken, no producer woken */                                       \
    X(order_entered)          /* a message is in the lease table, and in the ring still */         \
    X(order_counted)          /* counted in both, head not advanced */                             \
    X(order_moved)            /* in the table alone, still counted as being moved */               \
    X(order_page_freed)       /* one of several spent pages given back */                          \
    X(returned_taken)         /* taken from the table, the heap names it still */                  \
    X(notice_due)             /* committed, who waits to be told has not been */                   \
    X(notice_given)           /* registration gone, nobody woken */                                \
    X(journal_written)        /* records in the file, which does not count them */                 \
    X(journal_appended)       /* counted, lock still held */                                       \
    X(journal_synced)         /* on the disk, nobody knows */                                      \
    X(lease_prepared)         /* lease entry written, head not advanced */                         \
    X(lease_committed)        /* leased, lock still held */                                        \
    X(lease_ack_block)        /* block taken from the lease, lease still stands */                 \
    X(lease_acked)            /* lease gone, block not freed */                                    \
    X(lease_return)           /* about to give back */                                             \
    X(lease_returned)         /* given back, nobody woken */                                       \
    X(recover_lease)          /* one dead holder's lease given back */                             \
    X(recover_block)          /* one dead holder's block freed */                                  \
    X(recover_done)           /* all given back, slots still marked as in use */               \
    X(pipe_entered)           /* noted as having an end, its place not taken */                    \
    X(pipe_placed)            /* place taken, nobody told, the door still locked */                \
    X(pipe_left)              /* has an end no more, the queues are not shut */                    \
    X(cell_claimed)           /* buffer claimed, nothing written into it */                        \
    X(cell_filled)            /* value written, not the latest */                                  \
    X(cell_grown)             /* memory for more buffers reserved, not yet offered */              \
    X(cell_published)         /* the latest, its buffer not let go of, nobody woken */             \
    X(cell_held)              /* buffer held, value not read */

#ifdef WEFT_FAULT_POINTS

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace weft::fault {

enum Point : int {
#define WEFT_FAULT_NAME(name) name,
    WEFT_FAULT_POINT_LIST(WEFT_FAULT_NAME)
#undef WEFT_FAULT_NAME
        count_
};

inline constexpr const char* kNames[] = {
#define WEFT_FAULT_NAME(name) #name,
    WEFT_FAULT_POINT_LIST(WEFT_FAULT_NAME)
#undef WEFT_FAULT_NAME
};

struct Armed {
    long remaining[count_] = {};
    char action[count_] = {};

    Armed() noexcept { parse(getenv("WEFT_FAULT")); }

    void parse(const char* text) noexcept {
        for (; text && *text; text = strchr(text, ',') ? strchr(text, ',') + 1 : nullptr) {
            const char* colon = strchr(text, ':');
            if (!colon) continue;
            for (int i = 0; i < count_; ++i)
                if (strlen(kNames[i]) == size_t(colon - text) && !strncmp(kNames[i], text, colon - text)) {
                    char* rest = nullptr;
                    remaining[i] = strtol(colon + 1, &rest, 10);
                    action[i] = rest && *rest == ':' ? rest[1] : 'k';
                }
        }
    }
};

inline Armed& armed() noexcept {
    static Armed instance;
    return instance;
}

// Counts down; at zero: k(ill), s(top), e(xit). A stopped process goes on when it is continued.
inline void hit(Point point) noexcept {
    Armed& all = armed();
    if (all.remaining[point] <= 0 || --all.remaining[point] > 0) return;
    switch (all.action[point]) {
        case 's': raise(SIGSTOP); break;
        case 'e': _exit(70); break;
        default: raise(SIGKILL);
    }
}

// All names, each followed by a blank.
inline const char* list() noexcept {
    return
#define WEFT_FAULT_NAME(name) #name " "
        WEFT_FAULT_POINT_LIST(WEFT_FAULT_NAME)
#undef WEFT_FAULT_NAME
            ;
}

}  // namespace weft::fault

#define WEFT_FAULT(name) ::weft::fault::hit(::weft::fault::name)
#else

namespace weft::fault {
inline const char* list() noexcept { return ""; }
}  // namespace weft::fault

#define WEFT_FAULT(name) ((void)0)
#endif
