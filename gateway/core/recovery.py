"""The decision whether a returning socket resumes its session or is told that it is lost. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.core.history import Log, StreamPosition
from gateway.core.stays import Stay
from publisher.offsets import SEQ_PER_S, Offset
from publisher.rooms import Room


class Session(NamedTuple):
    """A session as Redis had it when a returning socket claimed it."""

    user_id: str
    sid: str
    generation: int
    opened_at: int
    seen_until: int
    """Seq up to which the old socket certainly got every event for it."""
    rooms: dict[Room, int]
    """Each room with the seq at which it was joined, without rooms that were revoked since."""
    taken: tuple[Stay, ...]
    """The stays in rooms that were revoked since they were joined; the client may not know it yet."""
    ended: bool
    """True if the user was disconnected for good after the session was opened."""
    holed: bool
    """True if an event for the session's socket is gone."""
    lost: str
    """Why the session before this one was lost; the client may not know it yet. Empty if none was lost."""
    stays: tuple[Stay, ...] = ()
    """The old socket's last stays in rooms that it has left."""
    removed: tuple[tuple[Room, int], ...] = ()
    """Rooms that were taken from the old socket, each with the seq of that moment."""


class Wanted(NamedTuple):
    """The claim of a returning client. `offset` is None if the client sent none, or if it sent `nonsense`."""

    pid: str
    offset: Offset | None
    nonsense: bool


class Decision(NamedTuple):
    """A returning socket resumes its session, or starts without it for a reason."""

    reason: str
    """Why the session is lost, as the client is told; empty if the socket resumes it."""
    keeps_rooms: bool = False
    """Whether the socket begins a new session in the rooms of the lost one."""


RESUME: Final = Decision("")


def decide(
    wanted: Wanted, user_id: str, session: Session | None, position: StreamPosition, window_s: float
) -> Decision:
    """Return whether a claimed session may be resumed at the wanted offset, before its logs are read.

    `position` is the tenant's at the claim. An offset above it, or of another epoch, is not of this history.
    """
    offset = wanted.offset
    other_epoch = offset is not None and offset.epoch != position.epoch
    if session is None:
        if other_epoch:
            return Decision("epoch")
        old = offset is not None and position.seq - offset.seq > window_s * SEQ_PER_S
        return Decision("expired" if old else "unknown")
    if session.user_id != user_id:
        return Decision("identity")
    if session.ended:
        return Decision("unknown")
    if session.holed:
        return Decision("trimmed", keeps_rooms=True)
    if other_epoch:
        return Decision("epoch", keeps_rooms=True)
    if wanted.nonsense or (offset is not None and offset.seq > position.seq):
        return Decision("unknown", keeps_rooms=True)
    if session.lost and (offset is None or offset.seq < session.opened_at):
        # The old socket ended before the client heard that an earlier session was lost.
        return Decision(session.lost, keeps_rooms=True)
    return RESUME


def removed_since(session: Session, after: int) -> list[Room]:
    """Return the rooms that were taken from the session's socket after a seq, and in which it is not again.

    A client that saw nothing behind that seq may not know of it: its connection may have been dead already.
    """
    return [room for room, seq in session.removed if seq > after and room not in session.rooms]


def decide_again(claimed: str, read: str, logs: Iterable[Log]) -> Decision:
    """Return whether the logs hold all missed events; `claimed` and `read` are the epochs at claim and read."""
    if read != claimed:
        return Decision("epoch", keeps_rooms=True)
    if not all(log.complete for log in logs):
        return Decision("trimmed", keeps_rooms=True)
    return RESUME
