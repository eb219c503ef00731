"""Signals: handlers, waiting, timers and sending, without the traps.

A signal is named by its name (``"SIGUSR1"``, ``"USR1"``, ``"SIGRTMIN+3"``), its number, or as a member of the standard
library's ``signal.Signals``. Where the standard library has a function for it, that and this can be used side by side:
what was bound before is restored, and a handler that was bound with ``signal.signal`` later stays.
"""

from __future__ import annotations

from weft._core.signals import Blocked, Descriptor, Event
from weft.signals import names as _names
from weft.signals.graceful import Graceful, Termination, graceful, terminate
from weft.signals.handlers import Binding, off, on
from weft.signals.names import Description, MainThreadError, ValueRangeError, describe, name, number, table
from weft.signals.register import Registered, Registration, register, registered
from weft.signals.sending import Delivery, Group, Process, group, send, send_tree
from weft.signals.streams import Stream, aon, stream
from weft.signals.supervising import Forwarding, Reaped, forward, reap, supervise
from weft.signals.timers import Alarm, Deadline, Timer, alarm, deadline, timer
from weft.signals.waiting import blocked, defer, pending, signalfd, wait

__all__ = [
    "Alarm",
    "Binding",
    "Blocked",
    "Deadline",
    "Delivery",
    "Description",
    "Descriptor",
    "Event",
    "Forwarding",
    "Graceful",
    "Group",
    "MainThreadError",
    "Process",
    "Reaped",
    "Registered",
    "Registration",
    "Stream",
    "Termination",
    "Timer",
    "ValueRangeError",
    "alarm",
    "aon",
    "blocked",
    "deadline",
    "defer",
    "describe",
    "forward",
    "graceful",
    "group",
    "name",
    "number",
    "off",
    "on",
    "pending",
    "reap",
    "register",
    "registered",
    "send",
    "send_tree",
    "signalfd",
    "stream",
    "supervise",
    "table",
    "terminate",
    "timer",
    "wait",
]

_names._set_policy(_names)
