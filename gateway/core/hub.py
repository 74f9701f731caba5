"""The hub: from a message on a room's channel to the sockets of that room.

This is the hot path. It parses no payload and makes one frame an event; the loop over the members does
nothing but compare a number and write. Everything that is not a plain event leaves it by a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core import statuses
from gateway.core.clock import ServerClock
from gateway.core.conflation import Pacer
from gateway.core.frames import Bundle, Frame
from gateway.core.history import ANY_SIZE
from gateway.core.limits import LIMITS, Limits
from gateway.core.model import Member, RoomState, Tenant
from gateway.core.tally import Counted, Tally
from publisher import wire
from publisher.rooms import Room

# A seq is a time in microseconds: sixteen digits until the year 2286.
MAX_SEQ = 10**16 - 1


@dataclass(slots=True)
class HubStats:
    """Counts since the start of the process."""

    conflated: int = 0
    """Events that a later one under their key took the place of before they were sent to a socket."""
    malformed: int = 0
    unheard: int = 0
    """Messages for a room that has no member here any more."""
    repeated: int = 0
    """Messages that a resync had handed out already."""
    gaps: int = 0
    epochs: int = 0
    oversized: int = 0
    """Messages with an event that is too large for any socket."""


class Troubles(Protocol):
    """Findings of the hub that another part has to settle."""

    def gap(self, room: RoomState) -> None:
        """Something before the room's newest message was never seen; its tenant's messages wait from now on."""

    def control(self, room: RoomState, message: wire.Message) -> None:
        """A message for the gateways themselves."""


Rest = Callable[[], "Rest | None"]


class Hub:
    """All tenants and rooms of this replica.

    `max_event_bytes` is the body of the largest event that a socket can be given. Without a `pacer` every
    conflated event is handed out. `clock` is Redis'; without one no latency is counted.
    """

    def __init__(
        self,
        troubles: Troubles,
        *,
        max_event_bytes: int = ANY_SIZE,
        pacer: Pacer | None = None,
        clock: ServerClock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.stats = HubStats()
        self.tally = Tally(clock)
        self.tenants: dict[str, Tenant] = {}
        self.channels: dict[bytes, RoomState] = {}
        self.limits = limits
        self._max_event_bytes = max_event_bytes
        self._pacer = pacer
        self._chunk = limits.fan_out_sockets
        self._troubles = troubles

    def tenant(self, ident: str) -> Tenant:
        """Return a tenant, which begins to exist here by being asked for."""
        tenant = self.tenants.get(ident)
        if tenant is None:
            tenant = self.tenants[ident] = Tenant(ident, self.limits)
        return tenant

    def room(self, tenant: Tenant, name: Room) -> RoomState:
        """Return a room of a tenant, likewise."""
        room = tenant.rooms.get(name)
        if room is None:
            room = tenant.rooms[name] = RoomState(tenant, name)
            self.channels[room.channel] = room
        return room

    def remove_room(self, room: RoomState) -> None:
        """Drop a room that nobody here is in, and its tenant with the last room."""
        self.channels.pop(room.channel, None)
        tenant = room.tenant
        tenant.rooms.pop(room.name, None)
        if not tenant.rooms and not tenant.members and tenant.backlog is None:
            self.tenants.pop(tenant.id, None)

    def receive(self, channel: bytes, raw: bytes) -> Rest | None:
        """Take one message off the bus.

        Return what is left to do where the room is large; nothing else may be received before that is done.
        A malformed message is counted and skipped: it stops nobody.
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
        """Hand an event that no socket can be given to nobody; a recoverable one is a gap, which is told.

        It would cut every member, who would come back, be given it again, and be cut again.
        """
        self.stats.oversized += 1
        if message.flag != wire.Flag.RECOVERABLE or (room.last_seq is not None and message.seq <= room.last_seq):
            return
        tenant = room.tenant
        # The log has it, and a read of the log finds the hole; one that is under way may have been too early.
        tenant.overrun = True
        if tenant.backlog is None:
            tenant.backlog = []
            self._troubles.gap(room)

    def _is_gap(self, room: RoomState, message: wire.Message) -> bool:
        """Return whether something before this message was never seen, the whole history perhaps."""
        if message.flag != wire.Flag.RECOVERABLE:
            return False
        if not _same_epoch(room.tenant, message):
            self.stats.epochs += 1
            return True
        if (room.last_seq is not None and message.previous > room.last_seq) or is_strange(room, message):
            self.stats.gaps += 1
            return True
        return False

    def _put_back(self, tenant: Tenant, room: RoomState, message: wire.Message) -> None:
        """Keep a message for the resync that is under way; the logs have it too, if it comes to that."""
        assert tenant.backlog is not None
        if message.flag == wire.Flag.EPHEMERAL:
            return
        if len(tenant.backlog) >= self.limits.backlog_messages:
            tenant.backlog.clear()
            tenant.overrun = True
        tenant.backlog.append((room, message))

    def dispatch(self, room: RoomState, message: wire.Message) -> Rest | None:
        """Hand one message to the members of its room, whatever came before it; the same rest as `receive`."""
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
            self._troubles.control(room, message)
            return None
        else:
            self.stats.malformed += 1
            return None
        # Not seq itself: an event for several rooms is as many messages, and this may be the first of them.
        if seq - 1 > tenant.position:
            tenant.position = seq - 1
        members = room.everyone()
        counted = self.tally.came(message.body, len(members))
        is_statuses = flag == wire.Flag.EPHEMERAL and message.body.startswith(statuses.NAME)
        if is_statuses and (changes := statuses.one_by_one(message.body)):
            others = tuple(member for member in members if not member.takes_statuses)
            members = tuple(member for member in members if member.takes_statuses)
            rest = self._fan_out(members, seq, frame, message.skip_sid, b"", counted)
            return _after(rest, lambda: self._fan_out_changes(others, seq, changes, counted))
        return self._fan_out(members, seq, frame, message.skip_sid, message.conflate, counted)

    def _fan_out(
        self, members: tuple[Member, ...], seq: int, frame: Frame, skip: bytes, key: bytes, counted: Counted
    ) -> Rest | None:
        skip_sid = None if skip == b"-" else skip.decode()
        given = 0
        replaced = 0
        size = self._chunk
        chunk = members[:size] if len(members) > size else members
        for member in chunk:
            if member.last_seq < seq:
                member.last_seq = seq
                if skip_sid is not None and (member.sid == skip_sid or "@" + member.identity.user_id == skip_sid):
                    continue
                given += 1
                if member.cork is None:
                    member.socket.send_frame(frame)
                else:
                    replaced += member.keep(seq, frame, key)
        if key and self._pacer is not None:
            self._pacer.pace(chunk)
        self.stats.conflated += replaced
        counted.deliveries += given - replaced
        if len(members) <= size:
            self.tally.given(seq)
            return None
        return lambda: self._fan_out(members[size:], seq, frame, skip, key, counted)

    def _fan_out_changes(
        self, members: tuple[Member, ...], seq: int, changes: Mapping[str, Frame], counted: Counted
    ) -> Rest | None:
        """Hand out changes of several users, to each member those of the others, in one write."""
        everybody = Bundle([*changes.values()])
        size = self.limits.fan_out_bundles
        for member in members[:size]:
            if member.last_seq < seq:
                member.last_seq = seq
                own = changes.get(member.identity.user_id)
                if own is not None and len(changes) == 1:
                    continue
                due = everybody if own is None else Bundle([f for f in changes.values() if f is not own])
                counted.deliveries += 1
                if member.cork is None:
                    member.socket.send_frame(due)
                else:
                    member.keep(seq, due)
        if len(members) <= size:
            return None
        return lambda: self._fan_out_changes(members[size:], seq, changes, counted)


def _after(rest: Rest | None, then: Rest) -> Rest | None:
    """Do `then` once a rest, which may leave others, is done."""
    return then() if rest is None else lambda: _after(rest(), then)


def _read(raw: bytes) -> wire.Message | None:
    """Take a message apart; None for one that no script of ours wrote.

    A seq of the far future would have every later event taken for a repeated one.
    """
    try:
        message = wire.parse_message(raw)
    except ValueError:
        return None
    return message if message.seq <= MAX_SEQ else None


def is_strange(room: RoomState, message: wire.Message) -> bool:
    """Return whether an event does not follow the room's newest: the server that published it did not have that.

    After a failover the room's newest may have been lost with the old master; or the event comes from the old
    master, which has not learned yet that another server took its place. The logs tell.
    """
    return 0 < message.previous < room.newest < message.seq


def _same_epoch(tenant: Tenant, message: wire.Message) -> bool:
    return tenant.epoch is None or message.offset.startswith(tenant.epoch.encode())


def merge(
    live: Iterable[tuple[RoomState, wire.Message]], logged: Iterable[tuple[RoomState, wire.Message]]
) -> list[tuple[RoomState, wire.Message]]:
    """Put what a resync read and what came meanwhile into the order in which it was published.

    An event that is in both is given once for each of its rooms. Messages without a place in the history
    of a room (ephemeral, control) keep the order they came in.
    """
    found: dict[tuple[int, bytes], tuple[RoomState, wire.Message]] = {}
    for room, message in (*logged, *live):
        found.setdefault((message.seq, room.channel), (room, message))
    return [found[key] for key in sorted(found)]
