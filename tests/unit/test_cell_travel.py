"""How a cell gets into other processes, forks included, and what a descriptor of it tells."""

import multiprocessing
import os
import pickle
import select

import msgspec
import pytest

import weft

from ..helpers import run_program, start_program


class Pose(msgspec.Struct):
    x: float


class Shout:
    def encode(self, obj):
        return obj.upper().encode()

    def decode(self, data):
        return bytes(data).decode()

    def __repr__(self):  # names the test alike in all processes of a run
        return "Shout()"


@pytest.mark.parametrize("name", ["c", None])
@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, {"a": 1}),
        ({"codec": "raw", "size": 10}, b"x"),
        ({"codec": Shout()}, "LOUD"),
        ({"type": Pose}, Pose(1)),
        ({"wait": "power", "lifetime": "kept"}, 1),
        ({"shape": 3, "dtype": "i2"}, [1, 2, 3]),
    ],
    ids=str,
)
def test_pickle_opens_the_same_cell(name, options, value):
    with weft.Cell(name, **options) as cell, pickle.loads(pickle.dumps(cell)) as again:
        cell.set(value)
        assert list(again.get()) == value if isinstance(value, list) else again.get() == value
        assert again.path == cell.path
        assert again._options.keys() == cell._options.keys()
        cell.unlink()


def test_token_opens_the_same_cell():
    with weft.Cell(codec="json", wait="power") as cell:
        cell.set([1])
        with weft.open(cell.token) as again:
            assert again.get() == [1]
            assert again._options["wait"] == "power"
        assert run_program("print(weft.open(sys.argv[1]).get())", cell.token) == "[1]\n"
        token = cell.token
    with pytest.raises(weft.NotFoundError):
        weft.open(token)
    with pytest.raises(ValueError, match="not a token"):
        weft.open(token + "&color=red")


def work(cell):
    for _ in range(100):
        cell.set(cell.get() + 1)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(method):
    code = """
    import multiprocessing
    from tests.unit.test_cell_travel import work
    if __name__ == "__main__":
        cell = weft.Cell("c")
        cell.set(0)
        process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(cell,))
        process.start()
        process.join()
        say(cell.get(), process.exitcode)
        cell.close()
    """
    assert method in multiprocessing.get_all_start_methods()
    assert run_program(code, method) == "100 0\n"


def test_a_child_goes_on_with_its_parents_handle():
    said = run_program(
        """
        import os
        cell = weft.Cell("c", codec="raw", size=10_000)
        cell.set(b"parent's")
        view = cell.view()
        cell.fileno()
        pid = os.fork()
        if not pid:
            assert cell.get() == b"parent's"
            assert cell.set(b"child's") == 2
            assert cell.statistics().attached == 2
            del view            # the parent's: it gives up nothing
            sys.stdout.flush()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        for number in range(30):
            cell.set(b"%d" % number)
        say(bytes(view).decode(), cell.get().decode(), cell.statistics().attached)
        del view
        cell.close()
        sys.stdout.flush()
        os._exit(0)
        """
    )
    assert said == "parent's 29 1\n"


# --- fileno ----------------------------------------------------------------------------------------


def is_readable(cell):
    return bool(select.select([cell], [], [], 0)[0])


def test_readable_when_there_is_a_newer_value():
    with weft.Cell("c") as cell, weft.Cell("c") as other:
        assert not is_readable(cell)
        for number in range(20):
            other.set(number)
            other.set(number)
            assert is_readable(cell)
            assert cell.get() == number
            assert not is_readable(cell)


def test_readable_for_what_was_set_before():
    with weft.Cell("c") as cell:
        cell.set(1)
        assert is_readable(cell)
        cell.get()
        assert not is_readable(cell)


def test_readable_by_another_program():
    with (
        weft.Cell("c") as cell,
        start_program("cell = weft.Cell('c')\nwhile number := hear(): cell.set(int(number))") as program,
    ):
        descriptor = cell.fileno()
        assert descriptor == cell.fileno()
        for number in range(1, 20):
            program.say(str(number))
            while not select.select([descriptor], [], [], 10)[0]:
                pass
            while cell.get() != number:
                pass
        program.say()
        program.finish()


def test_the_descriptor_goes_with_the_handle():
    cell = weft.Cell("c")
    descriptor = cell.fileno()
    cell.close()
    with pytest.raises(OSError):
        os.fstat(descriptor)
