"""What remains of a pipe, whoever has its ends and however those end who use one."""

import os

import pytest

import weft

from ..unit.test_memory_lifetimes import ENDS, Rounds


@pytest.mark.parametrize("lifetime", ["attached", "kept"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "unrelated"])
def test_matrix(method, lifetime, namespace):
    with Rounds(method, "Pipe", lifetime) as rounds:
        for end in ENDS:
            mine = weft.Pipe("p", lifetime=lifetime)
            rounds.ask(f"talker {end}", "ready")
            assert mine.recv() == "hello"
            assert (mine.connected, mine.statistics().attached) == (True, 2)
            mine.send("never read")
            rounds.ask("go", "ended")
            with pytest.raises(EOFError):
                mine.recv()
            with pytest.raises(BrokenPipeError):
                mine.send("to nobody")
            assert mine.statistics().attached == 1
            mine.close()
            if lifetime == "kept":
                with weft.Pipe("p", create=False) as one, weft.Pipe("p") as two:  # another conversation
                    one.send("anew")
                    assert two.recv() == "anew"
                    one.unlink()
            with pytest.raises(FileNotFoundError):
                weft.Pipe("p", create=False)
            assert os.listdir(namespace) == [], end


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "unrelated"])
def test_the_first_is_the_one_that_ends(method, namespace):
    with Rounds(method, "Pipe", "attached") as rounds:
        for end in ENDS:
            rounds.ask(f"talker {end}", "ready")
            with weft.Pipe("p", create=False) as mine:
                rounds.ask("go", "ended")
                assert mine.recv() == "hello"
                with pytest.raises(EOFError):
                    mine.recv()
            assert os.listdir(namespace) == [], end
