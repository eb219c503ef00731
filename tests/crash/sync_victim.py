"""A program that uses a lock, a semaphore or another object of its kind until a fault point ends it.

Writes ``ready``, and a line before (``+n``) and after (``=n``) each turn.
"""

import os
import sys
import time

import weft


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def turns(step) -> None:
    for number in range(2000):
        say(f"+{number}")
        step(number)
        say(f"={number}")


def main() -> None:
    role, *rest = sys.argv[1:]
    if role == "create":
        say("ready")
        turns(lambda number: getattr(weft, rest[0])(f"made-{number % 3}").close())
        return
    it = getattr(weft, rest[0])(rest[1], create=False)
    say("ready")
    match role:
        case "lock":
            turns(lambda number: (it.acquire(timeout=1), it.release()))
        case "recover":
            for _ in range(2000):
                with it.recover():
                    pass
        case "try":
            while True:
                try:
                    it.acquire(False)
                except weft.OwnerDied:
                    time.sleep(0.001)
        case "permit":
            turns(lambda number: (it.acquire(timeout=1), it.release()))
        case "read" | "write":

            def use(number):
                with it.read() if role == "read" else it.write():
                    pass

            turns(use)
        case "wait":
            with it:
                it.wait(0.01)
        case "notify":
            with it:
                it.notify()
        case "party":
            it.wait()
        case "set":
            it.set()


if __name__ == "__main__":
    main()
