"""A member: one accepted socket, as the fan-out sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gateway.core.rooms import RoomState, Tenant
    from gateway.engine import Frame
    from publisher.rooms import Room


# Events that a corked member keeps: what a busy tenant publishes in the seconds that Redis may take.
MAX_CORK = 10_000


# For `Member.since`: a socket of which nobody can say what it got.
NEVER = 2**53


class Identity(NamedTuple):
    """Who a token says its bearer is, after every check."""

    user_id: str
    tenant: str
    role: str
    expires_at: float
    """Unix time in seconds at which the token ends."""
    issued_at: float = 0.0
    """Unix time in seconds at which it was issued, 0 where it does not say."""
    token_id: str = ""
    """Its `jti`, empty where it has none."""


class Corked(NamedTuple):
    """A frame that waits in a corked member."""

    seq: int
    frame: Frame


class Member:
    """One accepted socket.

    `last_seq` is the highest seq this socket was given: an event at or below it is not for it any more,
    which is what makes overlapping rooms and resyncs exact. It holds because everything of one tenant
    arrives in order on one connection.

    A corked member keeps what it is given until it is uncorked, so that an answer which needs Redis can
    still be sent ahead of the events that follow it.
    """

    __slots__ = (
        "cork",
        "denied_at",
        "expiry",
        "generation",
        "identity",
        "last_seq",
        "pid",
        "rooms",
        "sid",
        "since",
        "socket",
        "tenant",
        "typing",
        "warned_at",
    )

    def __init__(self, socket: Any, identity: Identity, tenant: Tenant, sid: str, pid: str) -> None:
        self.socket = socket
        self.identity = identity
        self.tenant = tenant
        self.sid = sid
        self.pid = pid
        self.generation = 1
        self.since = 0
        """Seq of its arrival."""
        self.last_seq = 0
        self.rooms: dict[RoomState, int] = {}
        """Rooms it is in, each with the seq at which it joined."""
        self.cork: list[Corked] | None = None
        self.warned_at = self.denied_at = -math.inf
        """Loop time at which it was last told that it sends too much, and at which a denial was last logged."""
        self.typing: dict[Room, float] | None = None
        """Conversations it types in, each with the loop time at which that was noted last."""
        self.expiry: Any = None
        """The timer that watches its token."""

    def keep(self, seq: int, frame: Frame) -> None:
        """Keep one event until the member is uncorked; too many mean that it is too slow for them."""
        assert self.cork is not None
        if len(self.cork) < MAX_CORK:
            self.cork.append(Corked(seq, frame))
        else:
            self.socket.close("slow")

    def take_cork(self) -> list[Corked]:
        """Give what has been kept so far and go on keeping."""
        kept, self.cork = self.cork or [], []
        return kept

    def uncork(self) -> None:
        """Send what was kept, in order, and go on without a cork."""
        kept, self.cork = self.cork or [], None
        if kept:
            self.socket.send_frames([corked.frame for corked in kept])
