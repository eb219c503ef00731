# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""What every kind of object is built on: this process's attachment to a segment, and handles of it.

What is asked for seldom stands in ``weft._handle``, which is bound in by ``set_policy``.
"""

cimport cython
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport getenv

from weft._core.native cimport (
    Failure, Lifetime, Object, Participant, SegmentSpec, Status, close_fd, effective_user, is_private_place,
    list_fault_points, reclaim_segment, sweep_hidden,
)

cdef object policy = None          # weft._handle: see set_policy


def set_policy(module):
    """Binds in the Python side: ``name``, ``token``, ``unlink``, … of ``weft._handle``."""
    global policy
    policy = module


cdef tuple describe(const Failure &why):
    return (why.os_errno, why.step.decode(), why.wanted, why.available)


@cython.no_gc
cdef class Attachment:
    """This process's part in a segment. Lives as long as a handle or a view needs it.

    Each kind has a subclass, which makes the native object.
    """

    def __dealloc__(self):
        if self.object is not NULL:
            with nogil:
                self.object.close()
                del self.object
            self.object = NULL

    def create(self, bytes directory, bytes name, tuple geometry, bytes config, unsigned int mode, int64_t group,
               bint kept):
        """Makes the segment. Returns (status, details)."""
        cdef SegmentSpec spec
        cdef Failure why
        cdef Status status
        for i in range(len(geometry)):
            spec.geometry[i] = geometry[i]
        spec.config = config
        spec.mode = mode
        spec.group = group
        spec.lifetime = Lifetime.kept if kept else Lifetime.attached
        cdef const char *where = directory
        cdef const char *what = name
        with nogil:
            status = self.object.create(where, what, spec, why)
        self.name = name
        return <int> status, describe(why)

    def attach(self, bytes directory, bytes name):
        """Opens what is there. Returns (status, details)."""
        cdef Failure why
        cdef Status status
        cdef const char *where = directory
        cdef const char *what = name
        with nogil:
            status = self.object.open(where, what, why)
        self.name = name
        return <int> status, describe(why)

    def is_private(self):
        """Whether nobody but this user can have written it, whoever may write to its directory."""
        return self.object.segment().is_private(effective_user())

    @property
    def kind(self):
        """The number of the kind in its header."""
        return self.object.segment().header().kind

    cdef bint attach_own(self, bytes directory, bytes name, uint32_t kind) except -1:
        """Opens what is there if it is of that kind, and private (see ``is_private``); whether it was.

        The short way for what is opened often. If it fails, the long one tells why.
        """
        cdef Failure why
        cdef Status status
        cdef const char *where = directory
        cdef const char *what = name
        with nogil:
            status = self.object.open(where, what, why)
        self.name = name
        return status == Status.ok and self.object.segment().is_private(effective_user()) and \
            self.object.segment().header().kind == kind

    def header(self):
        """What the creator wrote, as a dict."""
        header = self.object.segment().header()
        return {
            "kind": header.kind,
            "lifetime": "kept" if header.lifetime == Lifetime.kept else "attached",
            "geometry": [header.geometry[i] for i in range(8)],
            "config": (<bytes> header.config[:header.config_bytes]).decode("utf-8", "replace"),
            "creator_pid": header.creator_pid,
            "creator": header.creator.decode("utf-8", "replace"),
            "created_ns": header.created_ns,
        }

    def identity(self):
        """Tells this segment from all others that its name ever led to."""
        return (<bytes> self.object.segment().identity()).decode()

    def unlink(self):
        """Removes the name: 1 done, 0 it was not there, or a negative errno."""
        return self.object.segment().unlink()

    def participants(self):
        """(pid, command, started_ns, waiting producers, waiting consumers) of those alive."""
        cdef list found = []
        cdef uint32_t slot
        cdef Participant *place
        cdef Object *object = self.object
        for slot in range(object.people().reserved_slots()):
            if object.people().lives(slot):
                place = &object.people().at(slot)
                found.append((
                    place.pid, place.command[:40].split(b"\0")[0].decode("utf-8", "replace"), place.started_ns,
                    place.waiting_producers.load(), place.waiting_consumers.load(),
                ))
        return found


cdef class Handle:
    """An opening of an object, of whatever kind: what all of them have."""

    cdef Object *check_open(self) except NULL:
        """The object, joined anew if this is a forked child that has not used it yet."""
        cdef Failure why
        cdef Status status
        if self.attachment is None:
            policy.fail_closed(self)
        status = self.attachment.object.ensure_joined(why)
        if status != Status.ok:
            policy.fail(self, <int> status, describe(why))
        return self.attachment.object

    @property
    def _attachment(self):
        return self.attachment

    def _attach(self, Attachment attachment):
        """For a kind whose class is Python's: what it has opened, or None once it is closed."""
        self.attachment = attachment

    @property
    def closed(self):
        """Whether ``close`` has been called on this handle."""
        return self.attachment is None

    @property
    def name(self):
        """The name it was opened by, or None."""
        return policy.name(self)

    @property
    def token(self):
        """The object's address as a short string, for an environment variable or a command line.

        ``weft.open(token)`` opens this very object in any process of this machine that may, never a later one
        of the same name. It carries the path, the identity and this handle's settings, but no ``type=`` and no
        codec object: those are given to ``weft.open``.
        """
        return policy.token(self)

    @property
    def path(self):
        """The file behind the object."""
        return policy.path(self)

    def unlink(self):
        """Removes the name now, whatever the lifetime; those who have the object open keep it."""
        return policy.unlink(self)

    def _unlink(self):
        return self.attachment.unlink()

    def _listen(self):
        """A new descriptor that hears the object's doorbell: the caller's to close."""
        cdef int listener = self.check_open().listen()
        if listener < 0:
            policy.fail_os(self, "listening to the doorbell", errno)
        return listener

    def _hush(self, int listener):
        if self.attachment is not None:   # else: closed while an event loop listens still
            self.attachment.object.hush(listener)

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __reduce__(self):
        return policy.reduce(self)

    def __repr__(self):
        return policy.describe(self)


def surroundings():
    """What the default namespace depends on: WEFT_NAMESPACE, or None, and the effective user."""
    cdef const char *text = getenv("WEFT_NAMESPACE")
    return (<bytes> text if text is not NULL else None, effective_user())


def is_private_directory(bytes path):
    """Whether it is a directory that belongs to this user alone: nobody else may enter it."""
    return bool(is_private_place(path))


def reclaim(bytes directory, bytes name):
    """Removes what nobody is attached to; whether it did."""
    return bool(reclaim_segment(directory, name))


def sweep(bytes directory, bytes name):
    """Removes a doorbell, or what was to become a segment, if nobody has it open; whether it did."""
    return bool(sweep_hidden(directory, name))


def fault_points():
    """The names of the fault points compiled in: none but in test builds."""
    return [name.decode() for name in (<bytes> list_fault_points()).split(b" ") if name]
