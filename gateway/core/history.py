"""A room's history, and whether it reaches back far enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from publisher.offsets import SEQ_PER_S

# Largest difference between two servers' clocks that does no harm, as a difference of seqs.
MARGIN = 5 * SEQ_PER_S
# No limit: more bytes than Redis can hold in one value.
ANY_SIZE = 1 << 40


class Entry(NamedTuple):
    """One event in a room's log."""

    seq: int
    previous: int
    """Seq of the event before it in this room; 0 if none was kept when it was published."""
    body: bytes
    rooms: tuple[str, ...] = ()
    """All rooms of the event if it has several, else empty."""
    skip_sid: bytes = b"-"
    conflate: bytes = b""
    """Conflation key: a later event with the same key replaces this one. Empty for none."""


class Log(NamedTuple):
    """The entries that were read from one room's log: the newest ones after a seq, oldest first."""

    after: int
    entries: tuple[Entry, ...]
    until: int
    """Seq of the moment of the read: events that were published later have a higher one."""
    complete: bool
    """False if events between `after` and the first entry may be gone: trimmed, expired, lost or too large."""
    tail: int = 0
    """Seq of the room's newest event; 0 if that event has expired."""
    horizon: int = 0
    """Seq from which on no event has expired, even if another server's clock is ahead."""

    def lacks(self, seq: int) -> bool:
        """Return whether Redis has lost the event with this seq, the newest one of the room that we had.

        A server that takes over from a dead master may lack the last events that the master acknowledged. The next
        event then names an older one before it; a conflated event that replaced another does so in any case.
        `after` may be above `seq`, because the old master answered that there was nothing newer.
        """
        if seq <= self.horizon:
            return False
        first = self.entries[0] if self.entries and self.after >= seq else None
        return self.tail < seq or (first is not None and not first.conflate and first.previous < seq)


class Brief(NamedTuple):
    """A shorter time for older events: those up to the seq `until` may have been kept for only `ttl_s` seconds."""

    until: int
    ttl_s: float


class StreamPosition(NamedTuple):
    """A moment in a tenant's history: its epoch, and its newest seq at that moment."""

    epoch: str
    seq: int


class Retention(NamedTuple):
    """The amount of history by the settings. Entries beyond it do not count, even if Redis still has them."""

    size: int
    """Most events of a room."""
    ttl_s: float
    max_event_bytes: int = ANY_SIZE
    """Bytes of the largest body that a socket can get; a larger event counts as gone."""
    window_s: float = 0.0
    """Seconds for which all events of a room are kept, up to `size` of them."""
    beyond: int | None = None
    """Most events of a room that are kept for longer than `window_s`; None for `size`."""
    max_bytes: int = ANY_SIZE
    """Most bytes of events of a room."""
    briefs: tuple[Brief, ...] = ()
    """Shorter times than `ttl_s`, because another gateway has, or had, other settings."""

    def oldest(self, moment: int) -> int:
        """Return the seq from which on no event can have expired at a moment, which is a seq, too."""
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
    """Decide which entries of a room's log count, and whether the reader misses events before them.

    `entries` are the newest ones after `after`, oldest first, at most one more than `kept.size`. `tail` is the seq
    of the room's newest event, or 0 if that has expired. `now` is Redis' time in microseconds. The reader has all
    events up to `sure`, even if `after` is lower, because it was up to date after the last event it saw. It would
    have heard of any event up to `heard`. This counts for a log that expired in silence; but if an entry names an
    event before it that the reader has not seen, the entry is right.

    An entry that is too large for any socket is a gap, too: only later entries count. Each entry names the one
    before it, so a gap shows. An entry that names none was published after a silence of at least the time that a
    log is kept; `kept.briefs` may shorten that time.
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
    """Return the entries behind the last one that is too large; all entries if none is."""
    for i in range(len(entries) - 1, -1, -1):
        if len(entries[i].body) > max_bytes:
            return entries[i + 1 :]
    return entries
