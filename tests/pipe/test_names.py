"""Pipes by name: two places, one conversation."""

import pickle
import warnings

import pytest

import weft

from ..helpers import run_program, start_program, until

ANSWER = """
    end = weft.Pipe("control")
    say("open")
    for message in end:
        end.send(message * 2)
    say("end")
"""


def test_opening_does_not_wait_and_what_was_sent_is_kept():
    with weft.Pipe("control") as end:
        end.send(21)
        assert not end.connected
        with pytest.raises(TimeoutError):
            end.wait_connected(0)
        with pytest.raises(TimeoutError):
            end.wait_connected(0.02)
        with start_program(ANSWER) as program:
            end.wait_connected()
            assert end.connected
            assert end.recv() == 42
            end.close()
            program.expect("open")
            program.expect("end")
            program.finish()
    weft.Namespace().clean()  # the program was the last, and has ended without closing


def test_the_third_is_refused_and_told_who_has_the_two():
    with weft.Pipe("control"), start_program(ANSWER) as program:
        program.expect("open")
        with pytest.raises(weft.InUseError) as caught:
            weft.Pipe("control")
        assert isinstance(caught.value, OSError)
        assert str(program.pid) in str(caught.value)
        assert "python" in str(caught.value)
        assert "(" in run_program("""
            try:
                weft.Pipe("control")
            except weft.InUseError as error:
                say(str(error))
        """)


def test_a_dead_ends_place_is_not_taken_anew():
    with weft.Pipe("control") as end:
        with start_program("end = weft.Pipe('control')\nend.send('x')\nsay('open')\nhear()") as program:
            program.expect("open")
            program.process.kill()
            program.process.wait()
        with pytest.raises(weft.InUseError, match="closed it or died"):
            weft.Pipe("control")
        assert end.recv() == "x"
        with pytest.raises(EOFError):
            end.recv()
    with weft.Pipe("control") as one, weft.Pipe("control") as two:  # another conversation
        one.send("new")
        assert two.recv() == "new"


def test_racing_openers_get_both_ends():
    racer = """
        end = weft.Pipe("race")
        end.send(end._end)
        other = end.recv()
        assert {other, end._end} == {0, 1}
        say("ok")
        hear()
    """
    for _ in range(5):
        with start_program(racer) as first, start_program(racer) as second:
            first.expect("ok")
            second.expect("ok")
    weft.Namespace().clean()


def test_kept():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with weft.Pipe("kept", lifetime="kept") as first:
            first.send("for you")
    with weft.Pipe("kept") as second:
        assert second.recv() == "for you"
        with pytest.raises(EOFError):
            second.recv()
    with weft.Pipe("kept") as one, weft.Pipe("kept") as two:  # a new conversation, of which nothing is left
        assert not two.poll()
        one.send(1)
        assert two.recv() == 1
        one.unlink()


def test_closing_the_only_end_warns():
    end = weft.Pipe("lonely")
    end.send("x")
    with pytest.warns(ResourceWarning, match="1 message"):
        end.close()


def test_settings_must_match_and_a_mismatch_takes_no_place():
    with weft.Pipe("p", capacity=1 << 20) as one:
        for options in ({"duplex": False}, {"capacity": 2 << 20}, {"codec": "pickle"}, {"lifetime": "kept"}):
            with pytest.raises(weft.MismatchError):
                weft.Pipe("p", **options)
        with weft.Pipe("p") as two:
            one.send("still here")
            assert two.recv() == "still here"
    with weft.Queue("q"), pytest.raises(weft.MismatchError, match="Queue"):
        weft.Pipe("q")
    with pytest.raises(weft.NameInUseError), weft.Pipe("new", create=True):
        weft.Pipe("new", create=True)


def test_one_way_by_name():
    with weft.Pipe("down", False) as reader, weft.Pipe("down", False) as writer:
        writer.send(1)
        assert reader.recv() == 1


def test_tokens_and_namespaces(spare):
    with weft.Namespace(spare).Pipe("p") as one, weft.Namespace(spare).Pipe("p") as two:
        one.send(1)
        with weft.open(two.token) as copy:
            assert copy.recv() == 1
            copy.send(2)
        assert one.recv() == 2
        with pytest.raises(ValueError, match="not a token"):
            weft.open(two.token.replace("end=1", "end=7"))
        run_program("import sys\nend = weft.open(sys.argv[1])\nend.send('by token')", two.token)
        assert one.recv() == "by token"


def test_an_end_in_two_hands_is_over_with_the_last():
    one, two = weft.Pipe()
    copy = weft.open(two.token)
    two.close()
    one.send(1)
    assert copy.recv() == 1
    copy.close()
    with pytest.raises(EOFError):
        one.recv()
    one.close()


def test_inspect(capsys):
    from weft.cli import main

    with weft.Pipe("control") as end, start_program(ANSWER) as program:
        program.expect("open")
        end.send("x")
        assert end.recv() == "xx"
        assert main(["inspect", "control"]) == 0
        text = capsys.readouterr().out
        assert "Pipe" in text
        assert str(program.pid) in text
        program.process.kill()
        program.process.wait()
        main(["inspect", "control"])
        assert "is over" in capsys.readouterr().out


def test_pickles_in_one_process():
    from multiprocessing import resource_sharer

    one, two = weft.Pipe()
    try:
        copy = pickle.loads(pickle.dumps(two))
        two.close()
        one.send("x")
        assert copy.recv() == "x"
        copy.close()
        until(lambda: one.poll())
        with pytest.raises(EOFError):
            one.recv()
    finally:
        resource_sharer.stop(timeout=30)
        one.close()
