"""Handlers: who is called, when, with what, and what is there afterwards."""

import ctypes
import functools
import os
import signal
import sys
import threading
import time

import pytest

from weft import signals

from ..helpers import start_program, until

pytestmark = pytest.mark.alone

ME, USER = os.getpid(), os.getuid()


def strike(sig="USR1", value=None):
    signals.send(os.getpid(), sig, value)


def action_of(number):
    """The kernel's ``struct sigaction``: handler, mask, flags but for the C library's own."""
    buffer = (ctypes.c_char * 256)()
    assert ctypes.CDLL(None).sigaction(int(number), None, buffer) == 0
    flags = int.from_bytes(buffer.raw[136:140], "little")
    return buffer.raw[:16], flags & ~0x04000000


@pytest.fixture(autouse=True)
def nothing_stays():
    """Dispositions, as Python and as the kernel have them, and the mask."""
    numbers = sorted(signal.valid_signals())
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # with the flags that the interpreter gives it
    before = [(signal.getsignal(n), action_of(n)) for n in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    after = [(signal.getsignal(n), action_of(n)) for n in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert after == before
    assert not [t for t in threading.enumerate() if t.name == "weft-signals"]


# --- Forms -----------------------------------------------------------------------------------------


def test_as_a_call():
    seen = []
    binding = signals.on("USR1", seen.append)
    strike()
    binding.remove()
    binding.remove()
    assert seen == [signals.Event("USR1", pid=ME, uid=USER)]
    assert not binding.active


def test_as_a_decorator():
    @signals.on("USR1", "USR2")
    def handler(event):
        seen.append(event.name)

    seen = []
    strike("USR1")
    strike("USR2")
    assert signals.off(handler) == 1
    assert seen == ["SIGUSR1", "SIGUSR2"]


def test_as_a_context_manager():
    seen = []
    with pytest.raises(LookupError), signals.on("USR1", seen.append) as binding:
        strike()
        assert binding.active
        raise LookupError
    assert len(seen) == 1
    assert not binding.active


def test_handler_by_name():
    seen = []
    with signals.on("USR1", handler=seen.append):
        strike()
    assert len(seen) == 1


def test_decorator_in_a_with_statement_is_told():
    with pytest.raises(TypeError, match="needs a handler"), signals.on("USR1"):
        pass


@pytest.mark.parametrize("by", ["signal", "handler", "both"])
def test_off(by):
    seen = []
    signals.on("USR1", seen.append)
    removed = {
        "signal": lambda: signals.off("USR1"),
        "handler": lambda: signals.off(seen.append),
        "both": lambda: signals.off("USR1", seen.append),
    }[by]()
    assert removed == 1
    assert signals.off("USR1") == 0
    with pytest.raises(TypeError):
        signals.off()


def two(signum, frame):
    return None


HANDLERS = {
    "one": (lambda e: None, False),
    "one and a default": (lambda e, i=1: None, False),
    "two": (two, True),
    "two with defaults": (lambda signum=None, frame=None: None, True),
    "two, the second with a default": (lambda signum, frame=None: None, True),
    "default_int_handler": (signal.default_int_handler, True),
    "any": (lambda *args: None, False),
    "keywords": (lambda e, *, k=1, **rest: None, False),
    "partial": (functools.partial(lambda a, e: None, 1), False),
    "method": (([]).append, False),
    "print": (print, False),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_signature(name):
    from weft.signals.handlers import check_handler

    handler, standard = HANDLERS[name]
    assert check_handler(handler) is standard


async def coroutine(event):
    pass


@pytest.mark.parametrize(
    "handler",
    [lambda: None, lambda a, b, c: None, lambda e, *, k: None, coroutine, object(), None, b"x", 1.5],
)
@pytest.mark.parametrize("thread", [False, True])
def test_what_is_no_handler(handler, thread):
    with pytest.raises(TypeError):
        signals.on("USR1", handler, thread=thread)
    with pytest.raises(TypeError):
        signals.on("USR1")(handler)


def test_standard_form_gets_number_and_frame():
    seen = []
    with signals.on("USR1", lambda signum, frame: seen.append((signum, frame))):
        strike()
    [(signum, frame)] = seen
    assert signum == signal.SIGUSR1
    while frame.f_code is not test_standard_form_gets_number_and_frame.__code__:
        frame = frame.f_back


def test_signals_are_needed():
    for nothing in [(), (print,)]:
        with pytest.raises(TypeError, match="at least one signal"):
            signals.on(*nothing)


# --- Events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("sig", ["USR1", "RTMIN+2"])
def test_value_arrives(sig, value):
    seen = []
    with signals.on(sig, seen.append):
        strike(sig, value)
    assert [(e.value, e.pid, e.uid, e.count) for e in seen] == [(value, ME, USER, 1)]


def test_sender_is_told():
    with start_program("import os, signal; hear(); os.kill(int(sys.argv[1]), signal.SIGUSR1)", ME) as program:
        seen = []
        with signals.on("USR1", seen.append):
            program.say()
            until(lambda: seen)
            program.finish()
    assert seen == [signals.Event("USR1", pid=program.pid, uid=USER)]


def test_child_is_told():
    seen = []
    with signals.on("CHLD", seen.append):
        pid = os.posix_spawn("/bin/true", ["true"], {})
        until(lambda: seen)
        os.waitpid(pid, 0)
    assert seen[0].pid == pid
    assert seen[0].code > 0


def test_standard_signals_that_wait_are_counted():
    seen = []
    with signals.on("USR1", seen.append):
        with signals.defer():
            for value in range(5):
                strike("USR1", value)
            assert seen == []
        assert [(e.count, e.value) for e in seen] == [(5, 4)]


def test_real_time_signals_that_wait_are_not_merged():
    seen = []
    with signals.on("RTMIN", seen.append):
        with signals.defer():
            for value in range(5):
                strike("RTMIN", value)
        assert [(e.count, e.value) for e in seen] == [(1, value) for value in range(5)]


# --- Chains ----------------------------------------------------------------------------------------


def test_several_run_in_order_and_each_can_be_removed():
    seen = []
    bindings = [signals.on("USR1", lambda e, i=i: seen.append(i)) for i in range(3)]
    strike()
    bindings[1].remove()
    strike()
    bindings[0].remove()
    strike()
    bindings[2].remove()
    assert seen == [0, 1, 2, 0, 2, 2]


@pytest.mark.parametrize("thread", [False, True])
def test_former_function_is_kept_if_asked(thread):
    seen = []
    former = signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append("former"))
    try:
        with signals.on("USR1", lambda e: seen.append("weft"), thread=thread):
            strike()
            until(lambda: seen == ["weft"])
        with signals.on("USR1", lambda e: seen.append("one"), keep=True, thread=thread):
            strike()
            until(lambda: len(seen) == 3)
            with signals.on("USR1", lambda e: seen.append("two"), keep=True, thread=thread):
                strike()
                until(lambda: len(seen) == 6)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert sorted(seen[1:3]) == ["former", "one"]
    assert sorted(seen[3:]) == ["former", "one", "two"]
    if not thread:
        assert seen == ["weft", "one", "former", "one", "two", "former"]


@pytest.mark.parametrize("thread", [False, True])
def test_default_action_is_kept_if_asked(thread):
    with start_program(
        """
        from weft import signals
        signals.on("TERM", lambda e: say("handled"), keep=True, thread=sys.argv[1] == "True")
        say("ready")
        while True: hear()
        """,
        thread,
    ) as program:
        program.expect("ready")
        program.process.terminate()
        program.expect("handled")
        assert program.process.wait() == -signal.SIGTERM


def test_what_others_bind_later_stays():
    def theirs(signum, frame):
        return None

    binding = signals.on("USR1", lambda e: None)
    signal.signal(signal.SIGUSR1, theirs)
    binding.remove()
    assert signal.getsignal(signal.SIGUSR1) is theirs
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_what_others_bind_later_is_the_former_of_the_next():
    seen = []
    first = signals.on("USR1", lambda e: seen.append("first"))
    signal.signal(signal.SIGUSR1, lambda *_: seen.append("theirs"))
    with signals.on("USR1", lambda e: seen.append("second"), keep=True):
        strike()
    strike()
    first.remove()
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert seen[:3] == ["first", "second", "theirs"]


def test_saved_and_put_back_by_others():
    """As test code and libraries do: ``old = getsignal(); …; signal(old)``. Only the sender is unknown once."""
    seen = []
    with signals.on("USR1", seen.append):
        mine = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, mine)
        strike()
        strike()
    assert seen == [signals.Event("USR1"), signals.Event("USR1", pid=ME, uid=USER)]


def test_restored_exactly_also_with_flags_and_masks():
    signal.signal(signal.SIGUSR1, two)
    signal.siginterrupt(signal.SIGUSR1, False)  # SA_RESTART
    before = action_of(signal.SIGUSR1)
    with signals.on("USR1", lambda e: None), signals.on("USR1", lambda e: None, thread=True):
        assert action_of(signal.SIGUSR1) != before
    assert action_of(signal.SIGUSR1) == before
    assert signal.getsignal(signal.SIGUSR1) is two
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.siginterrupt(signal.SIGUSR1, True)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


# --- Handlers that misbehave -----------------------------------------------------------------------


def test_handler_that_raises_ends_what_was_interrupted():
    def handler(event):
        raise LookupError("from the handler")

    with signals.on("USR1", handler), pytest.raises(LookupError, match="from the handler"):
        strike()
        time.sleep(60)


def test_the_others_of_the_chain_run_all_the_same(monkeypatch):
    reported, seen = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_value))

    def fail(event, error):
        raise error

    with (
        signals.on("USR1", functools.partial(fail, error=LookupError("first"))),
        signals.on("USR1", functools.partial(fail, error=ArithmeticError("second"))),
        signals.on("USR1", seen.append),
    ):
        with pytest.raises(LookupError, match="first"):
            strike()
        assert len(seen) == 1
    assert [str(error) for error in reported] == ["second"]


def test_events_behind_one_whose_handler_raised_are_not_lost():
    seen = []

    def handler(event):
        seen.append(event.value)
        if event.value == 0:
            raise LookupError

    with signals.on("RTMIN", handler):
        try:
            with signals.defer():
                for value in range(10):
                    strike("RTMIN", value)
        except LookupError:
            pass
        until(lambda: len(seen) == 10)
    assert seen == list(range(10))


def test_handlers_of_one_signal_do_not_nest_and_those_of_others_do():
    seen = []

    def slow(event):
        seen.append(f"begin {event.value}")
        if event.value == 0:
            strike("RTMIN", 1)
            strike("USR1")
        seen.append(f"end {event.value}")

    with signals.on("RTMIN", slow), signals.on("USR1", lambda e: seen.append("other")):
        strike("RTMIN", 0)
    assert seen == ["begin 0", "other", "end 0", "begin 1", "end 1"]


def test_handler_that_blocks_lets_others_run():
    with start_program(
        """
        from weft import signals
        def block(event):
            try:
                say("blocks")
                weft.Queue("empty").get()
            except LookupError:
                say("woken")
        def wake(event):
            raise LookupError
        with signals.on("USR1", block), signals.on("USR2", wake):
            say("ready")
            hear()
        """
    ) as program:
        program.expect("ready")
        signals.send(program.process, "USR1")
        program.expect("blocks")
        signals.send(program.process, "USR2")
        program.expect("woken")
        program.say()
        program.finish()


def test_handler_that_forks():
    seen = []

    def fork(event):
        if (pid := os.fork()) == 0:
            try:
                strike("RTMIN", 2)  # the child has handlers of its own; while this one runs it waits
                assert seen == []
            finally:
                os._exit(3)
        seen.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    with signals.on("RTMIN", fork):
        strike("RTMIN", 1)
    assert seen == [3]


def test_handler_that_binds_and_removes():
    seen = []

    def first(event):
        seen.append("first")
        binding.remove()
        bindings.append(signals.on("USR1", lambda e: seen.append("second")))

    bindings = []
    binding = signals.on("USR1", first)
    strike()
    strike()
    bindings[0].remove()
    assert seen == ["first", "second"]


def test_handler_that_removes_the_next_of_its_chain():
    seen = []
    one = signals.on("USR1", lambda e: other.remove())
    other = signals.on("USR1", seen.append)
    strike()
    one.remove()
    assert seen == []


# --- Threads ---------------------------------------------------------------------------------------


def in_thread(work):
    """Runs it in another thread; what it returned or raised."""
    results = []

    def run():
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda: signals.on("USR1", print),
        lambda: signals.on("USR1"),
        lambda: signals.defer().__enter__(),
        lambda: signals.deadline(1).__enter__(),
        lambda: signals.alarm(1, print),
        lambda: signals.timer(1, print),
        lambda: signals.graceful().__enter__(),
        lambda: signals.supervise(["true"]),
    ],
)
def test_main_thread_is_asked_for_in_words(use):
    error = in_thread(use)
    assert isinstance(error, signals.MainThreadError)
    assert "main thread" in str(error)


def test_removing_in_another_thread_is_refused_and_harmless():
    seen = []
    with signals.on("USR1", seen.append) as binding:
        assert isinstance(in_thread(binding.remove), signals.MainThreadError)
        strike()
    assert len(seen) == 1


def test_thread_handler_runs_in_its_thread_while_the_main_one_is_busy():
    seen = []
    with signals.on("RTMIN", lambda e: seen.append((threading.current_thread().name, e.value)), thread=True):
        strike("RTMIN", 5)
        deadline = time.monotonic() + 30
        while not seen and time.monotonic() < deadline:  # no call that would run handlers is needed
            pass
    assert seen == [("weft-signals", 5)]


def test_thread_handler_bound_in_another_thread():
    seen = []
    binding = in_thread(lambda: signals.on("USR1", seen.append, thread=True))
    strike()
    until(lambda: seen)
    assert in_thread(binding.remove) is None


def test_both_kinds_for_one_signal():
    seen = []
    with signals.on("USR1", lambda e: seen.append("main")):
        with signals.on("USR1", lambda e: seen.append("thread"), thread=True):
            strike()
            until(lambda: len(seen) == 2)
        strike()
    assert sorted(seen[:2]) == ["main", "thread"]
    assert seen[2:] == ["main"]
    seen.clear()
    with signals.on("USR1", lambda e: seen.append("thread"), thread=True):
        with signals.on("USR1", lambda e: seen.append("main")):
            strike()
            until(lambda: len(seen) == 2)
        strike()
        until(lambda: len(seen) == 3)
    assert seen[2] == "thread"


def test_thread_handler_that_raises_is_reported_and_goes_on(monkeypatch):
    reported, seen = [], []
    monkeypatch.setattr(threading, "excepthook", lambda report: reported.append(report.exc_value))

    def handler(event):
        seen.append(event.value)
        if event.value == 0:
            raise LookupError("in the thread")

    with signals.on("RTMIN", handler, thread=True):
        strike("RTMIN", 0)
        strike("RTMIN", 1)
        until(lambda: len(seen) == 2)
    assert [str(error) for error in reported] == ["in the thread"]


def test_thread_handler_that_removes_itself():
    seen = []

    def handler(event):
        seen.append(event)
        binding.remove()

    binding = signals.on("USR1", handler, thread=True)
    strike()
    until(lambda: not [t for t in threading.enumerate() if t.name == "weft-signals"])
    assert len(seen) == 1


def test_signal_that_comes_to_another_thread_wakes_the_main_one(open_queue):
    """The kernel may hand a signal to any thread; the handler runs in the main one, which may be asleep."""
    queue = open_queue("q")
    with signals.on("USR1", lambda e: queue.put("from the handler")):
        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()

        def hit():
            until(lambda: queue.statistics().waiting_consumers == 1)
            signal.pthread_kill(other.ident, signal.SIGUSR1)

        striker = threading.Thread(target=hit)
        striker.start()
        assert queue.get() == "from the handler"
        begin = time.monotonic()
        striker.join()
        stop.set()
        other.join()
        assert time.monotonic() >= begin


@pytest.mark.parametrize("thread", [False, True])
def test_forked_child_has_the_handlers_and_none_of_the_signals(thread):
    seen = []
    with signals.on("RTMIN", lambda e: seen.append(e.value), thread=thread):
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            status = 1
            try:
                assert seen == []
                strike("RTMIN", 7)
                until(lambda: seen)
                os.write(write, str(seen).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(read, 100) == b"[7]"
        os.close(read)
        strike("RTMIN", 8)
        until(lambda: seen)
    assert seen == [8]


def test_signals_sent_at_once_after_a_fork_are_not_lost():
    """An interpreter forgets what comes before its fork is over: they are kept off until then."""
    for _ in range(50):
        read, write = os.pipe()
        seen = []
        with signals.on("RTMIN", lambda e: seen.append(e.value)):
            if (pid := os.fork()) == 0:
                try:
                    until(lambda: seen)
                finally:
                    os.write(write, repr(seen).encode())
                    os._exit(0)
            strike_other = signals.Process(pid)
            strike_other.send("RTMIN", 1)
            os.waitpid(pid, 0)
            strike_other.close()
            assert os.read(read, 100) == b"[1]"
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("when", ["atexit", "module teardown"])
@pytest.mark.parametrize("thread", [False, True])
def test_at_interpreter_exit(when, thread):
    """Signals while the interpreter ends neither crash it nor keep it from ending.

    When it takes itself apart it gives every signal back its default action, which may end it.
    """
    with start_program(
        """
        import atexit, os, signal
        from weft import signals
        class Late:
            def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGUSR1):
                for _ in range(100):
                    kill(pid, number)
        if sys.argv[1] == "atexit":
            atexit.register(Late().__del__)
        else:
            sys.modules["late"] = Late()
            late = Late()
        old = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signals.on("USR1", lambda e: None, thread=sys.argv[2] == "True")
        with signals.timer(0.0001):
            pass
        say("over")
        """,
        when, thread,
    ) as program:  # fmt: skip
        program.expect("over")
        assert program.process.wait() in ([0] if thread else [0, -signal.SIGUSR1])
