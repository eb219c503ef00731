"""Alerts by urgency, on the disk: what was sent before a crash, or a reboot, is received after it."""

import os
import sys
import tempfile

import weft

DISK = os.path.join(tempfile.gettempdir(), "weft-example-alerts")


def send() -> None:
    os.makedirs(DISK, exist_ok=True)
    with weft.MessageQueue("alerts", directory=DISK) as alerts:
        alerts.send("the disk is almost full", priority=3)
        alerts.send("a certificate expires next month")
        alerts.send("the disk is full", priority=9)
        print("sent 3, all on the disk")
        sys.stdout.flush()
        os._exit(0)  # whatever happens to the sender now


def reboot() -> None:
    """As far as the queue can tell: its memory is gone."""
    with weft.MessageQueue("alerts", directory=DISK) as alerts:
        os.unlink(alerts.path)
    print("the machine has been started again")


def receive() -> None:
    with weft.MessageQueue("alerts", directory=DISK) as alerts:
        alerts.block = False
        while alerts.current_messages:
            message, priority = alerts.receive()
            print(f"{priority}: {message}")
        alerts.unlink()
    os.rmdir(DISK)


if __name__ == "__main__":
    {"send": send, "reboot": reboot, "receive": receive}[sys.argv[1]]()
