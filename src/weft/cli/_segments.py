"""Segments in words and in JSON, for the commands that show them."""

from __future__ import annotations

import dataclasses
from typing import Any

from weft.cli._output import Piece
from weft.memory import SegmentInfo

__all__ = ["as_json", "attached_text", "kind_text", "pids_text", "state_of"]


def as_json(segment: SegmentInfo) -> dict[str, Any]:
    """All that is known of it, in JSON's types."""
    facts = dataclasses.asdict(segment)
    facts["path"] = str(segment.path)
    facts["leftover"] = segment.leftover
    facts["pids"] = segment.pids
    return facts


def pids_text(pids: list[int] | tuple[int, ...], most: int = 4) -> str:
    """The first few of them."""
    text = ", ".join(map(str, pids[:most]))
    return text if len(pids) <= most else f"{text} and {len(pids) - most} more"


def state_of(segment: SegmentInfo, pid: int) -> str | None:
    """What the process does now, if that is known."""
    return next((person.state for person in segment.participants if person.pid == pid and person.alive), None)


def attached_text(segment: SegmentInfo) -> Piece:
    """Who has it open."""
    if segment.attached is None:
        return ("unknown", "dim")
    if not segment.attached:
        return ("nobody: leftover", "warning") if segment.leftover else ("nobody", "dim")
    stopped = [pid for pid in segment.pids if state_of(segment, pid) == "stopped"]
    others = [pid for pid in segment.pids if pid not in stopped]
    words = [f"{pid} stopped" for pid in stopped[:3]]
    if others:
        words.append(pids_text(others))
    if not words:
        return ("yes, by whom is not known", "")
    return (", ".join(words), "warning" if stopped else "")


def kind_text(segment: SegmentInfo) -> Piece:
    """Its kind, or why that is not known."""
    if segment.condition == "other version":
        return (f"(layout {segment.layout_version})", "warning")
    if segment.condition == "foreign":
        return ("(no segment)", "dim")
    if segment.condition != "sound":
        return (f"({segment.condition})", "bad")
    return (segment.kind or "", "")
