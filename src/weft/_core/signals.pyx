# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""Signals: what must happen in one step, and what happens once per signal.

Names, chains of handlers and the words of errors stand in ``weft.signals``, which is bound in by ``set_policy``.
Between two lines here no Python handler runs: interpreters look for signals between bytecodes, and where
``PyErr_CheckSignals`` is called.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno, PyErr_SetObject, PyErr_WriteUnraisable
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.unistd cimport close, write

from weft._core.native cimport kForever, now_ns
from weft._core.native_signals cimport (
    Directory, Mask, SignalRecord, SignalRing, Ticks, act_by_default, attach_shared, block, c_adopt_orphans, catch_begin, catch_end,
    catch_prepare, create_unlinked, end_timer, has_ended, is_caught, keeps_blocked, link_file, make_timer, nudge_begin, nudge_end,
    open_process, open_signalfd, read_signalfd, relieve, remove_hidden, set_mask, signal_process, signals,
    signals_begin, start_timer, take_signal, timer_left, timer_t, wait_thread, wake_thread,
)
from weft._core.timing cimport deadline_of

from signal import Signals

cdef extern from "Python.h":
    int PyErr_SetInterruptEx(int)
    int Py_AddPendingCall(int (*)(void *) noexcept, void *)

cdef extern from "<signal.h>":
    const int SIGRTMIN
    const int SI_USER
    const int SI_QUEUE
    const int SI_TIMER
    const int SI_MESGQ

DEF TIMERS = 0x77656674            # the upper half of our timers' values
DEF UNCATCHABLE = 0x40100          # SIGKILL and SIGSTOP

cdef object policy = None          # weft.signals.names: see set_policy
cdef dict numbers = {}             # what policy.number has been asked, and said
cdef dict timers = {}              # by id: the callable of a timer of ours, or None for the signal's handlers
cdef int held = 0                  # how many blocks hold handlers back
cdef dict masks = {}               # by thread: its mask before a fork


def set_policy(module, uint64_t main_thread):
    """Binds in the Python side, ``number(signal)``, and tells which thread is the main one."""
    global policy
    policy = module
    signals_begin(main_thread)


cdef int number_of(object signal) except -1:
    """The number of a signal by name, number or member of ``signal.Signals``."""
    # Other types may be equal to a number and yet be none: True, 10.0, signal.SIG_IGN.
    cdef bint plain = type(signal) is str or type(signal) is int or type(signal) is Signals
    found = numbers.get(signal) if plain else None
    if found is None:
        found = policy.number(signal)
        if plain:
            numbers[signal] = found
    return found


cdef uint64_t bits_of(tuple asked) except 0:
    cdef uint64_t bits = 0
    for signal in asked:
        bits |= (<uint64_t> 1) << (number_of(signal) - 1)
    if bits & UNCATCHABLE:
        policy.check_catchable(asked)
    if not bits:
        raise TypeError("name at least one signal, like 'SIGUSR1'")
    return bits


@cython.final
@cython.freelist(64)
cdef class Event:
    """One signal that came, or several of the same that came before anybody could handle them.

    Attributes:
        number: The signal's number.
        signal: The same as a member of ``signal.Signals``; an int for real-time signals that have none.
        name: Its name, like ``"SIGUSR1"`` or ``"SIGRTMIN+3"``.
        value: The integer that was sent with it, or None. A real-time signal that was sent without one has 0.
        pid: The process that sent it (of SIGCHLD: the child), as this process sees it; None where the kernel
            does not tell. With a value, it is what the sender says.
        uid: The real user id of that process, or None.
        count: How many signals this event stands for. Standard signals that come while one is still waiting to be
            handled are counted, as far as the kernel has not merged them before; expirations of a timer are too.
        code: The kernel's ``si_code``: 0 from kill, -1 queued with a value, -2 a timer, above 0 from the kernel.
    """

    cdef readonly int number
    cdef readonly object value
    cdef readonly object pid
    cdef readonly object uid
    cdef readonly unsigned int count
    cdef readonly int code

    def __init__(self, signal, value=None, pid=None, uid=None, count=1, code=0):
        self.number = number_of(signal)
        self.value, self.pid, self.uid, self.count, self.code = value, pid, uid, count, code

    @property
    def signal(self):
        return policy.member(self.number)

    @property
    def name(self):
        return policy.name(self.number)

    def __reduce__(self):
        return Event, (self.number, self.value, self.pid, self.uid, self.count, self.code)

    def __eq__(self, other):
        return isinstance(other, Event) and self.__reduce__() == other.__reduce__()

    def __hash__(self):
        return hash(self.__reduce__()[1])

    def __repr__(self):
        facts = "".join(
            f", {name}={value}" for name, value in
            (("value", self.value), ("pid", self.pid), ("uid", self.uid)) if value is not None
        )
        return f"Event({self.name}{facts}{f', count={self.count}' if self.count != 1 else ''})"


cdef Event new_event(const SignalRecord *record):
    cdef Event event = Event.__new__(Event)
    event.number = record.number
    event.code = record.code
    event.count = 1
    if record.code == SI_TIMER:
        event.count += record.overrun
    elif record.pid:
        event.pid = record.pid
        event.uid = record.uid
        if record.code == SI_QUEUE or record.code == SI_MESGQ:
            event.value = <int> record.value
    return event


# --- Handlers --------------------------------------------------------------------------------------


@cython.final
cdef class Handler:
    """A function in a chain; ``active`` until it has been removed.

    Args:
        function: What to call.
        standard: Whether it takes (signum, frame) instead of an event.
    """

    cdef readonly object function
    cdef readonly bint standard
    cdef public bint active

    def __init__(self, function, bint standard=False):
        self.function, self.standard, self.active = function, standard, True


cdef int call_all(tuple handlers, Event event, object frame) except -1:
    """Calls all, whatever they raise; then raises the first error. Later ones are reported."""
    cdef Handler handler
    cdef object failure = None
    for handler in handlers:
        if not handler.active:
            continue
        try:
            if handler.standard:
                handler.function(event.number, frame)
            else:
                handler.function(event)
        except BaseException as error:
            if failure is None:
                failure = error
            else:
                PyErr_SetObject(type(error), error)
                PyErr_WriteUnraisable(handler.function)
    if failure is not None:
        raise failure
    return 0


@cython.final
cdef class Dispatcher:
    """What the interpreter calls, in the main thread, for a signal that is bound.

    It takes what ``catch_signal`` has recorded and calls the handlers, one event at a time: while they run, further
    signals of the same number wait, as the kernel has it by default. Those of other numbers interrupt them.
    """

    cdef readonly int number
    cdef public tuple handlers
    cdef bint busy

    def __init__(self, number):
        self.number, self.handlers = number, ()

    def __call__(self, signum, frame):
        cdef Event event
        cdef bint any_yet = False
        if self.busy or held:
            return
        if signals.catches[self.number].ring is NULL:
            return
        self.busy = True
        try:
            while True:
                event = self.take()
                if event is None:
                    if any_yet or is_caught(self.number):
                        break
                    # Somebody has put the interpreter's plain handler back: nothing is known but that it came.
                    catch_begin(self.number, True, False, True)
                    event = Event.__new__(Event)
                    event.number, event.count, event.code = self.number, 1, SI_USER
                any_yet = True
                self.deliver(event, frame)
        finally:
            self.busy = False
            relieve(self.number, True)
            if signals.catches[self.number].ring.front() is not NULL:
                PyErr_SetInterruptEx(self.number)

    cdef Event take(self):
        """The next event, or None. Standard signals that wait are one; each timer's are its own."""
        cdef SignalRing *ring = signals.catches[self.number].ring
        cdef const SignalRecord *record = ring.front()
        cdef Event event, later
        if record is NULL:
            return None
        event = new_event(record)
        if record.code == SI_TIMER:
            event.value = record.value     # for deliver, which knows the timer by it
            ring.pop()
            return event
        ring.pop()
        if self.number < SIGRTMIN:
            while True:
                record = ring.front()
                if record is NULL or record.code == SI_TIMER:
                    break
                later = new_event(record)
                later.count += event.count
                event = later
                ring.pop()
            event.count += ring.take_missed()
        return event

    cdef int deliver(self, Event event, object frame) except -1:
        cdef tuple handlers = self.handlers
        if event.code == SI_TIMER and isinstance(event.value, int):
            token = event.value
            event.value = None
            if token >> 32 == TIMERS:
                if token not in timers:    # ended since
                    return 0
                function = timers[token]
                if function is not None:
                    function(event)
                    return 0
        return call_all(handlers, event, frame)

    def is_waiting(self):
        """Whether there is something to take."""
        cdef SignalRing *ring = signals.catches[self.number].ring
        return ring is not NULL and ring.front() is not NULL


def prepare(int number):
    """Remembers what is bound to the signal outside; to be called before the interpreter is told."""
    cdef int failure = catch_prepare(number)
    if failure:
        raise OSError(failure, "preparing to catch a signal")


def begin(int number, bint to_main, bint to_thread, bint chain):
    """Puts the recorder before the handler that is there, which goes on to be called if ``chain``."""
    cdef int failure = catch_begin(number, to_main, to_thread, chain)
    if failure:
        raise OSError(failure, "catching a signal")


def end(int number, bint restore):
    """Stops recording; restores what ``prepare`` found, if that is wanted."""
    catch_end(number, restore)


def is_recorded(int number):
    """Whether the recorder is what the kernel calls for the signal now."""
    return bool(is_caught(number))


def begin_nudges():
    """From here on a signal that is handled in another thread ends the main thread's system calls too."""
    nudge_begin()


def end_nudges():
    """Ends that."""
    nudge_end()


def by_default(int number):
    """Does what the signal does where nothing is bound to it: ends or stops this process, or nothing."""
    with nogil:
        act_by_default(number)
    PyErr_CheckSignals()


def hold():
    """Holds the handlers of the main thread back; what comes is recorded."""
    global held
    held += 1


def release():
    """Ends one ``hold``; how many there still are."""
    global held
    held -= 1
    return held


# --- Forks -----------------------------------------------------------------------------------------


def before_fork(uint64_t bound, thread):
    """Blocks the signals that are bound while the interpreter forks, since a child forgets what came before."""
    if bound:
        masks[thread] = block(bound)


def after_fork(thread):
    """Lets them in again."""
    cdef object before = masks.pop(thread, None)
    if before is not None:
        set_mask(before)
        PyErr_CheckSignals()


# --- The signals' thread ---------------------------------------------------------------------------


cdef int relieve_main(void *number) noexcept:
    relieve(<int> <long> number, True)
    return 0


def thread_lives(bint lives):
    """Tells whether the thread is there; a forked child's is not."""
    signals.thread_lives.store(lives)


def has_thread():
    """Whether the signals' thread runs in this process."""
    return bool(signals.thread_lives.load())


def thread_turn():
    """What ``thread_wait`` is to be told: taken before looking with ``thread_take``."""
    return signals.thread_turn.load()


def thread_wait(uint32_t turn):
    """Sleeps until something has come since ``turn``."""
    with nogil:
        wait_thread(turn, 60_000_000_000)


def thread_wake():
    """Ends the sleep."""
    wake_thread()


def thread_take():
    """The next event for the thread, or None."""
    cdef const SignalRecord *record = signals.thread_ring.front()
    cdef Event event
    cdef int number
    if record is NULL:
        for number in range(1, 65):
            if signals.catches[number].throttled.load():
                relieve(number, False)
                Py_AddPendingCall(relieve_main, <void *> <long> number)
        return None
    event = new_event(record)
    signals.thread_ring.pop()
    return event


# --- Masks and waiting -----------------------------------------------------------------------------


@cython.final
cdef class Blocked:
    """``weft.signals.blocked``: native, since a handler that raised between blocking and remembering what had been
    blocked would leave the mask changed for ever."""

    cdef Mask mask
    cdef bint inside

    def __init__(self, *signals):
        self.mask.bits = bits_of(signals)

    def __enter__(self):
        if self.inside:
            raise RuntimeError("this block is entered already: make another with blocked()")
        self.inside = True
        self.mask.begin()
        return self

    def __exit__(self, kind, error, trace):
        if self.inside:
            self.inside = False
            self.mask.end()
            PyErr_CheckSignals()


def wait(*signals, timeout=None):
    """Waits for one of the signals, and takes it: no handler runs for it.

    The signals are blocked in this thread during the call. Those that come between two calls do what they do
    otherwise, so keep them blocked around a loop::

        with signals.blocked("SIGUSR1", "SIGUSR2"):
            while event := signals.wait("SIGUSR1", "SIGUSR2", timeout=5):
                ...

    Threads that do not block a signal may get it instead of the one that waits: start them inside the block.
    Handlers of other signals run meanwhile; the wait goes on with what is left of the time, or ends with what they
    raise. May be called in any thread.

    Args:
        *signals: Names, numbers or members of ``signal.Signals``.
        timeout: Seconds; None waits for ever, 0 not at all.

    Returns:
        The event; None when the time is up.

    Raises:
        ValueError: No such signal, or one that cannot be caught, or a negative timeout.
    """
    cdef uint64_t bits = bits_of(signals)
    cdef int64_t deadline = deadline_of(True, timeout), left = -1
    cdef SignalRecord record
    cdef uint64_t before = bits if keeps_blocked(bits) else block(bits)
    cdef int number
    try:
        while True:
            if deadline != kForever:
                left = max(deadline - now_ns(), 0) if deadline else 0
            with nogil:
                number = take_signal(bits, left, record)
            if number > 0:
                return new_event(&record)
            if number == 0:
                return None
            if number != -EINTR:
                raise OSError(-number, "waiting for a signal")
            PyErr_CheckSignals()
    finally:
        if bits & ~before:
            set_mask(before)
            PyErr_CheckSignals()


@cython.final
cdef class Descriptor:
    """``weft.signals.signalfd``."""

    cdef readonly int fd
    cdef Mask mask

    def __cinit__(self, *signals):
        self.fd = -1

    def __init__(self, *signals):
        if self.fd >= 0:
            raise RuntimeError("a descriptor is opened once; make another")
        self.mask.bits = bits_of(signals)
        cdef int fd = open_signalfd(self.mask.bits)
        if fd < 0:
            PyErr_SetFromErrno(OSError)
        self.fd = fd
        self.mask.begin()

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)

    def fileno(self):
        """The descriptor: readable while a signal waits."""
        if self.fd < 0:
            raise ValueError("this descriptor has been closed")
        return self.fd

    def read(self):
        """Takes what waits, at most one signal; None if none does."""
        cdef SignalRecord record
        cdef int got = read_signalfd(self.fileno(), record)
        if got < 0:
            raise OSError(-got, "reading signals")
        return new_event(&record) if got else None

    def close(self):
        """Closes it and lets the signals in again that were not blocked before; in the thread that opened it."""
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1
            self.mask.end()
            PyErr_CheckSignals()

    def __enter__(self):
        self.fileno()
        return self

    def __exit__(self, kind, error, trace):
        self.close()


# --- Timers ----------------------------------------------------------------------------------------


cdef uint32_t last_timer = 0


@cython.final
cdef class Timer:
    """A timer of the kernel that signals the main thread; gone with this object."""

    cdef timer_t timer
    cdef bint made
    cdef uint32_t fork
    cdef object token

    def __init__(self, int ticks, int number, int thread, function):
        global last_timer
        last_timer += 1
        self.token = (<int64_t> TIMERS << 32) | last_timer
        cdef int failure = make_timer(<Ticks> ticks, number, self.token, thread, self.timer)
        if failure:
            raise OSError(failure, "making a timer")
        self.made, self.fork = True, signals.forks
        timers[self.token] = function

    def start(self, double first, double interval):
        """Expires after so many seconds, then at each interval if that is not 0."""
        cdef int failure = start_timer(self.timer, max(<int64_t> (first * 1e9), 1), <int64_t> (interval * 1e9))
        if failure:
            raise OSError(failure, "starting a timer")

    def left(self):
        """Seconds until it expires; 0 if it will not."""
        return timer_left(self.timer) / 1e9 if self.made and self.fork == signals.forks else 0.0

    def end(self):
        """Stops it. What it has signalled and nobody has handled is dropped."""
        timers.pop(self.token, None)
        if self.made:
            self.made = False
            if self.fork == signals.forks:     # children have none
                end_timer(self.timer)

    def __dealloc__(self):
        if self.made and self.fork == signals.forks:
            end_timer(self.timer)


# --- Other processes -------------------------------------------------------------------------------


cdef class Target:
    """A process held by a descriptor; ``weft.signals.Process`` has what is not hot."""

    cdef int fd
    cdef readonly int pid
    cdef bint gone                 # it has been seen to have ended
    cdef int64_t seen              # when it was seen to live

    def __cinit__(self, *args, **kwargs):
        self.fd = -1

    def _open(self, int pid):
        """Holds the process that has the pid now. Raises OSError."""
        cdef int fd = open_process(pid)
        if fd < 0:
            errno_is(-fd)
        self.fd, self.pid = fd, pid

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)

    def close(self):
        """Lets go of the process. Can be repeated."""
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1

    def fileno(self):
        """The descriptor: readable when the process has ended."""
        if self.fd < 0:
            raise ValueError("this process has been closed")
        return self.fd

    def send(self, signal, value=None):
        """Sends a signal to this very process.

        That it has not ended is looked up unless that was done within the last millisecond.

        Args:
            signal: A name, a number or a member of ``signal.Signals``.
            value: An integer of 32 bits to go with it, or None.

        Raises:
            ProcessLookupError: It has ended.
            PermissionError: It is another user's.
            BlockingIOError: The queue of real-time signals is full: the receiver does not keep up.
            ValueError: No such signal.
            OverflowError: The value does not fit (also a ValueError).
        """
        cdef int number = number_of(signal), with_value = value is not None, what = 0, failure
        if with_value:
            what = policy.check_value(value)
        if self.fd < 0:
            self.fileno()
        cdef int64_t now = now_ns()
        if self.gone or now - self.seen > 1_000_000:
            if self.gone or has_ended(self.fd):
                self.gone = True
                policy.fail_gone(self.pid)
            self.seen = now
        failure = signal_process(self.fd, number, with_value, what)
        if failure:
            policy.fail_send(self.pid, number, failure)

    @property
    def ended(self):
        """Whether it has ended; a zombie has."""
        self.gone = has_ended(self.fileno())
        return bool(self.gone)


def adopt_orphans(bint adopt):
    """Whether orphans among the descendants become children of this process; returns what was so before."""
    return bool(c_adopt_orphans(adopt))


cdef int errno_is(int code) except -1:
    raise OSError(code, "looking for a process")


def publish(bytes directory, bytes name, bytes content, unsigned int mode):
    """Makes a file, complete and locked by this process, in one step.

    Returns:
        A descriptor that holds the lock, or a negative errno: of EEXIST, something has that name.
    """
    cdef char temporary[64]
    cdef Directory *place = new Directory(directory)
    cdef const char *text = content
    cdef int fd = -1, failure = 0
    try:
        if place.fd() < 0:
            return -errno
        fd = create_unlinked(place.fd(), mode, temporary, sizeof(temporary))
        if fd < 0:
            return -errno
        if (not temporary[0] and not attach_shared(fd)) or write(fd, text, len(content)) != len(content):
            failure = errno
        elif link_file(fd, place.fd(), temporary, name) != 0:
            failure = errno
        remove_hidden(place.fd(), temporary)
        if failure:
            close(fd)
            return -failure
        return fd
    finally:
        del place
