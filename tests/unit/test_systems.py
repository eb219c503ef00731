"""Importing weft where it does not run."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_another_system_is_told_at_the_import(system):
    code = (
        f"import sys; sys.platform = {system!r}\ntry:\n    import weft\nexcept ImportError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Linux only" in said
    assert system in said
    assert "README" in said
