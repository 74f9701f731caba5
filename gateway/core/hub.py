"""The hub: from a message on a room's channel to the sockets of that room.

This is the hot path. It parses no payload and makes one frame for an event; the loop over the members only
compares a number and writes. Everything except plain events goes to a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.clock import ServerClock
from gateway.core.conflation import Pacer
from gateway.core.delivery_stats import Counted, DeliveryStats
from gateway.core.frames import Frame
from gateway.core.history import ANY_SIZE
from gateway.core.limits import LIMITS, Limits
from gateway.core.model import Member, RoomState, Tenant
from publisher import wire
from publisher.rooms import Room

# A seq is a time in microseconds: sixteen digits until the year 2286.
MAX_SEQ = 10**16 - 1


@dataclass(slots=True)
class HubStats:
    """Counts of messages from Redis and of deliveries, since the start of the process."""

    conflated: int = 0
    """Events that a later one with their key replaced before they were sent to a socket."""
    malformed: int = 0
    unheard: int = 0
    """Messages for a room that this replica has removed."""
    repeated: int = 0
    """Messages that were skipped: a resync had handed them out, or an old master sent them."""
    gaps: int = 0
    oversized: int = 0
    """Messages whose event is too large for any socket."""


class Troubles(Protocol):
    """Port: the part that handles the findings of the hub."""

    def gap(self, room: RoomState) -> None:
        """Handle a gap before the room's newest message; the tenant's live messages wait from now on."""

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Handle a message for the gateways themselves, which is not an event for members."""


Rest = Callable[[], "Rest | None"]
FrameOf = Callable[[Member], Frame | None]
"""Returns the frame of an event for a member; None if the member gets nothing."""
Split = Callable[[bytes, Frame], FrameOf | None]
"""Returns the `FrameOf` of the event with this body and frame; None if all members get the same frame."""


class Outgoing:
    """One event on its way to the members of a room. `frame_of` is None while all members get the same frame."""

    __slots__ = ("chunk", "counted", "frame", "frame_of", "key", "seq")

    def __init__(self, seq: int, frame: Frame, key: bytes, counted: Counted, chunk: int) -> None:
        self.seq = seq
        self.frame = frame
        self.key = key
        """Conflation key; empty for none."""
        self.counted = counted
        self.chunk = chunk
        """Number of members that are served at a time."""
        self.frame_of: FrameOf | None = None

    def skip(self, skip_sid: str) -> None:
        """Leave out the socket with a sid, or with `@<user>` all sockets of a user."""
        frame, frame_of = self.frame, self.frame_of

        def frame_unless_skipped(member: Member) -> Frame | None:
            if member.sid == skip_sid or "@" + member.identity.user_id == skip_sid:
                return None
            return frame if frame_of is None else frame_of(member)

        self.frame_of = frame_unless_skipped


def same_for_all(body: bytes, frame: Frame) -> None:
    """Return None: all members get the same frame."""


class Hub:
    """All tenants and rooms of this replica.

    `max_event_bytes` limits the body of an event that a socket can get. Without a `pacer` every conflated event is
    sent. `split` is called for each ephemeral event. `clock` is Redis' clock; without it no latency is counted.
    """

    def __init__(
        self,
        troubles: Troubles,
        *,
        max_event_bytes: int = ANY_SIZE,
        pacer: Pacer | None = None,
        split: Split = same_for_all,
        clock: ServerClock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.stats = HubStats()
        self.delivery_stats = DeliveryStats(clock)
        self.tenants: dict[str, Tenant] = {}
        self.channels: dict[bytes, RoomState] = {}
        self.limits = limits
        self._max_event_bytes = max_event_bytes
        self._pacer = pacer
        self._split = split
        self._chunk = limits.fan_out_sockets
        self._troubles = troubles

    def tenant(self, ident: str) -> Tenant:
        """Return a tenant; a new one is created."""
        tenant = self.tenants.get(ident)
        if tenant is None:
            tenant = self.tenants[ident] = Tenant(ident, self.limits)
        return tenant

    def room(self, tenant: Tenant, name: Room) -> RoomState:
        """Return a room of a tenant; a new one is created."""
        room = tenant.rooms.get(name)
        if room is None:
            room = tenant.rooms[name] = RoomState(tenant, name)
            self.channels[room.channel] = room
        return room

    def remove_room(self, room: RoomState) -> None:
        """Drop a room that is not in use, and its tenant if that has no room, member or backlog left."""
        self.channels.pop(room.channel, None)
        tenant = room.tenant
        tenant.rooms.pop(room.name, None)
        if not tenant.rooms and not tenant.members and tenant.backlog is None:
            self.tenants.pop(tenant.id, None)

    def receive(self, channel: bytes, raw: bytes) -> Rest | None:
        """Handle one message from a channel.

        Return the rest of the work if the room is large; nothing else may be received before that is done.
        A malformed message is counted and skipped.
        """
        room = self.channels.get(channel)
        if room is None:
            self.stats.unheard += 1
            return None
        message = _read(raw)
        if message is None:
            self.stats.malformed += 1
            return None
        tenant = room.tenant
        if len(message.body) > self._max_event_bytes:
            self._pass_over(room, message)
            return None
        if tenant.backlog is None and self._is_gap(room, message):
            tenant.backlog = []
            self._troubles.gap(room)
        if tenant.backlog is not None:
            self._put_back(tenant, room, message)
            return None
        return self.dispatch(room, message)

    def _pass_over(self, room: RoomState, message: wire.Message) -> None:
        """Skip an event that is too large for any socket; a recoverable one counts as a gap.

        If it were sent, every member would be cut, come back, get it again, and be cut again.
        """
        self.stats.oversized += 1
        if message.flag != wire.Flag.RECOVERABLE or (room.last_seq is not None and message.seq <= room.last_seq):
            return
        tenant = room.tenant
        # A read of the log finds the gap. A read that is under way may be too early, so there must be another.
        tenant.overrun = True
        if tenant.backlog is None:
            tenant.backlog = []
            self._troubles.gap(room)

    def _is_gap(self, room: RoomState, message: wire.Message) -> bool:
        """Return whether events before this message may be missing, perhaps the whole history."""
        if message.flag != wire.Flag.RECOVERABLE:
            return False
        if not _same_epoch(room.tenant, message):
            return True
        if (room.last_seq is not None and message.previous > room.last_seq) or is_strange(room, message):
            self.stats.gaps += 1
            return True
        return False

    def _put_back(self, tenant: Tenant, room: RoomState, message: wire.Message) -> None:
        """Add a message to the backlog, unless it is ephemeral. A full one is emptied; the logs are read again."""
        assert tenant.backlog is not None
        if message.flag == wire.Flag.EPHEMERAL:
            return
        if len(tenant.backlog) >= self.limits.backlog_messages:
            tenant.backlog.clear()
            tenant.overrun = True
        tenant.backlog.append((room, message))

    def dispatch(self, room: RoomState, message: wire.Message) -> Rest | None:
        """Hand one message to the members of its room, without a check for gaps; return the rest, as `receive`."""
        tenant = room.tenant
        seq = message.seq
        flag = message.flag
        if flag == wire.Flag.RECOVERABLE:
            if room.last_seq is not None and seq <= room.last_seq:
                self.stats.repeated += 1
                return None
            room.last_seq = room.newest = seq
            frame = Frame(b"".join((b"2", message.body[:-1], b',"', message.offset, b'"]')))
        elif flag == wire.Flag.EPHEMERAL:
            frame = Frame(b"2" + message.body)
        elif flag == wire.Flag.CONTROL:
            # Who joins a room again behind its revocation has joined later. In an overrun it overtakes events.
            if not tenant.overrun and _same_epoch(tenant, message):
                tenant.position = max(tenant.position, seq)
            self._troubles.control(room, message)
            return None
        else:
            self.stats.malformed += 1
            return None
        # Not seq itself: an event for several rooms has a message for each, and others may follow this one.
        if seq - 1 > tenant.position:
            tenant.position = seq - 1
        members = room.everyone()
        counted = self.delivery_stats.came(message.body, len(members))
        outgoing = Outgoing(seq, frame, message.conflate, counted, self._chunk)
        if flag == wire.Flag.EPHEMERAL:
            outgoing.frame_of = self._split(message.body, frame)
            if outgoing.frame_of is not None:
                outgoing.chunk = self.limits.fan_out_bundles
        if message.skip_sid != b"-":
            outgoing.skip(message.skip_sid.decode())
        return self._fan_out(members, 0, outgoing)

    def _fan_out(self, members: tuple[Member, ...], start: int, outgoing: Outgoing) -> Rest | None:
        """Hand an event to `Outgoing.chunk` members from `start` on; return a function for the others."""
        seq, frame, key, frame_of = outgoing.seq, outgoing.frame, outgoing.key, outgoing.frame_of
        given = 0
        replaced = 0
        end = start + outgoing.chunk
        chunk = members if not start and len(members) <= end else members[start:end]
        for member in chunk:
            if member.last_seq < seq:
                member.last_seq = seq
                due = frame if frame_of is None else frame_of(member)
                if due is None:
                    continue
                given += 1
                if member.cork is None:
                    member.socket.send_frame(due)
                else:
                    replaced += member.keep(seq, due, key)
        if key and self._pacer is not None:
            self._pacer.pace(chunk)
        self.stats.conflated += replaced
        outgoing.counted.deliveries += given - replaced
        if len(members) <= end:
            self.delivery_stats.given(seq)
            return None
        return lambda: self._fan_out(members, end, outgoing)


def _read(raw: bytes) -> wire.Message | None:
    """Return the parsed message; None if no script of ours wrote it.

    A seq of the far future would make every later event count as repeated.
    """
    try:
        message = wire.parse_message(raw)
    except ValueError:
        return None
    return message if message.seq <= MAX_SEQ else None


def is_strange(room: RoomState, message: wire.Message) -> bool:
    """Return whether an event does not follow the room's newest one: its server did not have the newest one.

    After a failover, the new master may lack the room's newest event. Or the event comes from the old master,
    which does not know yet that another server took its place. The logs tell which.
    """
    return 0 < message.previous < room.newest < message.seq


def _same_epoch(tenant: Tenant, message: wire.Message) -> bool:
    return tenant.epoch is None or message.offset.startswith(tenant.epoch.encode())


def merge(
    live: Iterable[tuple[RoomState, wire.Message]], logged: Iterable[tuple[RoomState, wire.Message]]
) -> list[tuple[RoomState, wire.Message]]:
    """Return the events that a resync read and the live messages that waited, in the order of publishing.

    An event that is in both is returned once for each of its rooms. Control messages are sorted by seq, too. They
    may share the tenant's last seq with an event and with each other, so each of them is returned.
    """
    found: dict[tuple[int, bytes, int], tuple[RoomState, wire.Message]] = {}
    for number, (room, message) in enumerate((*logged, *live), start=1):
        distinct = 0 if message.flag == wire.Flag.RECOVERABLE else number
        found.setdefault((message.seq, room.channel, distinct), (room, message))
    return [found[key] for key in sorted(found)]
