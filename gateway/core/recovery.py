"""The decision whether a returning socket goes on with its session or is told its loss. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.core.history import Log, StreamPosition
from gateway.core.model import Stay
from publisher.offsets import SEQ_PER_S, Offset
from publisher.rooms import Room


class Session(NamedTuple):
    """A session as it was claimed."""

    user_id: str
    sid: str
    generation: int
    opened_at: int
    seen_until: int
    """Seq up to which its socket certainly got everything that was for it."""
    rooms: dict[Room, int]
    """Each room with the seq at which it was joined; what was taken away since is not among them."""
    taken: tuple[Room, ...]
    """What was taken away since, which its socket may not have heard."""
    ended: bool
    """True when the user was disconnected for good since it was opened."""
    holed: bool
    """True when something that was for its socket is gone."""
    lost: str
    """Why the session before it was lost, which its socket may not have heard yet; empty where none was."""
    stays: tuple[Stay, ...] = ()
    """Its socket's last stays in rooms that it has left."""


class Wanted(NamedTuple):
    """The claim of a returning client. `offset` is None if it never got one, or if it is `nonsense`."""

    pid: str
    offset: Offset | None
    nonsense: bool


class Decision(NamedTuple):
    """The outcome of a recovery."""

    reason: str
    """Why the session is lost, in the client's words; empty if the socket goes on with it."""
    keeps_rooms: bool = False
    """Whether the socket begins a new session in the rooms of the lost one."""


RESUME: Final = Decision("")


def decide(
    wanted: Wanted, user_id: str, session: Session | None, position: StreamPosition, window_s: float
) -> Decision:
    """Return whether a claimed session may be resumed at the wanted offset, before its logs are read.

    `position` is the tenant's at the claim. An offset above it, or of another epoch, is none of this history.
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
        # Its last socket went before it heard what had become of the session before.
        return Decision(session.lost, keeps_rooms=True)
    return RESUME


def decide_again(claimed: str, read: str, logs: Iterable[Log]) -> Decision:
    """Return whether what was read is all that was missed; `claimed` and `read` are the epochs of both moments."""
    if read != claimed:
        return Decision("epoch", keeps_rooms=True)
    if not all(log.complete for log in logs):
        return Decision("trimmed", keeps_rooms=True)
    return RESUME
