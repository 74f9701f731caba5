"""The checker: from what was acknowledged and what a client wrote down to what the client is owed. Pure.

A client is owed every acknowledged event for one of its rooms that was published above the seq which the answer
to its join (for its own two rooms: `connected`) names, once, in the order of the seqs. Where it was told that
its history is gone (`recovered: false`), what came after the last event that it got is forgiven, and its rooms
begin anew. What it must never get: an event of a room that it is not in, of another tenant, of a time before
its join or behind the answer to its leave, or one that it was left out of by `skip_sid`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

OPEN = 1 << 62


@dataclass(slots=True)
class Published:
    """One event that a publisher acknowledged; `rooms` are named `<tenant>/<room>`.

    `offset` is None for one that was queued, unless Redis or a client has shown it. `at` is when the call began.
    """

    ident: str
    rooms: tuple[str, ...]
    at: float
    offset: str | None
    skip_sid: str | None = None
    is_owed: bool = True
    """False for one that Redis has lost again: who got it has it, nobody misses it."""
    conflate: str | None = None
    """A key of which only the latest counts: who got a later one is not owed this one."""


class Connected(NamedTuple):
    """`connected`, and where the client stands from then on."""

    sid: str
    recovered: bool
    reason: str | None
    offset: str
    at: float
    rooms: tuple[str, ...]
    """The rooms that every socket of this user is in."""


class Joined(NamedTuple):
    """The answer to a join."""

    room: str
    offset: str
    at: float


class Asked(NamedTuple):
    """A join whose answer was lost with the connection: it may have been done or not."""

    room: str


class Left(NamedTuple):
    """The client has asked to leave: from here on it is owed nothing of this room."""

    room: str


class Out(NamedTuple):
    """The leave was answered: of what is published from here on, it may get nothing of this room."""

    room: str
    at: float


class Taken(NamedTuple):
    """The room was taken from the client, maybe while it was away: of this room it is owed nothing behind that."""

    room: str


class Got(NamedTuple):
    """A published event, as it came."""

    ident: str
    offset: str
    at: float


Entry = Connected | Joined | Asked | Left | Out | Taken | Got


@dataclass(slots=True)
class Diary:
    """All that a client saw, over all its connections, in order.

    `ended` says that it does not mean to come back: it is owed nothing behind the last event it got. `ahead_s` is
    by how much its clock is ahead of that of `Published.at`.
    """

    name: str
    entries: list[Entry] = field(default_factory=list)
    ended: bool = False
    ahead_s: float = 0.0


@dataclass(slots=True)
class Verdict:
    """What is wrong, one line for each; all lists are empty when nothing is."""

    owed: int = 0
    told: int = 0
    recovered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """Events that were not for this client, or not what was published."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong; being told is not wrong."""
        return not (self.lost or self.twice or self.disordered or self.strange)

    def add(self, other: Verdict) -> None:
        """Take another client's verdict in."""
        self.owed += other.owed
        self.told += other.told
        self.recovered += other.recovered
        self.reasons += other.reasons
        self.lost += other.lost
        self.twice += other.twice
        self.disordered += other.disordered
        self.strange += other.strange

    def findings(self, most: int = 5) -> list[str]:
        """Show some of what is wrong."""
        kinds = {"lost": self.lost, "twice": self.twice, "disordered": self.disordered, "strange": self.strange}
        return [f"{kind}: {line}" for kind, lines in kinds.items() for line in lines[:most]]


@dataclass(slots=True)
class Stay:
    """A time in a room: above `since`, up to and including `until`."""

    since: int
    since_at: float
    until: int = OPEN
    until_at: float = float("inf")

    def has(self, event: Published, seq: int | None) -> bool:
        """Return whether the event falls into it; one that nobody has seen is judged by the clock."""
        if seq is None:
            return self.since_at < event.at < self.until_at
        return self.since < seq <= self.until


def seq_of(offset: str) -> int:
    """Return an offset's seq: it grows also from one epoch to the next."""
    return int(offset.partition("-")[2])


def judge(published: Iterable[Published], diaries: Sequence[Diary]) -> Verdict:
    """Judge all clients, and the order in which each publisher's events were published."""
    events = {event.ident: event for event in published}
    _learn_offsets(events, diaries)
    verdict = Verdict(disordered=_out_of_turn(events.values()))
    for diary in diaries:
        verdict.add(judge_one(events, diary))
    return verdict


def judge_one(events: Mapping[str, Published], diary: Diary) -> Verdict:
    """Judge one client."""
    reader = _Reader(events, diary)
    for entry in diary.entries:
        reader.read(entry)
    reader.finish()
    return reader.verdict


class _Reader:
    """Reads a diary from its beginning to its end."""

    def __init__(self, events: Mapping[str, Published], diary: Diary) -> None:
        self.verdict = Verdict()
        self._events = events
        self._diary = diary
        self._stays: dict[str, list[Stay]] = {}
        self._may: dict[str, int] = {}
        """Rooms of which it may get something, each with the seq from which on."""
        self._out: dict[str, float] = {}
        """Rooms that it has left, each with the moment at which it knew."""
        self._got: dict[str, int] = {}
        self._states: dict[tuple[str, str], int] = {}
        """The seq of the latest conflated event that came, by its tenant and key."""
        self._last = 0
        """The highest seq that the client has seen."""
        self._last_at = 0.0
        self._sids: set[str] = set()
        self._connected = False

    def read(self, entry: Entry) -> None:
        if isinstance(entry, Got):
            self._take(entry)
        elif isinstance(entry, Connected):
            self._connect(entry)
        elif isinstance(entry, Joined):
            self._enter(entry.room, seq_of(entry.offset), entry.at)
        elif isinstance(entry, Asked):
            self._out.pop(entry.room, None)
            self._may.setdefault(entry.room, self._last)
        elif isinstance(entry, Out):
            self._out[entry.room] = entry.at - self._diary.ahead_s
        elif isinstance(entry, Taken):
            self._lose_room(entry.room)
        else:
            self._leave(entry.room)

    def _connect(self, entry: Connected) -> None:
        self._sids.add(entry.sid)
        seq = seq_of(entry.offset)
        if entry.recovered:
            self.verdict.recovered += 1
        else:
            if self._connected:
                self.verdict.told += 1
                self.verdict.reasons[entry.reason or "none given"] += 1
            for room in self._stays:
                # What it was in, a replica may have kept for it.
                self._leave(room)
            for room in entry.rooms:
                self._enter(room, seq, entry.at)
        self._connected = True
        self._last, self._last_at = max(self._last, seq), entry.at

    def _enter(self, room: str, seq: int, at: float) -> None:
        self._out.pop(room, None)
        stays = self._stays.setdefault(room, [])
        if not stays or stays[-1].until != OPEN:
            stays.append(Stay(seq, at))
        self._may.setdefault(room, seq)

    def _leave(self, room: str) -> None:
        for stay in self._stays[room]:
            if stay.until == OPEN:
                stay.until, stay.until_at = max(self._last, stay.since), self._last_at

    def _lose_room(self, room: str) -> None:
        here = {ident for ident, event in self._events.items() if event.rooms == (room,)}
        got = [seq for ident, seq in self._got.items() if ident in here]
        # The last stay, even if the client has left by itself in the moment before it heard of it.
        for stay in self._stays.get(room, ())[-1:]:
            until = max([stay.since, *got])
            if until < stay.until:
                stay.until, stay.until_at = until, stay.since_at

    def _take(self, entry: Got) -> None:
        name, seq = self._diary.name, seq_of(entry.offset)
        event = self._events.get(entry.ident)
        if entry.ident in self._got:
            self.verdict.twice.append(f"{name} got {entry.ident} again at {entry.offset}")
            return
        self._got[entry.ident] = seq
        if seq <= self._last:
            self.verdict.disordered.append(f"{name} got {entry.ident} at {entry.offset}, after {self._last}")
        self._last, self._last_at = max(self._last, seq), entry.at
        if event is not None and event.conflate is not None:
            self._states[_key_of(event)] = seq
        if event is None:
            self.verdict.strange.append(f"{name} got {entry.ident}, which nobody published")
        elif event.offset != entry.offset:
            self.verdict.strange.append(f"{name} got {entry.ident} at {entry.offset}, not {event.offset}")
        elif event.skip_sid in self._sids:
            self.verdict.strange.append(f"{name} got {entry.ident}, which it was left out of")
        elif not (may := [room for room in event.rooms if room in self._may and self._may[room] < seq]):
            rooms = {room: self._may.get(room) for room in event.rooms}
            self.verdict.strange.append(f"{name} got {entry.ident} at {entry.offset}, in {rooms} only from there")
        elif all(self._out.get(room, event.at) < event.at for room in may):
            left = {room: self._out[room] for room in may}
            self.verdict.strange.append(f"{name} got {entry.ident} of {event.at}, and was out: {left}")

    def finish(self) -> None:
        if self._diary.ended:
            for room in self._stays:
                self._leave(room)
        for event in self._events.values():
            if not event.is_owed or event.skip_sid in self._sids or not self._is_due(event):
                continue
            self.verdict.owed += 1
            if event.ident not in self._got and not self._got_later(event):
                where = f"{event.ident} at {event.offset} of {event.rooms}"
                self.verdict.lost.append(f"{self._diary.name} never got {where}, {self._around(event)}")

    def _around(self, event: Published) -> str:
        """Say what the client saw before and after the moment at which an event was missing."""
        seq = 0 if event.offset is None else seq_of(event.offset)
        before = [e for e in self._diary.entries if isinstance(e, Connected | Got) and seq_of(e.offset) < seq][-2:]
        after = [e for e in self._diary.entries if isinstance(e, Connected | Got) and seq_of(e.offset) > seq][:2]
        return f"published at {event.at:.3f}, between {before} and {after}"

    def _got_later(self, event: Published) -> bool:
        """Return whether a later state came, of which this event is an earlier one."""
        if event.conflate is None or event.offset is None:
            return False
        key, seq = _key_of(event), seq_of(event.offset)
        if self._states.get(key, 0) > seq:
            return True
        # Of what a client has missed it gets the latest state alone, in its place: this one ended before.
        return self._diary.ended and any(self._waits(later, key) for later in self._events.values())

    def _waits(self, event: Published, key: tuple[str, str]) -> bool:
        """Return whether an event is a state of a key, and behind the last that came of the client's rooms."""
        if event.conflate is None or event.offset is None or _key_of(event) != key:
            return False
        return seq_of(event.offset) > self._last and any(room in self._stays for room in event.rooms)

    def _is_due(self, event: Published) -> bool:
        seq = None if event.offset is None else seq_of(event.offset)
        return any(stay.has(event, seq) for room in event.rooms for stay in self._stays.get(room, ()))


def _key_of(event: Published) -> tuple[str, str]:
    """Return what says of which state an event is one: its tenant, and its key."""
    return event.rooms[0].partition("/")[0], event.conflate or ""


def _learn_offsets(events: Mapping[str, Published], diaries: Iterable[Diary]) -> None:
    """Fill in the offsets of events that were queued from the first client that got them."""
    for diary in diaries:
        for entry in diary.entries:
            if isinstance(entry, Got) and (event := events.get(entry.ident)) is not None:
                event.offset = event.offset or entry.offset


def _out_of_turn(events: Iterable[Published]) -> list[str]:
    """Find what a publisher published in another order than it was asked to; its idents are `<name>-<n>`."""
    found = []
    last: dict[tuple[str, str], tuple[int, str]] = {}
    for event in sorted(events, key=lambda event: int(event.ident.rpartition("-")[2])):
        if event.offset is None:
            continue
        publisher = (event.ident.rpartition("-")[0], event.rooms[0].partition("/")[0])
        seq = seq_of(event.offset)
        before, ident = last.get(publisher, (0, ""))
        if seq <= before:
            found.append(f"{event.ident} was published before {ident}")
        last[publisher] = (seq, event.ident)
    return found
