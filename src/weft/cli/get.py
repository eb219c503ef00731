"""Take messages from a queue and print them: JSON, one to a line.

Takes one message, and waits until there is one; --count and --follow take more. A message is gone from the queue
once it has been printed: if it can't be, or if weft is killed before, it goes back to the front. What JSON has no
word for is printed as text; tuples and sets become lists.

With --raw messages are bytes or text and printed as they are.

The exit status is 1 if the time was over, or the queue shut down, before there was a message, or before --count
of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import Any

import msgspec

from weft import errors
from weft.cli._arguments import add_namespace
from weft.cli._output import Output, note
from weft.cli._queues import add_timeout, open_queue

EXAMPLES = """\
examples:
  weft get jobs                   one message, when there is one
  weft get jobs --timeout 0       one, if it is there now
  weft get jobs --follow          all, until the queue is shut down
  weft get jobs --follow -t 0     all that are there now
  weft get --raw --whole pictures > photo.jpeg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft get``."""
    parser.add_argument("queue", metavar="QUEUE", help="the queue's name")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-c", "--count", metavar="N", type=_count, help="so many messages (default: 1)")
    group.add_argument("-f", "--follow", action="store_true", help="all, until the queue is shut down or time is over")
    parser.add_argument("--raw", action="store_true", help="print bytes or text as they are, not as JSON")
    parser.add_argument("--whole", action="store_true", help="print no end of line behind a message")
    add_timeout(parser, "how long to wait for each message at most (default: for ever)")
    add_namespace(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of messages")
    return int(text)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Takes and prints."""
    end = b"" if arguments.whole else b"\n"
    with open_queue(arguments) as queue:
        for taken in itertools.count() if arguments.follow else range(arguments.count or 1):
            try:
                with queue.lease(timeout=arguments.timeout) as message:
                    sys.stdout.buffer.write((_raw(message) if arguments.raw else _as_json(message)) + end)
                    sys.stdout.buffer.flush()
            except (errors.Empty, errors.ShutDown) as error:
                if arguments.follow:
                    return 0
                why = "the time is over" if isinstance(error, errors.Empty) else "it has been shut down and is empty"
                note(f"queue {arguments.queue!r}: {why}" + (f" after {taken} messages" if taken else ""))
                return 1
            except TypeError as error:
                note(f"{error}; the message is in the queue still")
                return 1
    return 0


def _raw(message: Any) -> bytes:
    if isinstance(message, str):
        return message.encode(errors="surrogateescape")
    if isinstance(message, (bytes, bytearray, memoryview)) or hasattr(message, "__array_interface__"):
        return bytes(message)
    raise TypeError(f"a message is a {type(message).__name__}, not bytes or text: leave out --raw")


def _as_json(message: Any) -> bytes:
    if isinstance(message, (bytes, bytearray, memoryview)):  # text, if it is text
        message = bytes(message).decode(errors="backslashreplace")
    try:
        return msgspec.json.encode(message, enc_hook=_other)
    except (OverflowError, TypeError, ValueError, UnicodeEncodeError):
        # Large ints, text that is not UTF-8, keys that are no text.
        return json.dumps(_plain(message), default=str).encode()


def _other(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _plain(value: Any) -> Any:
    """With keys that are text."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else _other(value)
