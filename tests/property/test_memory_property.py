"""SharedMemory and weft.mmap against a bytearray and a position: the string and the file that they are."""

import io
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import weft

SIZES = some.one_of(some.integers(1, 50), some.sampled_from([4095, 4096, 4097, 9000, 20_000]))
OFFSETS = some.one_of(some.integers(-60, 60), some.integers(-21_000, 21_000))
DATA = some.one_of(some.binary(max_size=40), some.binary(min_size=1, max_size=2).map(lambda part: part * 3000))


class Memory(RuleBasedStateMachine):
    """``view`` is a second one of the same memory, which must show the same."""

    def make(self, size):
        raise NotImplementedError

    @initialize(size=SIZES, data=DATA)
    def begin(self, size, data):
        self.shm, self.view = self.make(size)
        self.model, self.at = bytearray(size), 0
        self.shm[: len(data[:size])] = data[:size]
        self.model[: len(data[:size])] = data[:size]

    def teardown(self):
        if hasattr(self, "shm"):
            self.view.close()
            self.shm.close()

    def file(self):
        """The model as a file, at the position."""
        file = io.BytesIO(bytes(self.model))
        file.seek(min(self.at, len(self.model)))
        return file

    @rule(count=some.one_of(some.none(), some.integers(-5, 30_000)))
    def read(self, count):
        expected = self.file().read(-1 if count is None or count < 0 else count)
        assert self.shm.read(count) == expected
        self.at += len(expected)

    @rule()
    def readline(self):
        expected = self.file().readline()
        assert self.shm.readline() == expected
        self.at += len(expected)

    @rule()
    def read_byte(self):
        if self.at < len(self.model):
            assert self.shm.read_byte() == self.model[self.at]
            self.at += 1
        else:
            with pytest.raises(ValueError):
                self.shm.read_byte()

    @rule(data=DATA)
    def write(self, data):
        if len(data) <= len(self.model) - self.at:
            assert self.shm.write(data) == len(data)
            self.model[self.at : self.at + len(data)] = data
            self.at += len(data)
        else:
            with pytest.raises(ValueError):
                self.shm.write(data)

    @rule(byte=some.integers(0, 255))
    def write_byte(self, byte):
        if self.at < len(self.model):
            self.shm.write_byte(byte)
            self.model[self.at] = byte
            self.at += 1
        else:
            with pytest.raises(ValueError):
                self.shm.write_byte(byte)

    @rule(to=OFFSETS, whence=some.integers(0, 2))
    def seek(self, to, whence):
        target = to + (0, self.at, len(self.model))[whence]
        if 0 <= target <= len(self.model):
            assert self.shm.seek(to, whence) == target
            self.at = target
        else:
            with pytest.raises(ValueError):
                self.shm.seek(to, whence)

    @rule(
        part=some.one_of(some.binary(max_size=3), some.just(bytes(2))),
        start=some.one_of(some.none(), OFFSETS),
        end=some.one_of(some.none(), OFFSETS),
    )
    def find(self, part, start, end):
        bounds = [] if start is None else [start] if end is None else [start, end]
        first = min(self.at, len(self.model)) if start is None else start
        rest = [] if start is None or end is None else [end]
        if start is not None and start > len(self.model):
            first = len(self.model)  # the standard's mmap finds nothing, at its end
        assert self.shm.find(part, *bounds) == self.model.find(part, first, *rest)
        assert self.shm.rfind(part, *bounds) == self.model.rfind(part, first, *rest)

    @rule(to=some.integers(-1, 21_000), start=some.integers(-1, 21_000), count=some.integers(-1, 9_000))
    def move(self, to, start, count):
        size = len(self.model)
        if min(to, start, count) >= 0 and max(to, start) + count <= size:
            self.shm.move(to, start, count)
            self.model[to : to + count] = self.model[start : start + count]
        else:
            with pytest.raises(ValueError):
                self.shm.move(to, start, count)

    @rule(start=OFFSETS, stop=OFFSETS, step=some.one_of(some.none(), some.sampled_from([1, 2, 7, -1, -3])))
    def get_slice(self, start, stop, step):
        assert self.shm[start:stop:step] == bytes(self.model[start:stop:step])

    @rule(start=OFFSETS, stop=OFFSETS, step=some.one_of(some.none(), some.sampled_from([1, 2, 7, -1, -3])), data=DATA)
    def set_slice(self, start, stop, step, data):
        count = len(self.model[start:stop:step])
        fitting = (data * (count // max(len(data), 1) + 1))[:count] if data else bytes(count)
        self.shm[start:stop:step] = fitting
        self.model[start:stop:step] = fitting
        with pytest.raises((IndexError, ValueError)):
            self.shm[start:stop:step] = fitting + b"x"

    @rule(index=OFFSETS, byte=some.integers(0, 255))
    def item(self, index, byte):
        if -len(self.model) <= index < len(self.model):
            assert self.shm[index] == self.model[index]
            self.shm[index] = self.model[index] = byte
        else:
            with pytest.raises(IndexError):
                self.shm[index]
            with pytest.raises(IndexError):
                self.shm[index] = byte

    def resized(self, size):
        self.model = self.model[:size] + bytearray(max(size - len(self.model), 0))

    @invariant()
    def same(self):
        if hasattr(self, "shm"):
            assert self.shm.tell() == self.at
            assert self.shm[:] == bytes(self.model)
            assert bytes(memoryview(self.shm)) == bytes(self.model)
            assert self.shown() == bytes(self.model)

    def shown(self):
        return self.view[:]


class NamedMemory(Memory):
    def make(self, size):
        shm = weft.SharedMemory(create=True, size=size)
        return shm, weft.SharedMemory(shm.name)

    @rule(size=SIZES, force=some.booleans())
    def resize(self, size, force):
        if size < len(self.model) and not force:
            with pytest.raises(weft.InUseError):
                self.shm.resize(size)
        else:
            self.shm.resize(size, force=force)
            self.resized(size)


class NamedMapping(Memory):
    def make(self, size):
        return weft.mmap(-1, size, tagname="t"), weft.SharedMemory("t")

    @rule(size=SIZES)
    def resize(self, size):
        if size < len(self.model):
            self.view.close()  # others who use it would keep it from shrinking
            self.shm.resize(size)
            self.view = weft.SharedMemory("t")
        else:
            self.shm.resize(size)
        self.resized(size)


class FileMapping(Memory):
    def make(self, size):
        self.file_behind = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by teardown
        return weft.mmap.open(self.file_behind.name, size), self.file_behind

    @rule(size=SIZES)
    def resize(self, size):
        self.shm.resize(size)
        self.resized(size)

    def shown(self):
        with open(self.file_behind.name, "rb") as file:
            return file.read()


TestNamedMemory = NamedMemory.TestCase
TestNamedMapping = NamedMapping.TestCase
TestFileMapping = FileMapping.TestCase
for case in (TestNamedMemory, TestNamedMapping, TestFileMapping):
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
