"""The model: tenants, their rooms, and the members of rooms, as far as this replica has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

from gateway.core.conflation import latest
from gateway.core.frames import Frame
from gateway.core.limits import LIMITS, Limits
from publisher import wire
from publisher.rooms import Room

# Stays that a member remembers of rooms that it has left.
MAX_STAYS = 32
# Values of `Member.since` beyond any seq: nobody can ever say what the socket got, or not before a later renewal
# of its session.
NEVER = 2**53
LATER = NEVER - 1
# Likewise: a renewal is under way, and nothing was handed to the socket late since.
RENEWING = NEVER - 2


class Identity(NamedTuple):
    """The bearer of a token, after every check."""

    user_id: str
    tenant: str
    role: str
    expires_at: float
    """Unix time in seconds at which the token ends."""
    issued_at: float = 0.0
    """Unix time in seconds at which it was issued, 0 where it does not say."""
    token_id: str = ""
    """Its `jti`, empty where it has none."""


class QueuedFrame(NamedTuple):
    """A frame that waits in a corked member, and the key under which a later one takes its place."""

    seq: int
    frame: Frame
    key: bytes = b""


class Stay(NamedTuple):
    """A time that a member spent in a room.

    It got every event of the room after `joined_at` and up to `left_at`, may have got those up to `maybe_until`,
    and none later.
    """

    room: Room
    joined_at: int
    left_at: int
    maybe_until: int = 0

    def up_to(self, seq: int) -> Stay:
        """Return the part of it that was over by then."""
        return self._replace(left_at=min(self.left_at, seq), maybe_until=min(self.maybe_until, seq))


class MemberSocket(Protocol):
    """The socket that a member is written to: an engine socket."""

    sid: str
    closed: bool
    owner: object | None
    """What the layer above keeps for it."""

    @property
    def send_frame(self) -> Callable[[Frame], None]:
        """Send a frame to the client."""

    @property
    def buffered(self) -> int:
        """Bytes sent that the client has not taken yet."""

    @property
    def over(self) -> bool:
        """Return whether the client sends more than it may."""

    @property
    def wait_s(self) -> float:
        """Seconds until it may send again."""

    def send_frames(self, frames: Sequence[Frame], /) -> None:
        """Send frames in one write."""

    def spend(self, amount: float, /) -> None:
        """Count more against what the client may send."""

    def close(self, reason: str = ..., code: int = ...) -> None:
        """End the session and its transport; what was sent before still goes out."""

    def mute(self) -> None:
        """Send nothing more; the end follows."""


class Member:
    """One accepted socket.

    `last_seq` is the highest seq this socket was given: an event at or below it is not for it any more,
    which is what makes overlapping rooms and resyncs exact. It holds because everything of one tenant
    arrives in order on one connection.

    A corked member keeps what it is given until it is uncorked, so that an answer which needs Redis can
    still be sent ahead of the events that follow it. One that is paced is corked as well, but for conflated
    events only: see `gateway.core.conflation`.
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
        """Whether it takes several changes of presence in one event."""
        self.generation = 1
        self.opened_at = 0
        """Seq at which its session was opened."""
        self.since = LATER
        """Seq since which everything for this socket was handed to its transport at once."""
        self.last_seq = 0
        self.rooms: dict[RoomState, int] = {}
        """Rooms it is in, each with the seq at which it joined."""
        self.stays: list[Stay] | None = None
        """The last stays in rooms that it has left, oldest first."""
        self.stays_from = 0
        """Seq up to which earlier stays are forgotten."""
        self.holds = 0
        """How many answers and changes it is corked for."""
        self.cork: list[QueuedFrame] | None = None
        self.pace: object | None = None
        """With whom it is paced; None while it is not, or while it is corked for an answer."""

    def hold(self) -> None:
        """Cork it for an answer, until `uncork`; a pace ends with that, and what waited for it goes out.

        Whoever holds it calls `uncork` once; it goes on when all have.
        """
        self.flush()
        self.pace = None
        self.holds += 1
        if self.cork is None:
            self.cork = []

    def keep(self, seq: int, frame: Frame, key: bytes = b"") -> int:
        """Keep one event until the member is uncorked; too many mean that it is too slow for them.

        While it is paced, only one with a conflation key is kept. Return how many events it took the place of.
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
        """Send what waits in a paced member; False when there is nothing."""
        if self.pace is None or not self.cork:
            return False
        waiting, self.cork = self.cork, []
        self.socket.send_frames([corked.frame for corked in waiting])
        return True

    def take_cork(self) -> list[QueuedFrame]:
        """Return what has been kept so far, of each conflation key the latest, and go on keeping."""
        kept, self.cork = self.cork or [], []
        if kept:
            self.handed_late()
        return latest(kept, attrgetter("key"))

    def uncork(self) -> None:
        """End one hold; after the last one send what was kept, in order, and go on without a cork."""
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
        """Note that events are handed to the socket some time after they were published."""
        if self.since != NEVER:
            self.since = LATER

    def leave(self, room: RoomState) -> None:
        """Leave a room, and remember the stay."""
        joined_at = self.rooms.get(room)
        if joined_at is None:
            return
        room.remove(self)
        stay = self.stay_in(room, joined_at)
        if stay.left_at > joined_at:
            self.remember(stay)

    def stay_in(self, room: RoomState, joined_at: int) -> Stay:
        """Return its stay in a room as of now."""
        return Stay(room.name, joined_at, max(self.last_seq, self.tenant.position))

    def remember(self, *stays: Stay) -> None:
        """Remember stays that are over, the last `MAX_STAYS` of them."""
        known = [*(self.stays or ()), *stays]
        for forgotten in known[:-MAX_STAYS]:
            self.stays_from = max(self.stays_from, forgotten.left_at)
        self.stays = known[-MAX_STAYS:]


class Tenant:
    """One organization's part of this replica.

    `position` is the seq up to which everything of this tenant that concerns this replica has been handed
    out: what comes later is higher. While `backlog` is a list, live messages wait in it for a resync;
    `overrun` says that there were too many and the resync must read once more. `breaks` counts how often
    something may have been missed, whether or not that has been made good.
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
        """Seq up to which everything was heard for certain, while what came later has yet to be made good."""


class RoomState:
    """One room on this replica, from its first local member until some time after its last.

    `last_seq` is the newest seq handed out here, None until the room's place is known; from it a resync goes on.
    No member enters before that: what it misses of such a room would show nowhere.
    `ready` is whatever the shell waits on while the room is not heard yet.
    """

    __slots__ = ("_everyone", "channel", "last_seq", "members", "name", "newest", "pins", "ready", "tenant")

    def __init__(self, tenant: Tenant, name: Room) -> None:
        self.tenant = tenant
        self.name = name
        self.channel = wire.channel(tenant.id, name).encode()
        self.members: dict[Member, None] = {}
        self.last_seq: int | None = None
        self.newest = 0
        """Seq of the newest event that was handed out, 0 for none; a room without events has a `last_seq`, too."""
        self.pins = 0
        self.ready: object | None = None
        self._everyone: tuple[Member, ...] | None = ()

    def add(self, member: Member, joined_at: int) -> None:
        """Make a socket a member that gets every event above `joined_at`."""
        assert self.last_seq is not None, "the room's place is not known"
        self.members[member] = None
        self._everyone = None
        member.rooms[self] = joined_at

    def remove(self, member: Member) -> bool:
        """Take a socket out; False when it was not in."""
        if member.rooms.pop(self, None) is None:
            return False
        self.members.pop(member, None)
        self._everyone = None
        return True

    def everyone(self) -> tuple[Member, ...]:
        """Return the members as they are now; kept from one event to the next while nobody comes or goes."""
        if self._everyone is None:
            self._everyone = tuple(self.members)
        return self._everyone

    @property
    def in_use(self) -> bool:
        """Return whether the room must stay subscribed."""
        return bool(self.members) or self.pins > 0
