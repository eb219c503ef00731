"""Sphinx settings. Build with ``make docs``; ``check_pages.py`` runs what the pages show."""

import ast
import importlib.metadata
import re
from pathlib import Path

import weft._core

project = "weft"
author = "The weft developers"
copyright = author
release = version = importlib.metadata.version("weft")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"weft {release}"
html_copy_source = False

add_module_names = False
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def read_stub(path: Path) -> dict[str, str]:
    """The signatures in a stub file, by ``Class.method``; those of ``__init__`` under the class's own name."""
    found = {}
    text = path.read_text()
    for node in ast.parse(text).body:
        for item in node.body if isinstance(node, ast.ClassDef) else []:
            if not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            item.args.args = item.args.args[1:]  # self
            item.args.kw_defaults = [
                node and ast.Name(ast.get_source_segment(text, node)) for node in item.args.kw_defaults
            ]  # as they are written there: 0o600
            if item.name == "__init__":
                found[node.name] = f"({ast.unparse(item.args)})"
            else:
                found[f"{node.name}.{item.name}"] = f"({ast.unparse(item.args)}) -> {ast.unparse(item.returns)}"
    return found


# Native methods carry no signatures; their stubs, which are checked against them, do.
STUBS = {k: v for stub in sorted(Path(weft._core.__path__[0]).glob("*.pyi")) for k, v in read_stub(stub).items()}


def add_signatures(app, docname, source):
    """Writes the signatures of native classes and methods behind the directives that document them."""
    source[0] = re.sub(
        r"^(\.\. auto(?:class|method):: weft\.([\w.]+))$",
        lambda match: match[1] + STUBS.get(match[2], ""),
        source[0],
        flags=re.MULTILINE,
    )


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", add_signatures)
