"""Put messages into a queue: JSON, one to a line.

Without messages on the command line, each line of the standard input is one. A missing queue is made, with lifetime
"kept", so that it is there for whoever comes later; weft clean QUEUE removes it. Waits while the queue is full.

With --raw messages are bytes, lines without their end, and a queue made here has the codec "raw".

The exit status is 1 if not all could be put; how many were is said.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from weft import errors
from weft.cli._arguments import add_namespace
from weft.cli._output import Output, note
from weft.cli._queues import add_timeout, open_or_make

EXAMPLES = """\
examples:
  weft put jobs '{"id": 1}' '{"id": 2}'
  jq -c '.[]' orders.json | weft put orders
  weft put --raw log < access.log
  weft put --raw --whole pictures < photo.jpeg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft put``."""
    parser.add_argument("queue", metavar="QUEUE", help="the queue's name")
    parser.add_argument("messages", metavar="MESSAGE", nargs="*", help="messages; without, lines of the standard input")
    parser.add_argument("--raw", action="store_true", help="messages are bytes as they stand, not JSON")
    parser.add_argument("--whole", action="store_true", help="the standard input is one message")
    add_timeout(parser, "how long to wait at most while the queue is full (default: for ever)")
    add_namespace(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Puts."""
    count = 0
    with open_or_make(arguments) as queue:
        try:
            for message in _messages(arguments):
                queue.put(message, timeout=arguments.timeout)
                count += 1
        except ValueError as error:
            what = f"not JSON ({error}): --raw sends bytes" if isinstance(error, json.JSONDecodeError) else str(error)
            return _stopped(count, f"message {count + 1} is {what}")
        except TypeError as error:
            return _stopped(count, f"message {count + 1}: {error}")
        except errors.Full:
            return _stopped(count, f"queue {arguments.queue!r} is full")
        except errors.ShutDown:
            return _stopped(count, f"queue {arguments.queue!r} has been shut down")
    return 0


def _stopped(count: int, why: str) -> int:
    note(f"{why}; {count} message{'s' * (count != 1)} put before")
    return 1


def _messages(arguments: argparse.Namespace) -> Iterator[Any]:
    texts: Iterator[bytes]
    if arguments.messages:
        texts = map(os.fsencode, arguments.messages)
    elif arguments.whole:
        texts = iter([sys.stdin.buffer.read()])
    else:
        texts = (line.removesuffix(b"\n") for line in iter(sys.stdin.buffer.readline, b""))
    if arguments.raw:
        return texts
    return (json.loads(text) for text in texts if text.strip())
