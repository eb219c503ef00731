"""A program that forks workers which use a lock, kills them at random moments, and counts.

What the lock guards is plain memory of a file: ``done[i]``, how often worker i was inside, and two counters that
both are the sum of these. Who finds them unequal inside the lock, or meets somebody else inside, says so: a kernel
lock of the test's own tells, which goes with its holder before the lock does. Arguments: what, kills, seed.
"""

import ctypes
import faulthandler
import fcntl
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time
import traceback

import weft

WORKERS, THREADS, PERMITS = 3, 2, 2
WORDS = 64
FIRST, SECOND = 0, 1  # … and done[i] from DONE on
DONE = 8


class Guarded:
    """The memory, and who is inside."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.truncate(self.descriptor, 8 * WORDS)
        self.memory = mmap.mmap(self.descriptor, 8 * WORDS)

    def __getitem__(self, word: int) -> int:
        return struct.unpack_from("q", self.memory, 8 * word)[0]

    def __setitem__(self, word: int, value: int) -> None:
        struct.pack_into("q", self.memory, 8 * word, value)

    def total(self) -> int:
        return sum(self[DONE + i] for i in range(WORKERS * THREADS))

    def repair(self, dead: object = None) -> None:
        self[FIRST] = self[SECOND] = self.total()

    def check(self) -> None:
        if not self[FIRST] == self[SECOND] == self.total():
            fail(f"unequal inside: {self[FIRST]}, {self[SECOND]}, {self.total()}")

    def add(self, worker: int) -> None:
        self[DONE + worker] += 1
        self[FIRST] += 1
        self[SECOND] += 1


class Inside:
    """At most so many are inside at a time, as the kernel sees it; or any number of readers."""

    def __init__(self, path: str, places: int) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        self.places = places

    def enter(self, shared: bool = False) -> None:
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        for place in range(self.places):
            try:
                fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, 0, place, 1, 0))
            except BlockingIOError:
                continue
            return
        fail("more are inside than may be")

    def leave(self) -> None:
        fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_UNLCK, 0, 0, 0, 0))


def fail(words: str) -> None:
    os.write(1, f"FAILED: {words}\n".encode())
    os._exit(3)


def die_with_parent() -> None:
    """Lest a worker outlive a test that has failed: PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def use_lock(lock, guarded, inside, worker, choose):
    try:
        with lock:
            inside.enter()
            guarded.check()
            guarded.add(worker)
            inside.leave()
    except weft.OwnerDied:
        with lock.recover() as dead:
            inside.enter()
            if dead is not None:
                guarded.repair()
            guarded.check()
            inside.leave()


def use_warned(lock, guarded, inside, worker, choose):
    with lock:  # made with a function that repairs
        inside.enter()
        guarded.check()
        guarded.add(worker)
        inside.leave()


def use_semaphore(semaphore, guarded, inside, worker, choose):
    with semaphore:
        inside.enter()
        guarded[DONE + worker] += 1
        inside.leave()


def use_rwlock(lock, guarded, inside, worker, choose):
    try:
        if choose.random() < 0.7:
            with lock.read():
                inside.enter(shared=True)
                guarded.check()
                inside.leave()
        else:
            with lock.write():
                inside.enter()
                guarded.check()
                guarded.add(worker)
                inside.leave()
    except weft.OwnerDied:
        with lock.recover() as dead:
            inside.enter()
            if dead is not None:
                guarded.repair()
            inside.leave()


def use_condition(condition, guarded, inside, worker, choose):
    try:
        with condition:
            inside.enter()
            guarded.check()
            guarded.add(worker)
            inside.leave()
            if choose.random() < 0.5:
                condition.notify(choose.choice((1, 2)))
            else:
                condition.wait(0.01)
    except weft.OwnerDied:
        with condition.recover() as dead:
            inside.enter()
            if dead is not None:
                guarded.repair()
            inside.leave()


def make(what, guarded):
    match what:
        case "Lock" | "RLock" | "RWLock" | "Condition":
            return getattr(weft, what)("storm"), use_rwlock if what == "RWLock" else (
                use_condition if what == "Condition" else use_lock
            )
        case "repaired":
            return weft.Lock("storm", on_owner_death=guarded.repair), use_warned
        case "Semaphore" | "BoundedSemaphore":
            return getattr(weft, what)("storm", PERMITS), use_semaphore


def work(what, folder, worker, seed):
    guarded = Guarded(f"{folder}/guarded")
    places = PERMITS if "Semaphore" in what else 1
    ins = [Inside(f"{folder}/inside", places) for _ in range(THREADS)]  # before weft: closed before, too
    lock, use = make(what, guarded)

    def run(thread):
        choose = random.Random(seed + thread)
        try:
            while True:
                use(lock, guarded, ins[thread], worker * THREADS + thread, choose)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            fail("an error")

    for thread in range(1, THREADS):
        threading.Thread(target=run, args=(thread,), daemon=True).start()
    run(0)


def start(what, folder, worker, seed):
    pid = os.fork()
    if not pid:
        die_with_parent()
        try:
            work(what, folder, worker, seed)
        finally:
            os._exit(4)
    return pid


def main():
    what, kills, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    faulthandler.dump_traceback_later(60 + kills, exit=True)
    choose = random.Random(seed)
    guarded = Guarded(f"{folder}/guarded")
    keeper, _ = make(what, guarded)  # so that the lock stands while all workers are dead
    workers = [start(what, folder, i, choose.random()) for i in range(WORKERS)]
    done = 0
    while done < kills or not deaths(what, keeper):  # some have to die with it in their hands
        done += 1
        # The moment of the kill is what the test varies: it stands for no event.
        time.sleep(choose.uniform(0.001, 0.01))
        i = choose.randrange(WORKERS)
        if choose.random() < 0.1:
            os.kill(workers[i], signal.SIGSTOP)
            time.sleep(0.005)
            os.kill(workers[i], signal.SIGCONT)
        os.kill(workers[i], signal.SIGKILL)
        if choose.random() < 0.5:
            time.sleep(0.002)  # a zombie for a while
        status = os.waitstatus_to_exitcode(os.waitpid(workers[i], 0)[1])
        if status != -signal.SIGKILL:
            sys.exit(f"worker {i} ended with {status}")
        workers[i] = start(what, folder, i, choose.random())
    before = guarded.total()
    while guarded.total() == before:  # somebody gets in still, or the watchdog says where all stand
        time.sleep(0.001)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    finish(what, keeper, guarded)


def deaths(what, keeper):
    state = keeper.statistics()
    return (state.lock if what == "Condition" else state).owner_deaths


def finish(what, keeper, guarded):
    """All others are dead: the object works, and shows nobody."""
    if "Semaphore" in what:
        assert keeper.get_value() == PERMITS, keeper.get_value()
        for _ in range(PERMITS):
            assert keeper.acquire(timeout=10)
        assert not keeper.acquire(False)
        keeper.release(PERMITS)
        state = keeper.statistics()
        assert (state.value, state.owners, state.waiters) == (PERMITS, {}, 0), state
    else:
        while True:
            try:
                with keeper.write() if what == "RWLock" else keeper:
                    guarded.check()
                break
            except weft.OwnerDied:
                with keeper.recover() as dead:
                    if dead is not None:
                        guarded.repair()
        state = keeper.statistics()
        if what == "Condition":
            assert state.waiters == 0, state
            state = state.lock
        assert (state.owner, state.waiters, state.marked) == (None, 0, False), state
    print("total", guarded.total(), "deaths", deaths(what, keeper), flush=True)


main()
