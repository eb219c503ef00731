"""What `import weft` brings along."""

import pytest

from ..helpers import run_program

HEAVY = ("asyncio", "trio", "numpy", "concurrent.futures", "multiprocessing.connection", "ssl", "rich")


@pytest.mark.parametrize("use", ["pass", "weft.Queue('q').put(1); weft.Lock('l').acquire(); weft.Cell('c').set(1)"])
def test_no_event_loops_and_nothing_large(use):
    """Programs start fast; event loops, NumPy and the like are imported by those who use them."""
    said = run_program(f"{use}\nsay([name for name in {HEAVY} if name in sys.modules])")
    assert said == "[]\n"


def test_what_is_for_event_loops_is_there_when_asked_for():
    code = """
    import weft.sockets
    say("asyncio" in sys.modules, "serve" in dir(weft.sockets), "serve" in weft.sockets.__all__)
    from weft.sockets import Server, serve
    say("asyncio" in sys.modules, weft.sockets.serve is serve, weft.sockets.Server is Server)
    try:
        weft.sockets.nothing
    except AttributeError as error:
        say(error)
    """
    assert run_program(code).splitlines() == [
        "False False True", "True True True", "module 'weft.sockets' has no attribute 'nothing'",
    ]  # fmt: skip
