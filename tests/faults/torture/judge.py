"""From what was published and what a page saw to what the gateway did wrong. Pure.

**Owed**, once and in order, is every event of a room

- that the page is in by itself, above the offset of a `connected` that did not recover;
- that it joined, above the offset in the answer, or above its `since` where the answer says `complete`;

until it asks to leave (up to the highest offset that it had seen by then), until it connects without recovering
(likewise), or for good. A drop and a recovery change nothing. Of events with one conflation key a later one stands
in for those before it.

**Allowed** is more than is owed: a join or a leave that failed, or whose answer was lost, may have been done, and
what a page was in a replica may keep for it. Everything else is a finding.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from publisher.offsets import SEQ_PER_S
from tests.faults.torture.ledger import (
    Answered,
    Asked,
    Closed,
    Diary,
    Entry,
    Event,
    Gone,
    Got,
    Greeted,
    Opened,
    seq_of,
)
from tests.faults.torture.outages import Span
from tests.faults.torture.verdict import Finding, Verdict

OPEN = 1 << 62
# Answers to a join that say nothing about what it may see.
PASSING = ("unavailable", "rate_limited")


@dataclass(slots=True)
class Stay:
    """A time in a room: the page is owed what is above `after`, up to and including `until`.

    Of what follows up to `untold` it was told that it may be missing, or nobody is there any more to miss it: what
    stands in there for a conflated event of this time would have come, had it come back.
    """

    after: int
    until: int = OPEN
    untold: int = 0


@dataclass(slots=True)
class Membership:
    """A page's rooms, one by one. `stay` is the time in it that goes on, None where it is not certainly in it."""

    stay: Stay | None = None
    is_possible: bool = False
    stays: list[Stay] = field(default_factory=list)

    def enter(self, after: int) -> None:
        """Be in it for certain."""
        self.is_possible = True
        if self.stay is None:
            self.stay = Stay(after)
            self.stays.append(self.stay)

    def close(self, until: int) -> None:
        """Be in it perhaps."""
        if self.stay is not None:
            self.stay.until = max(until, self.stay.after)
            self.stay = None


class Truth:
    """What was published, and when Redis may have forgotten sessions, as the judge looks things up in it."""

    def __init__(self, events: Mapping[tuple[str, int], Event], forgetful: Sequence[Span] = ()) -> None:
        self.events = events
        self._forgetful = forgetful
        self._rooms: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._tenants: dict[int, list[str]] = defaultdict(list)
        self._conflated: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for tenant, seq in sorted(events, key=lambda key: key[1]):
            self._tenants[seq].append(tenant)
            for room in events[tenant, seq].rooms:
                self._rooms[tenant, room].append(seq)
                self._conflated[tenant, room, events[tenant, seq].conflate].append(seq)

    def owners(self, seq: int) -> list[str]:
        """Return the tenants that have an event of this seq."""
        return self._tenants.get(seq, [])

    def stands_for(self, event: Event, room: str, stay: Stay) -> bool:
        """Return whether a later event of its key is in what follows a stay in that room."""
        seqs = self._conflated[event.tenant, room, event.conflate]
        return bisect_right(seqs, max(stay.until, event.seq)) < bisect_right(seqs, stay.untold)

    def may_forget(self, start: float, end: float) -> bool:
        """Return whether a session may have run out in Redis that was needed at some moment between these."""
        return any(first <= end and start <= last for first, last in self._forgetful)

    def within(self, tenant: str, room: str, stay: Stay) -> Sequence[int]:
        """Return the seqs of a room's events during a stay."""
        seqs = self._rooms.get((tenant, room), [])
        return seqs[bisect_right(seqs, stay.after) : bisect_right(seqs, stay.until)]


def judge(truth: Truth, diary: Diary) -> Verdict:
    """Judge what one page saw."""
    reader = _Reader(truth, diary)
    for entry in diary.entries:
        reader.read(entry)
    reader.finish()
    return reader.verdict


class _Reader:
    """Reads a diary from its beginning to its end."""

    def __init__(self, truth: Truth, diary: Diary) -> None:
        self.verdict = Verdict()
        self._truth = truth
        self._diary = diary
        self._rooms: dict[str, Membership] = defaultdict(Membership)
        self._asked: dict[int, Asked] = {}
        self._last = 0
        """The highest seq of what came live and of `connected`. An answer's is about its room alone."""
        self._life = 0
        self._sid = ""
        self._is_greeted = False
        self._heard_at = 0.0
        """When something came from the server."""
        self._sent = 0
        """The seq of what came then, if it was an event."""
        self._sids: set[str] = set()
        self._live: dict[int, tuple[int, frozenset[str]]] = {}
        """What came live: in which life, and of its rooms those that the page may have been in."""
        self._shown: dict[int, int] = {}
        """What answers to joins showed: seq and the latest life."""
        self._ranks: dict[str, int] = {}
        self._untold: list[Stay] = []
        """Stays that were over when the page connected without recovering, until `connected` tells where it is."""
        self._is_closed = False

    def read(self, entry: Entry) -> None:
        """Take one entry in."""
        self._take_in(entry)
        if not isinstance(entry, Gone | Asked | Closed | Opened):
            self._heard_at = entry.at
            self._sent = seq_of(entry.offset) if isinstance(entry, Got) else 0

    def _take_in(self, entry: Entry) -> None:
        match entry:
            case Got():
                self._take(entry)
            case Asked():
                self._ask(entry)
            case Answered():
                self._answer(entry)
            case Opened():
                self._open(entry)
            case Greeted():
                self._greet(entry)
            case Gone():
                self._drop()
                self.verdict.counts["drops"] += self._is_greeted
                self._is_greeted = False
            case Closed():
                self._is_closed = True

    def _find(self, kind: str, seq: int, text: str) -> None:
        self.verdict.findings.append(Finding(kind, self._diary.name, seq, text))

    # -- connections

    def _drop(self) -> None:
        """What was asked may have been done, behind a leave that was answered, too."""
        for asked in self._asked.values():
            self._rooms[asked.room].is_possible = True
        self._asked.clear()

    def _open(self, entry: Opened) -> None:
        self._drop()
        if entry.recovered:
            if entry.sid != self._sid:
                self._find("strange", self._last, f"recovered with another sid: {entry}")
        else:
            self._life += 1
            for membership in self._rooms.values():
                self._untold += [membership.stay] if membership.stay is not None else []
                membership.close(self._last)
        self._sid = entry.sid
        self._sids.add(entry.sid)

    def _greet(self, entry: Greeted) -> None:
        seq = seq_of(entry.offset)
        self._is_greeted = True
        if entry.recovered:
            self.verdict.counts["recovered"] += 1
        else:
            self.verdict.counts[f"told: {entry.reason}" if entry.reason else "new"] += 1
            self._doubt(entry)
            for stay in self._untold:
                stay.untold = seq
            self._untold.clear()
            for room in self._diary.own:
                self._rooms[room].enter(seq)
        self._last = max(self._last, seq)

    def _doubt(self, entry: Greeted) -> None:
        """Look whether there is a reason for what a page is told: Redis loses nothing here but what runs out."""
        away_s = entry.at - self._heard_at
        if self._sent:
            # What came over a slow network came late: the gateway may have given the page up long before.
            away_s = max(away_s, (seq_of(entry.offset) - self._sent) / SEQ_PER_S)
        hasty = entry.reason in ("expired", "unknown") and away_s < self._diary.window_s
        if hasty and self._truth.may_forget(self._heard_at, entry.at):
            self.verdict.counts["told: Redis was away for longer than sessions live"] += 1
        elif hasty or entry.reason in ("epoch", "identity"):
            self._find("strange", self._last, f"was told {entry.reason} after {away_s:.1f} s")

    # -- rooms

    def _ask(self, entry: Asked) -> None:
        self._asked[entry.number] = entry
        membership = self._rooms[entry.room]
        if entry.verb == "leave":
            membership.close(self._last)
        else:
            membership.is_possible = True

    def _answer(self, entry: Answered) -> None:
        asked = self._asked.pop(entry.number, None)
        if asked is None:
            return  # of a connection that is gone; the page does not believe it either
        self.verdict.counts[f"{asked.verb}: {entry.code or 'ok'}"] += 1
        membership = self._rooms[asked.room]
        if entry.code:
            if entry.code not in PASSING:
                self._find("strange", self._last, f"{asked} was refused: {entry.code}")
        elif asked.verb == "leave":
            # A join that went out behind it may be under way.
            membership.is_possible = any(other.room == asked.room for other in self._asked.values())
        else:
            self._join(asked, entry, membership)

    def _join(self, asked: Asked, entry: Answered, membership: Membership) -> None:
        at = seq_of(entry.offset)
        for shown in entry.events:
            self._show(asked, seq_of(shown.offset), shown.ident, at)
        after = at
        if asked.since and not entry.complete:
            self.verdict.counts["told: complete false"] += 1
        elif asked.since:
            after = min(at, seq_of(asked.since))
            self.verdict.counts["join since: complete"] += 1
        if membership.stay is None:
            membership.enter(after)
        elif after < at:
            membership.stays.append(Stay(after, at))

    # -- events

    def _show(self, asked: Asked, seq: int, ident: str, at: int) -> None:
        """Take in one event that an answer shows."""
        event = self._known(seq, ident)
        if event is None:
            return
        where = f"{event.ident or event.name} in the answer to {asked.room} since {asked.since or asked.history}"
        if asked.room not in event.rooms:
            self._find("foreign", seq, f"{where}: it is for {sorted(event.rooms)}")
        if event.skip_sid == self._sid:
            self._find("strange", seq, f"{where}: it was left out of it")
        if seq > at or (asked.since and seq <= seq_of(asked.since)):
            self._find("strange", seq, f"{where}: it is not between that and {at}")
        life, rooms = self._live.get(seq, (0, frozenset[str]()))
        if asked.since and life == self._life and asked.room not in rooms:
            self._find("twice", seq, f"{where}: it came live before, on the same sid, for {sorted(rooms)}")
        elif asked.since and (life == self._life or self._shown.get(seq) == self._life):
            self.verdict.again += 1
        self._shown[seq] = self._life

    def _take(self, entry: Got) -> None:
        """Take in one event that came by itself."""
        seq = seq_of(entry.offset)
        if seq in self._live:
            self._find("twice", seq, f"{entry.ident} came again")
        elif seq in self._shown:
            self._find("twice", seq, f"{entry.ident} came after an answer had shown it")
        elif seq <= self._last:
            self._find("disordered", seq, f"{entry.ident} came after {self._last}")
        self._last = max(self._last, seq)
        event = self._known(seq, entry.ident)
        rooms = frozenset(room for room in (event.rooms if event else ()) if self._rooms[room].is_possible)
        self._live[seq] = self._life, rooms
        if event is None:
            return
        if event.skip_sid == self._sid:
            self._find("strange", seq, f"{entry.ident} came, which it was left out of")
        if not rooms:
            self._find("foreign", seq, f"{entry.ident} came for {sorted(event.rooms)}, none of which it is in")
        if event.about:
            if event.rank < self._ranks.get(event.about, 0):
                self._find("backwards", seq, f"{event.about} fell back to {event.rank}")
            self._ranks[event.about] = max(self._ranks.get(event.about, 0), event.rank)

    def _known(self, seq: int, ident: str) -> Event | None:
        event = self._truth.events.get((self._diary.tenant, seq))
        if event is None:
            owners = self._truth.owners(seq)
            kind = "foreign" if owners else "strange"
            self._find(kind, seq, f"{ident or 'an event'} was published for {owners}")
        elif event.ident != ident:
            self._find("strange", seq, f"{ident} came in place of {event.ident}")
        return event

    # -- the end

    def finish(self) -> None:
        """Look for what is missing."""
        if self._is_closed:
            for membership in self._rooms.values():
                if membership.stay is not None:
                    membership.stay.untold = OPEN
                membership.close(self._last)
        seen = self._live.keys() | self._shown.keys()
        newest: dict[str, int] = {}
        for seq in seen:
            event = self._truth.events.get((self._diary.tenant, seq))
            if event is not None and event.conflate:
                newest[event.conflate] = max(newest.get(event.conflate, 0), seq)
        for seq, (room, stay) in sorted(self._owed().items()):
            event = self._truth.events[self._diary.tenant, seq]
            if event.skip_sid in self._sids:
                continue
            self.verdict.owed += 1
            if seq in seen or (event.conflate and newest.get(event.conflate, 0) > seq):
                continue
            if not event.conflate or not self._truth.stands_for(event, room, stay):
                self._find("lost", seq, f"{event.ident or event.name} of {sorted(event.rooms)}, owed for {room}")

    def _owed(self) -> dict[int, tuple[str, Stay]]:
        """Return the seqs that the page is owed, each with a room for which it is, and when it was there."""
        return {
            seq: (room, stay)
            for room, membership in self._rooms.items()
            for stay in membership.stays
            for seq in self._truth.within(self._diary.tenant, room, stay)
        }
