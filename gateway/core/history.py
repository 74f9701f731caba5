"""A room's history, and whether it reaches back far enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from publisher.offsets import SEQ_PER_S

# By how much two servers' clocks may be apart.
MARGIN = 5 * SEQ_PER_S
# More than Redis can hold in one value.
ANY_SIZE = 1 << 40


class Entry(NamedTuple):
    """One event as a room's log keeps it."""

    seq: int
    previous: int
    """Seq of the event before it in this room; 0 where none was kept when it was published."""
    body: bytes
    rooms: tuple[str, ...] = ()
    """All its rooms, where they were several."""
    skip_sid: bytes = b"-"
    conflate: bytes = b""
    """Key under which a later event takes this one's place; empty for none."""


class Log(NamedTuple):
    """The log that was read of one room: the newest entries after a seq, oldest first."""

    after: int
    entries: tuple[Entry, ...]
    until: int
    """Seq of the moment of the read: what is not in it and not before `after` was published later."""
    complete: bool
    """False when something between `after` and the first entry is gone: trimmed, expired or lost."""
    tail: int = 0
    """Seq of the room's newest event, 0 where that has expired."""
    horizon: int = 0
    """Seq from which on nothing has expired, by whichever server's clock."""

    def lacks(self, seq: int) -> bool:
        """Return whether Redis has lost the event of this seq, the room's newest that we had from it.

        A replica that takes over from a master that died may not have got the last that this had acknowledged.
        What came afterwards names an event before it that is older; one that took another's place does so anyway.
        It may have been read from a moment on at which that master still answered that there was nothing new.
        """
        if seq <= self.horizon:
            return False
        first = self.entries[0] if self.entries and self.after >= seq else None
        return self.tail < seq or (first is not None and not first.conflate and first.previous < seq)


class Brief(NamedTuple):
    """Events up to a seq may have been kept for less than later ones."""

    until: int
    ttl_s: float


class StreamPosition(NamedTuple):
    """A moment in a tenant's history: its epoch, and its newest seq by then."""

    epoch: str
    seq: int


class Retention(NamedTuple):
    """The amount of history by the settings. Entries beyond it, which Redis may still have, do not count."""

    size: int
    """Events a room, at most."""
    ttl_s: float
    max_event_bytes: int = ANY_SIZE
    """Body of the largest event that a socket can be given; what is larger counts as gone."""
    window_s: float = 0.0
    """How long all events of a room are kept, up to its size."""
    beyond: int | None = None
    """Events a room that are kept for longer than that; None for as many as its size is."""
    max_bytes: int = ANY_SIZE
    """Bytes of events a room, at most."""
    briefs: tuple[Brief, ...] = ()
    """What is kept for less than by the settings: another gateway has others, or had."""

    def oldest(self, moment: int) -> int:
        """Return the seq from which on nothing can have expired by a moment."""
        since = [min(until, moment - int(ttl_s * SEQ_PER_S)) for until, ttl_s in self.briefs]
        return max([moment - int(self.ttl_s * SEQ_PER_S), *since])


def judge(
    after: int,
    entries: Sequence[Entry],
    tail: int,
    now: int,
    kept: Retention,
    *,
    until: int = 0,
    sure: int = 0,
    heard: int = 0,
) -> Log:
    """Decide what a read of a room's log is worth.

    `entries` are the newest ones after `after`, oldest first, at most one more than `kept.size`; `tail` is
    the seq of the room's newest event or 0 where that has expired; `now` is Redis' clock in microseconds.
    `sure` is a seq up to which nothing is missing, whatever `after` says: a reader that was known to be
    there, and to have everything, later than the last event it saw. `heard` is a seq up to which the reader
    would have heard of any event: it vouches for a log that has expired in silence, but where an entry names
    one before it that was never seen, it is the entry that is believed.

    An entry that is too large to be given to anybody is a hole as well: only what came after it counts.
    Each entry names the one before it, so a hole shows; an entry that names none was published after a
    silence of at least the time that a log is kept, `kept.briefs` being heeded.
    """
    horizon = now - int(kept.ttl_s * SEQ_PER_S)
    fresh = [entry for entry in entries if entry.seq >= horizon][-kept.size :] if kept.size else []
    fresh = _after_oversized(fresh, kept.max_event_bytes)
    known = max(after, sure)
    quiet = max(known, heard)
    if fresh:
        first = fresh[0]
        complete = 0 < first.previous <= known or (first.previous == 0 and quiet >= kept.oldest(first.seq))
    else:
        complete = tail <= known if tail else quiet >= kept.oldest(now)
    return Log(after, tuple(fresh), until, complete, tail, kept.oldest(now + MARGIN))


def _after_oversized(entries: list[Entry], max_bytes: int) -> list[Entry]:
    """Return the entries behind the last one that is too large, all of them where none is."""
    for i in range(len(entries) - 1, -1, -1):
        if len(entries[i].body) > max_bytes:
            return entries[i + 1 :]
    return entries
