"""Lock and RLock: exclusion, owners, deaths, names."""

import multiprocessing
import os
import pickle
import signal
import threading
import time

import pytest

import weft

from ..helpers import run_program, start_program, until

HOLDER = """
import os, signal
lock = getattr(weft, sys.argv[1])("held", **eval(sys.argv[2]))
lock.acquire()
say("held")
hear()
lock.release()
"""


@pytest.fixture(params=[weft.Lock, weft.RLock], ids=["Lock", "RLock"])
def kind(request):
    return request.param


def holder(kind, options="{}"):
    program = start_program(HOLDER, kind.__name__, options)
    return program


def kill(program):
    os.kill(program.pid, signal.SIGKILL)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its parent has not looked


def test_a_lock_excludes(kind):
    with kind("a") as lock, kind("b") as other:
        assert lock.locked()
        assert lock._attachment is other._attachment
    assert not lock.locked()
    lock.close()
    other.close()


def test_acquire_and_release(kind):
    lock = kind()
    assert lock.acquire()
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(False)))
    thread.start()
    thread.join()
    assert found == [False]
    lock.release()
    assert lock.acquire(blocking=False)
    lock.release()
    assert lock.acquire(True, 1)
    lock.release()


def test_time_is_up():
    with weft.Lock() as lock:
        before = time.monotonic()
        assert not lock.acquire(timeout=0.05)
        assert time.monotonic() - before >= 0.05
        assert not lock.acquire(timeout=0)


@pytest.mark.parametrize("arguments", [{"timeout": -2}, {"timeout": float("nan")}, {"block": False, "timeout": 1}])
def test_timeouts_that_are_none(kind, arguments):
    lock = kind()
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(**arguments)
    with pytest.raises(OverflowError):
        lock.acquire(timeout=1e100)
    assert lock.acquire(timeout=-1)
    lock.release()


def test_release_of_what_is_not_held(kind):
    lock = kind()
    for error in (RuntimeError, ValueError, weft.NotHeldError):
        with pytest.raises(error):
            lock.release()
    with lock:
        pass


def test_any_process_may_release_a_lock():
    with start_program(HOLDER, "Lock", "{}") as program:
        program.expect("held")
        lock = weft.Lock("held", create=False)
        assert lock.locked()
        lock.release()
        assert lock.acquire(False)
        lock.release()


def test_only_the_owner_releases_an_rlock():
    lock = weft.RLock()
    lock.acquire()
    errors = []

    def release():
        try:
            lock.release()
        except weft.NotHeldError as error:
            errors.append(error)

    thread = threading.Thread(target=release)
    thread.start()
    thread.join()
    assert len(errors) == 1
    lock.release()


def test_an_rlock_counts():
    lock = weft.RLock()
    with lock, lock:
        lock.acquire()
        assert lock._recursion_count() == 3
        lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("way", ["acquire", "try", "with", "wait", "timeout"])
def test_a_dead_owner_marks_the_lock(kind, way):
    with holder(kind) as program:
        program.expect("held")
        lock = kind("held", create=False)
        if way == "wait":
            threading.Timer(0.1, program.process.kill).start()
        else:
            kill(program)
        for _ in range(2):
            with pytest.raises(weft.OwnerDied, match=f"pid {program.pid}") as caught:
                match way:
                    case "acquire" | "wait":
                        lock.acquire()
                    case "try":
                        lock.acquire(False)
                    case "timeout":
                        lock.acquire(timeout=5)
                    case "with":
                        with lock:
                            pytest.fail("it was held")
            assert caught.value.owner.pid == program.pid
        assert not lock.locked()
        with lock.recover() as dead:
            assert dead.pid == program.pid
            assert lock.locked()
        with lock:
            assert lock.statistics().owner_deaths == 1


def test_a_failed_repair_marks_again(kind):
    with holder(kind) as program:
        program.expect("held")
        lock = kind("held", create=False)
        kill(program)
        with pytest.raises(KeyError), lock.recover() as dead:
            assert dead.pid == program.pid
            raise KeyError
        with pytest.raises(weft.OwnerDied):
            lock.acquire()
        with lock.recover():
            pass
        with lock.recover() as dead:
            assert dead is None
        with lock:
            pass


def test_recover_waits_no_longer_than_asked(kind):
    with holder(kind) as program:
        program.expect("held")
        lock = kind("held")
        with pytest.raises(TimeoutError), lock.recover(timeout=0.05):
            pytest.fail("it was held by the living")


def test_a_killed_recoverer_marks_again(kind):
    with holder(kind) as program:
        program.expect("held")
        lock = kind("held")
        kill(program)
        code = """
            lock = getattr(weft, sys.argv[1])("held", create=False)
            with lock.recover():
                os = __import__("os")
                os.kill(os.getpid(), 9)
        """
        with start_program(code, kind.__name__) as second:
            second.process.wait()
            with pytest.raises(weft.OwnerDied) as caught:
                lock.acquire()
            # Told of the first or of the second: both are dead.
            assert caught.value.owner.pid in (program.pid, second.pid)
            with lock.recover():
                pass


def test_warn_hands_over(kind):
    with holder(kind, "{'on_owner_death': 'warn'}") as program:
        program.expect("held")
        lock = kind("held")
        kill(program)
        with pytest.warns(weft.OwnerDiedWarning, match=f"pid {program.pid}"):
            assert lock.acquire()
        lock.release()
        with lock:
            assert lock.statistics().owner_deaths == 1


def test_a_warning_that_is_an_error_leaves_the_lock_free(kind):
    with holder(kind, "{'on_owner_death': 'warn'}") as program:
        program.expect("held")
        lock = kind("held")
        kill(program)
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(weft.OwnerDiedWarning):
                lock.acquire()
        assert lock.acquire(False)
        lock.release()


def test_a_function_repairs(kind):
    seen = []

    def repair(dead):
        seen.append((dead.pid, lock.locked()))
        if len(seen) == 1:
            raise OSError("not yet")

    with holder(kind) as program:
        program.expect("held")
        lock = kind("held", on_owner_death=repair)
        kill(program)
        with pytest.raises(OSError, match="not yet"):
            lock.acquire()
        with lock:
            pass
        with lock:
            pass
    assert seen == [(program.pid, True)] * 2


def test_a_stopped_holder_keeps_its_lock(kind):
    with holder(kind) as program:
        program.expect("held")
        os.kill(program.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        lock = kind("held")
        assert not lock.acquire(timeout=0.2)
        os.kill(program.pid, signal.SIGCONT)
        program.say()
        assert lock.acquire()
        lock.release()
        program.finish()


def test_a_forked_child_has_not_its_parents_lock(kind):
    lock = kind()
    lock.acquire()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            if not lock.acquire(False) and lock.locked() and not lock._is_owned():
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lock.release()


def test_a_child_keeps_the_lock_that_its_parent_leaves(kind):
    """Between the fork and the child's first call nobody lets the lock go."""
    code = """
        import os
        lock = getattr(weft, sys.argv[1])("left")
        if os.fork():
            lock.acquire()
            say("gone")
            os._exit(0)
        hear()
        try:
            lock.acquire()
        except weft.OwnerDied as error:
            say(error.owner.pid)
        with lock.recover():
            pass
        with lock:
            say(lock.name, os.listdir(lock.path.parent).count("left"))
        os._exit(0)
    """
    with start_program(code, kind.__name__) as program:
        program.expect("gone")
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        mine = kind("left")  # not a new one: its owner is dead
        with pytest.raises(weft.OwnerDied):
            mine.acquire()
        mine.close()
        program.say()
        program.expect(str(program.pid))
        program.expect("left 1")
        assert program.process.stdout.read() == ""  # the child has ended, and had no time to close
    weft.Namespace().clean()


def test_close_while_held_marks(kind):
    lock, other = kind("x"), kind("x")
    with start_program(f"lock = weft.{kind.__name__}('x'); say('open'); hear()") as program:
        program.expect("open")
        lock.acquire()
        lock.close()
        other.close()
        last = kind("x", create=False)
        with pytest.raises(weft.OwnerDied, match=f"pid {os.getpid()}"):
            last.acquire()
        with last.recover() as dead:
            assert dead.pid == os.getpid()


def test_statistics(kind):
    lock = kind("counted")
    assert lock.statistics().owner is None
    with holder(kind) as program:
        program.expect("held")
        held = kind("held")
        state = held.statistics()
        assert state.owner.pid == program.pid
        assert state.owner.thread == "MainThread"
        assert "python" in state.owner.command
        with start_program(f"lock = weft.{kind.__name__}('held'); say('go'); lock.acquire(); say('got')") as waiter:
            waiter.expect("go")
            until(lambda: held.statistics().waiters == 1)
            (asleep,) = held.statistics().waiting
            assert asleep.pid == waiter.pid
            assert held.statistics().held_for >= 0
            program.say()
            waiter.expect("got")
            until(lambda: held.statistics().waiters == 0)
        assert held.statistics().contended >= 1
        assert held.statistics().acquisitions == 2
    with lock:
        assert lock.statistics().owner.pid == os.getpid()


def test_a_dead_waiter_counts_no_more(kind):
    with kind("held") as lock, start_program(f"weft.{kind.__name__}('held').acquire()") as waiter:
        until(lambda: lock.statistics().waiters == 1)
        kill(waiter)
        assert lock.statistics().waiters == 0


def test_a_thread_that_waits_for_itself_shows():
    lock = weft.Lock()
    lock.acquire()
    thread = threading.Thread(target=lambda: (lock.acquire(), lock.acquire(timeout=30), lock.release()))
    lock.release()
    thread.start()
    until(lambda: lock.statistics().waiters == 1)
    state = lock.statistics()
    assert state.waiting == (state.owner,)
    lock.release()
    thread.join()


def test_debug_finds_a_thread_that_waits_for_itself():
    with weft.Lock(debug=True) as lock:
        with pytest.raises(weft.DeadlockError, match="this very thread"):
            lock.acquire()
        assert not lock.acquire(False)


def test_debug_finds_a_circle_over_processes(kind):
    code = """
        a, b = (getattr(weft, sys.argv[1])(name) for name in "ab")
        b.acquire()
        say("has b")
        hear()
        a.acquire()
        say("has a")
    """
    with start_program(code, kind.__name__) as other, kind("a", debug=True) as a:
        other.expect("has b")
        other.say()
        until(lambda: a.statistics().waiters == 1)
        b = kind("b", debug=True)
        with pytest.raises(
            weft.DeadlockError, match=rf"'b' is held by pid {other.pid}.*'a' is held by pid {os.getpid()}"
        ):
            b.acquire()
        assert b.statistics().waiters == 0


def test_names(kind, namespace):
    lock = kind("db")
    assert (lock.name, lock.path, lock.path.exists()) == ("db", namespace / "db", True)
    assert kind().name is None
    with pytest.raises(weft.NameInUseError):
        kind("db", create=True)
    with pytest.raises(weft.NotFoundError):
        kind("other", create=False)
    with pytest.raises(weft.MismatchError, match="is a"):
        weft.Semaphore("db")
    with pytest.raises(weft.MismatchError):
        weft.Queue("db")
    with weft.Queue("queue"), pytest.raises(weft.MismatchError, match="is a Queue"):
        kind("queue")
    with pytest.raises(weft.MismatchError, match="on_owner_death"):
        kind("db", on_owner_death="warn")
    with pytest.raises(weft.MismatchError, match="lifetime"):
        kind("db", lifetime="kept")
    assert weft.Namespace().names() == ["db"]


def test_tokens_and_pickles(kind):
    lock = kind("db", debug=True)
    again = pickle.loads(pickle.dumps(lock))
    by_token = weft.open(lock.token)
    with lock:
        assert again.locked()
        assert by_token.locked()
    run_program("lock = weft.open(sys.argv[1])\nwith lock: pass", lock.token)
    token = lock.token
    for handle in (lock, again, by_token):
        handle.close()
    with kind("db"), pytest.raises(weft.NotFoundError):
        weft.open(token)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_anonymous_locks_travel(kind, method):
    context = multiprocessing.get_context(method)
    lock = kind()
    lock.acquire()
    process = context.Process(target=_try, args=(lock,))
    process.start()
    process.join()
    assert process.exitcode == 7
    if method == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        forkserver._forkserver._stop()
        resource_tracker._resource_tracker._stop()
    elif method == "spawn":
        from multiprocessing import resource_tracker

        resource_tracker._resource_tracker._stop()
    lock.release()


def _try(lock):
    os._exit(7 if not lock.acquire(False) else 8)


def test_closed(kind):
    lock = kind()
    lock.close()
    lock.close()
    assert lock.closed
    for call in (lock.acquire, lock.release, lock.locked, lock.statistics, lock.__enter__):
        with pytest.raises(weft.ClosedError):
            call()


def test_close_ends_a_wait(kind):
    holder, lock = kind("x"), kind("x")
    holder.acquire()
    caught = []

    def wait():
        try:
            lock.acquire()
        except weft.ClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: holder.statistics().waiters == 1)
    lock.close()
    thread.join()
    assert len(caught) == 1
    holder.release()


def test_unlink(kind, namespace):
    lock = kind("gone", lifetime="kept")
    lock.unlink()
    assert not lock.path.exists()
    with pytest.raises(weft.NotFoundError):
        lock.unlink()
    with lock, kind("gone") as new:  # another one
        assert new.statistics().acquisitions == 1
    new.close()
    assert weft.Namespace().names() == []


def test_kept_locks_stay(kind, namespace):
    kind("kept", lifetime="kept").close()
    lock = kind("kept", create=False)
    assert weft.Namespace().names() == ["kept"]
    lock.unlink()
    lock.close()
    assert list(namespace.iterdir()) == []


def test_ten_thousand_locks_share_a_segment(namespace):
    before = len(os.listdir("/proc/self/fd"))
    locks = [weft.Lock(f"n{i}") for i in range(10_000)]
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert len({lock.path.stat().st_ino for lock in locks}) == 1
    assert locks[0].path.stat().st_blocks * 512 <= 4096 * 10_000
    with locks[17], locks[9_999]:
        assert [lock.name for lock in locks if lock.locked()] == ["n17", "n9999"]
    del locks
    assert list(namespace.iterdir()) == []


def test_ctrl_c_ends_a_wait(kind):
    with kind("held") as lock:
        code = f"""
            lock = weft.{kind.__name__}("held")
            say("go")
            try:
                lock.acquire()
            except KeyboardInterrupt:
                say("interrupted")
        """
        with start_program(code) as program:
            program.expect("go")
            until(lambda: lock.statistics().waiters == 1)
            os.kill(program.pid, signal.SIGINT)
            program.expect("interrupted")
            program.finish()
        assert lock.statistics().waiters == 0
