"""The cell against a variable and a counter: whatever is done in whatever order, both say the same."""

import gc
import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import weft

SIZE = 20_000
leaves = st.one_of(st.binary(max_size=40), st.integers(), st.text(max_size=10), st.none(), st.booleans())
encoded = st.recursive(leaves, lambda inner: st.one_of(st.lists(inner), st.dictionaries(leaves, inner)), max_leaves=8)
large = st.builds(
    lambda make, size, fill: make([fill]) * size,
    st.sampled_from([bytes, bytearray]),
    st.integers(4000, SIZE - 100),
    st.integers(0, 255),
)
handles = st.integers(0, 2)
numbers = itertools.count()


class CellMachine(RuleBasedStateMachine):
    """Three handles of one cell, views of it, and the model."""

    views = Bundle("views")

    @initialize()
    def open(self):
        self.name = f"c{next(numbers)}"
        self.handles = [self.open_one() for _ in range(3)]
        self.value, self.version = None, 0
        self.seen = [0, 0, 0]

    def open_one(self):
        return weft.Cell(self.name, size=SIZE)

    def teardown(self):
        for handle in getattr(self, "handles", ()):
            handle.close()
        gc.collect()

    @rule(index=handles, value=st.one_of(encoded, encoded, large))
    def set(self, index, value):
        try:
            version = self.handles[index].set(value)
        except weft.MessageTooLargeError:
            return
        self.version += 1
        assert version == self.version
        self.value = value

    @rule(index=handles)
    def get(self, index):
        if not self.version:
            with pytest.raises(LookupError):
                self.handles[index].get()
            return
        self.check(index, self.handles[index].get())

    @rule(index=handles, version=st.one_of(st.none(), st.integers(0, 30)))
    def wait_newer(self, index, version):
        than = self.seen[index] if version is None else version
        if self.version > than:
            self.check(index, self.handles[index].wait_newer(version, 0))
        else:
            with pytest.raises(TimeoutError):
                self.handles[index].wait_newer(version, 0)

    def check(self, index, got):
        assert repr(got) == repr(self.value)
        assert type(got) is type(self.value)
        self.seen[index] = self.version

    @rule(index=handles, target=views)
    def view(self, index):
        if type(self.value) is not bytes:
            with pytest.raises(LookupError if not self.version else TypeError):
                self.handles[index].view()
            return None, b""
        self.seen[index] = self.version
        return self.handles[index].view(), self.value

    @rule(view=views)
    def look(self, view):
        if view[0] is not None:
            assert bytes(view[0]) == view[1]

    @rule(view=consumes(views))
    def drop(self, view):
        self.look(view)

    @rule(index=handles)
    def reopen(self, index):
        new = self.open_one()
        self.handles[index].close()
        self.handles[index], self.seen[index] = new, 0

    @invariant()
    def agree(self):
        for index, handle in enumerate(getattr(self, "handles", ())):
            assert handle.version == self.version
            assert handle.seen == self.seen[index]


CellMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCell = CellMachine.TestCase
