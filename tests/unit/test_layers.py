"""Arrows go down only: the check that says so passes, and sees what points up."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "ci/layers.py").is_file(), reason="needs the sources")


@pytest.fixture
def layers():
    spec = importlib.util.spec_from_file_location("layers", ROOT / "ci/layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(layers, tmp_path, monkeypatch):
    """A copy of the sources, to spoil."""
    for part in ("src", "native", "ci"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    return tmp_path


def test_every_arrow_goes_down(layers, capsys):
    assert layers.main() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "import weft.queue",
        "from weft import queue",
        "from weft.queue import Queue",
        "from . import queue",
        "from .queue import Queue",
        "def late():\n    from weft.queue import Queue",
        "if not TYPE_CHECKING:\n    import weft.queue",
    ],
)
@pytest.mark.parametrize("module", ["namespace.py", "errors.py", "_handle.py"])
def test_imports_that_point_up_are_seen(layers, tree, module, line):
    path = tree / "src/weft" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    assert any(str(path) in problem for problem in layers.check_python())


def test_imports_from_within_a_package_are_seen(layers, tree):
    path = tree / "src/weft/_core/helper.py"
    path.write_text("from ..queue import Queue\n")
    assert any(str(path) in problem for problem in layers.check_python())


def test_imports_for_types_alone_may_point_up(layers, tree):
    path = tree / "src/weft/errors.py"
    path.write_text(path.read_text() + "\nif TYPE_CHECKING:\n    from weft.queue import Queue\n")
    assert layers.check_python() == []


def test_modules_without_a_place_are_seen(layers, tree):
    (tree / "src/weft/stray.py").write_text("")
    assert any("stray.py" in problem for problem in layers.check_python())


def test_native_code_that_imports_from_above_is_seen(layers, tree):
    (tree / "src/weft/_core/stray.pxi").write_text("from weft.queue import Queue\n")
    assert any("stray.pxi" in problem for problem in layers.check_python())


@pytest.mark.parametrize(
    "line",
    [
        '#include "queue.hpp"',
        "#include <Python.h>",
        "#include <sys/mman.h>",
        "#ifdef __linux__",
        '#include "platform/linux/file.hpp"',
    ],
)
def test_native_arrows_that_point_up_are_seen(layers, tree, line):
    path = tree / "native/weft/segment.hpp"
    path.write_text(path.read_text() + f"\n{line}\n")
    assert any(str(path) in problem for problem in layers.check_native())


def test_files_too_long_to_be_read_in_one_sitting_are_seen(layers, tree):
    (tree / "src/weft/errors.py").write_text("#\n" * (layers.LONGEST + 1))
    assert any("errors.py" in problem for problem in layers.check_lengths())
