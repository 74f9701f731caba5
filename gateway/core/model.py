"""The model: the tenants, rooms and members that this replica has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

from gateway.core.conflation import latest
from gateway.core.frames import Frame
from gateway.core.limits import LIMITS, Limits
from gateway.core.stays import Stay, latest_stays
from publisher import wire
from publisher.rooms import Room

# Values of `Member.since` above any seq. NEVER: which events the socket got stays unknown. LATER: it is unknown
# until a later renewal of the session. RENEWING: a renewal is under way, and no event came late since it began.
NEVER = 2**53
LATER = NEVER - 1
RENEWING = NEVER - 2


class Identity(NamedTuple):
    """The bearer of a token, after all checks."""

    user_id: str
    tenant: str
    role: str
    expires_at: float
    """Unix time in seconds at which the token ends."""
    issued_at: float = 0.0
    """Unix time in seconds at which the token was issued; 0 if it does not say."""
    token_id: str = ""
    """The token's `jti`; empty if it has none."""


class QueuedFrame(NamedTuple):
    """A frame that waits in a corked member. A later frame with the same conflation key replaces it."""

    seq: int
    frame: Frame
    key: bytes = b""


class MemberSocket(Protocol):
    """Port: the socket of a member; an engine socket."""

    sid: str
    closed: bool
    owner: object | None
    """An object that the layer above keeps with the socket."""

    @property
    def send_frame(self) -> Callable[[Frame], None]:
        """Send a frame to the client."""

    @property
    def buffered(self) -> int:
        """Bytes that were sent and that the client has not read yet."""

    @property
    def over(self) -> bool:
        """Return whether the client sends more than its rate allows."""

    @property
    def wait_s(self) -> float:
        """Seconds until the rate limit lets the client send again."""

    def send_frames(self, frames: Sequence[Frame], /) -> None:
        """Send frames in one write."""

    def spend(self, amount: float, /) -> None:
        """Take tokens from the rate of the client."""

    def close(self, reason: str = ..., code: int = ...) -> None:
        """End the session and its transport; earlier frames are still sent."""

    def mute(self) -> None:
        """Drop all later frames; the caller closes the socket soon."""


class Member:
    """One accepted socket.

    `last_seq` is the highest seq that was handled for this socket; the hub skips events at or below it. So an
    event of two rooms, or one that a resync reads again, is sent once. This is exact because all messages of a
    tenant arrive in order on one connection.

    A corked member queues its frames until it is uncorked. So an answer that needs Redis is sent ahead of the
    events that follow it. A paced member is corked, too, but only for conflated events: see
    `gateway.core.conflation`.
    """

    __slots__ = (
        "cork",
        "generation",
        "holds",
        "identity",
        "last_seq",
        "opened_at",
        "pace",
        "pid",
        "rooms",
        "sid",
        "since",
        "socket",
        "stays",
        "stays_from",
        "takes_statuses",
        "tenant",
    )

    def __init__(self, socket: MemberSocket, identity: Identity, tenant: Tenant, sid: str, pid: str) -> None:
        self.socket = socket
        self.identity = identity
        self.tenant = tenant
        self.sid = sid
        self.pid = pid
        self.takes_statuses = False
        """Whether the client takes several changes of presence in one event."""
        self.generation = 1
        self.opened_at = 0
        """Seq at which the session was opened."""
        self.since = LATER
        """Seq since which every event for this socket was handed to its transport at once."""
        self.last_seq = 0
        self.rooms: dict[RoomState, int] = {}
        """The member's rooms, each with the seq at which it joined."""
        self.stays: list[Stay] | None = None
        """The last stays in rooms that the member has left, oldest first."""
        self.stays_from = 0
        """Seq up to which stays may be forgotten."""
        self.holds = 0
        """Number of answers and changes for which the member is corked."""
        self.cork: list[QueuedFrame] | None = None
        self.pace: object | None = None
        """Object that members with the same pace share; None while not paced, or while corked for an answer."""

    def hold(self) -> None:
        """Cork the member for an answer. A pace ends with that, and its waiting frames are sent.

        Each call of `hold` needs one of `uncork`; the last one ends the cork.
        """
        self.flush()
        self.pace = None
        self.holds += 1
        if self.cork is None:
            self.cork = []

    def give(self, frame: Frame) -> None:
        """Send a frame behind everything that the member got so far. The hub does the same inline."""
        if self.cork is None:
            self.socket.send_frame(frame)
        else:
            self.keep(self.last_seq, frame)

    def keep(self, seq: int, frame: Frame, key: bytes = b"") -> int:
        """Queue one event until the member is uncorked; one too many closes the socket as slow.

        In a paced member only conflated events wait. Return the number of events that this one replaced.
        """
        assert self.cork is not None
        if self.pace is not None:
            return self._keep_latest(QueuedFrame(seq, frame, key))
        if len(self.cork) < self.tenant.limits.cork_events:
            self.cork.append(QueuedFrame(seq, frame, key))
        else:
            self.socket.close("slow")
        return 0

    def _keep_latest(self, corked: QueuedFrame) -> int:
        waiting = self.cork or []
        if not corked.key:
            self.cork = []
            self.socket.send_frames([*(earlier.frame for earlier in waiting), corked.frame])
            return 0
        others = [earlier for earlier in waiting if earlier.key != corked.key]
        self.cork = [*others, corked]
        if len(self.cork) > self.tenant.limits.paced_keys:
            self.flush()
        return len(waiting) - len(others)

    def flush(self) -> bool:
        """Send the waiting frames of a paced member; return False if there are none."""
        if self.pace is None or not self.cork:
            return False
        waiting, self.cork = self.cork, []
        self.socket.send_frames([corked.frame for corked in waiting])
        return True

    def take_cork(self) -> list[QueuedFrame]:
        """Return the queued frames, for each conflation key only the latest, and stay corked."""
        kept, self.cork = self.cork or [], []
        if kept:
            self.handed_late()
        return latest(kept, attrgetter("key"))

    def uncork(self) -> None:
        """End one hold; with the last one, send the queued frames in order and remove the cork."""
        if not self.holds:
            return
        self.holds -= 1
        if self.holds:
            return
        kept, self.cork = self.cork or [], None
        if kept:
            self.handed_late()
            self.socket.send_frames([corked.frame for corked in latest(kept, attrgetter("key"))])

    def handed_late(self) -> None:
        """Note that the socket got events some time after they were published."""
        if self.since != NEVER:
            self.since = LATER

    def leave(self, room: RoomState) -> None:
        """Leave a room and remember the stay; does nothing if the member is not in it."""
        joined_at = self.rooms.get(room)
        if joined_at is None:
            return
        room.remove(self)
        stay = self.stay_in(room, joined_at)
        if stay.left_at > joined_at:
            self.remember(stay)

    def stay_in(self, room: RoomState, joined_at: int) -> Stay:
        """Return the member's stay in a room up to now."""
        return Stay(room.name, joined_at, max(self.last_seq, self.tenant.position))

    def remember(self, *stays: Stay) -> None:
        """Remember stays that have ended, in all the last `MAX_STAYS`."""
        self.stays, forgotten_until = latest_stays([*(self.stays or ()), *stays])
        self.stays_from = max(self.stays_from, forgotten_until)


class Tenant:
    """One organization's part of this replica.

    `position` is the seq up to which all events of the tenant for this replica have been handed out; later ones
    are higher. While `backlog` is a list, live messages wait in it for a resync. `overrun` says that messages were
    dropped, so the resync must read the logs again. `breaks` counts how often messages may have been missed, even
    if a resync has read them since.
    """

    __slots__ = (
        "backlog",
        "breaks",
        "epoch",
        "heard_until",
        "id",
        "limits",
        "members",
        "overrun",
        "position",
        "rooms",
    )

    def __init__(self, ident: str, limits: Limits = LIMITS) -> None:
        self.id = ident
        self.limits = limits
        self.epoch: str | None = None
        self.position = 0
        self.rooms: dict[Room, RoomState] = {}
        self.members: set[Member] = set()
        self.backlog: list[tuple[RoomState, wire.Message]] | None = None
        self.overrun = False
        self.breaks = 0
        self.heard_until: int | None = None
        """Seq up to which all messages were heard for certain; None unless a resync is due or under way."""


class RoomState:
    """One room on this replica, from its first local member until some time after its last.

    `last_seq` is the newest seq that was handed out here; a resync reads from it on. It is None until the room's
    position is known. No member enters before that, because its missed events would not show.
    """

    __slots__ = ("_everyone", "channel", "last_seq", "members", "name", "newest", "pins", "tenant")

    def __init__(self, tenant: Tenant, name: Room) -> None:
        self.tenant = tenant
        self.name = name
        self.channel = wire.channel(tenant.id, name).encode()
        self.members: dict[Member, None] = {}
        self.last_seq: int | None = None
        self.newest = 0
        """Seq of the newest event that was handed out; 0 for none. A room without events has a `last_seq`, too."""
        self.pins = 0
        self._everyone: tuple[Member, ...] | None = ()

    def add(self, member: Member, joined_at: int) -> None:
        """Make a socket a member that gets every event above `joined_at`."""
        assert self.last_seq is not None, "the room's place is not known"
        self.members[member] = None
        self._everyone = None
        member.rooms[self] = joined_at

    def remove(self, member: Member) -> bool:
        """Take a member out; return False if it was not in the room."""
        if member.rooms.pop(self, None) is None:
            return False
        self.members.pop(member, None)
        self._everyone = None
        return True

    def everyone(self) -> tuple[Member, ...]:
        """Return the present members; the tuple is cached until a member joins or leaves."""
        if self._everyone is None:
            self._everyone = tuple(self.members)
        return self._everyone

    @property
    def in_use(self) -> bool:
        """Return whether the room must stay subscribed."""
        return bool(self.members) or self.pins > 0
