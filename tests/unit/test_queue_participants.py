"""As many participants as there can be, in several programs."""

import pytest

import weft

from ..helpers import start_program

MOST, EACH = 1024, 340

# Opens its handles, and uses them all, one after the other, whenever it is told to.
MEMBER = f"""
handles = [weft.Queue("q") for _ in range({EACH})]
say("open")
while command := hear():
    if command == "get":
        say(sum(handle.get(timeout=30) for handle in handles))
    elif command == "put":
        for number, handle in enumerate(handles):
            handle.put(number)
        say("put")
    elif command == "lease":
        leases = [handles[i].lease(timeout=30) for i in (0, 100, 339)]
        say("leased")
"""


def tell(program, command, answer):
    program.say(command)
    program.expect(answer)


def test_a_queue_with_all_the_participants_it_can_have(open_queue):
    mine = [open_queue("q") for _ in range(MOST - 3 * EACH)]
    queue = mine[0]
    with start_program(MEMBER) as one, start_program(MEMBER) as two, start_program(MEMBER) as three:
        for program in (one, two, three):
            program.expect("open")
        assert queue.statistics().attached == MOST

        # One more is told why it can't, and what helps, wherever it is; and nothing has changed.
        with pytest.raises(weft.SystemLimitError, match=r"/q has as many participants .* \(1024\): close some handles"):
            open_queue("q")
        with start_program(
            """
            try:
                weft.Queue("q")
            except weft.SystemLimitError as error:
                say(error)
            """
        ) as late:
            assert "close some handles" in late.finish()
        assert queue.statistics().attached == MOST

        # Every handle works.
        for program in (one, two):
            tell(program, "put", "put")
        tell(three, "get", str(sum(range(EACH))))
        for number in range(EACH):
            assert mine[number % len(mine)].get(timeout=0) == number

        # A handle that is closed makes room for one.
        mine.pop().close()
        mine.append(open_queue("q"))
        with pytest.raises(weft.SystemLimitError):
            open_queue("q")

        # So does a death, for all of its handles, and what they held comes back.
        queue.put_many(["first", "second", "third"])
        tell(one, "lease", "leased")
        assert queue.empty()
        one.process.kill()
        one.process.wait()
        assert queue.statistics().attached == MOST - EACH
        with start_program(MEMBER) as heir:
            heir.expect("open")
            assert queue.statistics().attached == MOST
            assert sorted(queue.get(timeout=30) for _ in range(3)) == ["first", "second", "third"]
            tell(heir, "put", "put")
            tell(two, "get", str(sum(range(EACH))))
            with pytest.raises(weft.SystemLimitError):
                open_queue("q")
    assert queue.statistics().attached == len(mine)
    assert queue.statistics().leased == 0
