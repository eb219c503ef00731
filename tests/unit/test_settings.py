"""What the primitives share in opening: native statuses, and settings as they stand in a header."""

import re
from pathlib import Path

import pytest

import weft
from weft import _opening

NATIVE = Path(__file__).parents[2] / "native" / "weft"


@pytest.mark.skipif(not NATIVE.is_dir(), reason="needs the sources of the native core")
def test_statuses_are_those_of_the_native_core():
    source = (NATIVE / "status.hpp").read_text()
    body = re.search(r"enum class Status[^{]*\{(.*?)\};", source, re.DOTALL)[1]
    names = re.findall(r"^\s*(\w+),", body, re.MULTILINE)
    assert [status.name.lower() for status in _opening.Status] == names
    assert [status.value for status in _opening.Status] == list(range(len(names)))


def test_settings_are_written_in_one_order():
    assert _opening.to_bytes({"b": "2", "a": "1"}) == _opening.to_bytes({"a": "1", "b": "2"})


@pytest.mark.parametrize("length", [2000, 3000])
def test_settings_have_to_fit_the_header(length):
    settings = {"codec": "x" * length}
    if length == 2000:
        assert len(_opening.to_bytes(settings)) < 2048
    else:
        with pytest.raises(ValueError, match="too long"):
            _opening.to_bytes(settings)


def test_paths_that_are_no_text():
    assert _opening.to_bytes("/dev/shm/\udcff") == b"/dev/shm/\xff"


def test_settings_come_back(open_queue):
    queue = open_queue("q", codec="raw", max_deliveries=3, dead_letter="dead")
    assert queue._config == {"codec": "raw", "dead_letter": "dead"}
    assert weft.Queue("q", codec="raw")._config == queue._config
