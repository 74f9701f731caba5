"""The records: what was published, and what one page saw, in its order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Event(NamedTuple):
    """One event as Redis has it. `rooms` are those of its tenant; `skip_sid` and `conflate` are empty for none."""

    tenant: str
    seq: int
    rooms: frozenset[str]
    name: str
    ident: str
    """What its publisher numbered it with, empty where an event has no number."""
    skip_sid: str = ""
    conflate: str = ""
    about: str = ""
    """The message that a status is about."""
    rank: int = 0
    """How far a status, or a version, has come: one that comes later is never lower."""


class Opened(NamedTuple):
    """`connect`: the client has a sid, and says whether it recovered."""

    at: float
    sid: str
    recovered: bool
    pid: str = ""


class Greeted(NamedTuple):
    """`connected`: where the page stands."""

    at: float
    recovered: bool
    reason: str
    offset: str


class Gone(NamedTuple):
    """`disconnect`: what was asked and not answered may have been done or not."""

    at: float
    reason: str


class Asked(NamedTuple):
    """A join or a leave went out. `since` is an offset, or empty; `history` a number of events."""

    at: float
    number: int
    verb: str
    room: str
    since: str = ""
    history: int = 0


class Shown(NamedTuple):
    """One event in the answer to a join."""

    offset: str
    ident: str


class Answered(NamedTuple):
    """What came of it; `code` is empty for yes. The rest belongs to a join."""

    at: float
    number: int
    code: str = ""
    offset: str = ""
    events: tuple[Shown, ...] = ()
    complete: bool = True


class Got(NamedTuple):
    """An event came live, or was replayed by a recovery."""

    at: float
    offset: str
    ident: str


class Closed(NamedTuple):
    """The tab was closed: it is owed nothing any more."""

    at: float


Entry = Opened | Greeted | Gone | Asked | Answered | Got | Closed


@dataclass(slots=True)
class Diary:
    """All that a page saw."""

    name: str
    tenant: str
    own: tuple[str, ...]
    """The rooms that it is in by itself."""
    window_s: float = 0.0
    """How long it may be away and be recovered."""
    entries: list[Entry] = field(default_factory=list)


def seq_of(offset: str) -> int:
    """Return an offset's seq: it grows also from one epoch to the next."""
    return int(offset.rpartition("-")[2])
