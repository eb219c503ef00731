"""Handles of a shared array and views of it, made, closed and deleted in any order: memory lives exactly as long as
something needs it, and all see the same items."""

import gc
import itertools

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import weft

SHAPE = (4, 6)
numbers = itertools.count()
slices = st.sampled_from([np.s_[:], np.s_[1:], np.s_[::2], np.s_[..., ::-1], np.s_[1:3], np.s_[..., 1:]])
derive = st.sampled_from(
    [
        lambda array: array.reshape(-1),
        lambda array: array.T,
        lambda array: array.ravel(),
        lambda array: np.asarray(memoryview(array)),
        lambda array: np.lib.stride_tricks.as_strided(array),
        np.asarray,
        np.atleast_1d,
    ]
)


class ArrayMachine(RuleBasedStateMachine):
    """A model of items, ``content``, and what refers to them: indexes of those a view shows."""

    handles = Bundle("handles")
    views = Bundle("views")

    @initialize(target=handles)
    def make(self):
        gc.freeze()  # collecting what the tests themselves have would be all that it does
        self.name = f"a{next(numbers)}"
        self.content = np.zeros(SHAPE, "i4")
        self.where = np.arange(self.content.size).reshape(SHAPE)
        self.cycles = 0
        self.open: list[weft.SharedArray] = []
        # By number, which is what the machine keeps: it would keep the arrays themselves for longer than we say.
        self.alive: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        return self.open_one()

    def open_one(self):
        if not self.open and not self.alive:
            self.collect()  # also what the machine that runs this has in cycles
            self.content[:] = 0  # it has gone with the last that needed it
        handle = weft.SharedArray(self.name, SHAPE, "i4")
        self.open.append(handle)
        return handle

    def teardown(self):
        for handle in getattr(self, "open", ()):
            handle.close()
        self.alive = {}
        gc.collect()
        gc.unfreeze()

    @rule(target=handles)
    def open_again(self):
        return self.open_one()

    @rule(handle=consumes(handles), times=st.integers(1, 2))
    def close(self, handle, times):
        for _ in range(times):
            handle.close()
        with pytest.raises(weft.ClosedError):
            _ = handle.array
        self.open.remove(handle)

    @rule(target=views, handle=handles, how=st.sampled_from(["array", "asarray", "interface", "dlpack"]))
    def view(self, handle, how):
        match how:
            case "array":
                array = handle.array
            case "asarray":
                array = np.asarray(handle)
            case "interface":
                array = np.asarray(type("Other", (), {"__array_interface__": handle.__array_interface__})())
            case _:
                array = np.from_dlpack(handle)
        return self.keep(array, self.where)

    def keep(self, array, where):
        number = next(numbers)
        self.alive[number] = (array, where)
        return number

    @rule(target=views, view=views, part=slices)
    def slice(self, view, part):
        array, where = self.alive[view]
        return self.keep(array[part], where[part])

    @rule(target=views, view=views, make=derive)
    def derive(self, view, make):
        array, where = self.alive[view]
        made = make(array)
        # NumPy copies where no strides would do: a copy is no view of the memory any more.
        return self.keep(made, make(where)) if np.shares_memory(made, array) else self.keep(array, where)

    @rule(view=consumes(views), in_a_cycle=st.booleans())
    def drop(self, view, in_a_cycle):
        entry = self.alive.pop(view)
        if in_a_cycle:
            holder = [entry]
            holder.append(holder)  # it goes when the collector comes by
            self.cycles += 1

    @rule(view=views, value=st.integers(-9, 9))
    def write(self, view, value):
        array, where = self.alive[view]
        array[...] = value
        self.content.reshape(-1)[where.reshape(-1)] = value

    @rule()
    def collect(self):
        gc.collect()
        self.cycles = 0

    @invariant()
    def all_show_the_same(self):
        for handle in getattr(self, "open", ()):
            assert np.array_equal(handle.array, self.content)
        for array, where in getattr(self, "alive", {}).values():
            assert np.array_equal(array, self.content.reshape(-1)[where])


ArrayMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSharedArray = ArrayMachine.TestCase
