"""The command line ``weft``, also ``python -m weft``.

Each command is a module of this package that bears its name: the docstring is its help, ``EXAMPLES`` what its
help ends with, ``add_arguments`` takes its parser, and ``run`` does the work and returns the exit status. A new
one is a file and a word in ``COMMANDS``.

Arguments are read by argparse and tables are plain text, so that the command is there and starts at once wherever
weft is, on a machine in trouble too. Where rich is installed (the extra ``cli``), terminals get colours and
tables that fit.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from weft.cli._arguments import UsageError
from weft.cli._output import Output, note
from weft.errors import WeftError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("ls", "inspect", "clean", "doctor", "locks", "put", "get", "signal")

_DESCRIPTION = """\
Look at what weft's programs share, clean up after those that died, and take part from the shell.

Looking changes nothing: programs that hang, are stopped or are dead can be looked at like any other.
"""
_EPILOG = """\
weft COMMAND --help tells more of each.

exit status:
  0  done
  1  not done, or something is wrong; a sentence on the error output says what
  2  wrong arguments

environment:
  WEFT_NAMESPACE  the namespace to use, by name or path, unless --namespace says otherwise
  NO_COLOR        no colours, also on a terminal
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Those of the command line, without the program's name; None: this process's own.

    Returns:
        The exit status.
    """
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what can't be written in the terminal's encoding is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has gone, as head does: as if ended by SIGPIPE, and no words at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        note(str(error))
        return 2
    except (WeftError, OSError) as error:
        note(str(error))
        return 1


class _Help(argparse.HelpFormatter):
    """Paragraphs are filled to fit the terminal; what is indented, examples and lists, stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        filled = (super(_Help, self)._fill_text(p, width, indent) if "\n " not in p else p for p in paragraphs)
        return "\n\n".join(filled)


def _run(arguments: Sequence[str] | None) -> int:
    import weft

    parser = argparse.ArgumentParser(prog="weft", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Help)
    parser.add_argument("--version", action="version", version=f"weft {weft.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    modules: dict[str, ModuleType] = {}
    for name in COMMANDS:
        module = modules[name] = importlib.import_module(f"weft.cli.{name}")
        text = module.__doc__ or ""
        command = commands.add_parser(
            name,
            help=text.partition("\n")[0].rstrip("."),
            description=text,
            epilog=module.EXAMPLES,
            formatter_class=_Help,
        )
        module.add_arguments(command)
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 2
    status: int = modules[given.command].run(given, Output(sys.stdout))
    return status
