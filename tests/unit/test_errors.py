"""The tree of errors: each is a WeftError, the builtin a user would catch, and travels between processes."""

import copy
import multiprocessing
import pickle
import queue as standard

import pytest

import weft
from weft import errors

MADE = [
    weft.ClosedError("closed"),
    weft.NoSpaceError("no space", 100, 50, "/dev/shm"),
    weft.CorruptedError("damaged"),
    weft.MismatchError("another", {"a": 1}, {"a": 2}),
    weft.MessageTooLargeError("too large", 100, 50),
    weft.NameInUseError("in use"),
    weft.NotFoundError("missing"),
    weft.AccessError("refused"),
    weft.SystemLimitError(24, "too many files", "/dev/shm/q"),
    weft.SystemLimitError("too many participants"),
    weft.OwnerDied("died", weft.Participant(1, "python", 0.5)),
    weft.PeerDied("died"),
    weft.ConnectionLostError(104, "another process died"),
    weft.ConnectionClosedError("closed"),
    weft.AuthenticationError("another key"),
    weft.WorkerDied("died"),
    weft.RemoteError("failed"),
    weft.ShutDown("ended"),
    weft.Full("full"),
    weft.Empty("empty"),
    weft.InUseError(16, "in use"),
    weft.NotHeldError("not held: it has ended"),
    weft.DeadlockError("a circle: it would have failed"),
    weft.OwnerDiedWarning("died"),
]


@pytest.mark.parametrize(
    ("kind", "builtins"),
    [
        (weft.ClosedError, (ValueError,)),
        (weft.NoSpaceError, (MemoryError, OSError)),
        (weft.CorruptedError, (ValueError,)),
        (weft.MismatchError, (ValueError,)),
        (weft.MessageTooLargeError, (ValueError,)),
        (weft.NameInUseError, (FileExistsError,)),
        (weft.NotFoundError, (FileNotFoundError,)),
        (weft.AccessError, (PermissionError,)),
        (weft.SystemLimitError, (OSError,)),
        (weft.InUseError, (BufferError, OSError)),
        (weft.OwnerDied, (RuntimeError,)),
        (weft.PeerDied, (ConnectionError,)),
        (weft.ConnectionLostError, (ConnectionResetError, weft.PeerDied)),
        (weft.ConnectionClosedError, (OSError, weft.ClosedError)),
        (weft.AuthenticationError, (multiprocessing.AuthenticationError,)),
        (weft.WorkerDied, (RuntimeError,)),
        (weft.RemoteError, (RuntimeError,)),
        (weft.ShutDown, (EOFError, getattr(standard, "ShutDown", EOFError))),
        (weft.Full, (standard.Full,)),
        (weft.Empty, (standard.Empty,)),
    ],
)
def test_each_is_what_a_user_would_catch(kind, builtins):
    for builtin in (weft.WeftError, *builtins):
        assert issubclass(kind, builtin)


def test_all_are_at_the_top(monkeypatch):
    for name in errors.__all__:
        assert getattr(weft, name) is getattr(errors, name)
        assert name in weft.__all__
        assert issubclass(getattr(errors, name), (weft.WeftError, Warning))
    assert {type(error).__name__ for error in MADE} | {"WeftError"} == set(errors.__all__)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_travels(error, travel):
    error.add_note("seen on the way")
    again = travel(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    if isinstance(error, OSError):
        assert (again.errno, again.strerror, again.filename) == (error.errno, error.strerror, error.filename)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_says_what_it_was_given(error):
    assert any(word in str(error) for word in ("closed", "no space", "damaged", "another", "too ", "in use", "missing",
                                               "refused", "died", "failed", "ended", "full", "empty"))  # fmt: skip


def test_data():
    no_space, mismatch, too_large, died = MADE[1], MADE[3], MADE[4], MADE[10]
    assert (no_space.wanted, no_space.free, no_space.place) == (100, 50, "/dev/shm")
    assert (mismatch.expected, mismatch.found) == ({"a": 1}, {"a": 2})
    assert (too_large.size, too_large.limit) == (100, 50)
    assert died.owner.pid == 1
    assert weft.Full("full").sent == 0


def test_a_real_one_travels_from_another_process(open_queue):
    queue, results = open_queue("q", 1), open_queue("results", codec="pickle")
    queue.put(1)
    try:
        queue.put_many([2, 3], timeout=0)
    except weft.Full as error:
        error.sent = 7
        results.put(error)
    again = results.get()
    assert type(again) is weft.Full
    assert again.sent == 7
