"""What every test gets: a namespace of its own, and a look at what it leaves behind."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import weft

from .helpers import Belongings

FAILED = pytest.StashKey[bool]()

# Shells start what runs in the background with Ctrl-C ignored, and programs inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def namespace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own namespace, for its programs too; a test that leaves anything anywhere has failed."""
    with shared_directory() as directory:
        monkeypatch.setenv("WEFT_NAMESPACE", str(directory))
        before = Belongings(directory)
        yield directory
        # A failed test's traceback keeps its objects alive.
        if not request.node.stash.get(FAILED, False) and Belongings(directory).added_since(before):
            gc.collect()
            assert Belongings(directory).added_since(before) == {}


@pytest.fixture(scope="module")
def helpers_of_multiprocessing() -> Iterator[None]:
    """Started before and stopped after: each would live as long as the process that started it."""
    from multiprocessing import forkserver, resource_sharer, resource_tracker

    resource_tracker.ensure_running()
    forkserver.ensure_running()
    yield
    resource_sharer.stop(timeout=60)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


@pytest.fixture
def spare() -> Iterator[Path]:
    """A second namespace, in which things may be left."""
    with shared_directory() as directory:
        yield directory


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="weft-test-", dir="/dev/shm"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def open_queue() -> Iterator[Callable[..., weft.Queue]]:
    """``weft.Queue``, whose queues are closed and unlinked after the test, whatever is left in them."""
    opened: list[weft.Queue] = []

    def open_one(*arguments: object, **options: object) -> weft.Queue:
        opened.append(weft.Queue(*arguments, **options))
        return opened[-1]

    yield open_one
    for queue in opened:
        discard(queue)


def discard(queue: weft.Queue) -> None:
    """Closes the queue and removes its file, messages and all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        queue.close()
    queue.path.unlink(missing_ok=True)


@pytest.fixture
def tiny(spare):
    """Mounts a memory file system of so many bytes, as a namespace."""
    mounted = []

    def mount(size: int) -> weft.Namespace:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "weft-test", spare], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")
        mounted.append(spare)
        return weft.Namespace(spare)

    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    yield mount
    gc.collect()  # errors that were caught keep what they are about
    for place in mounted:
        subprocess.run(["umount", place], check=True)
