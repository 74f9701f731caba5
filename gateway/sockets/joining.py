"""Joining and leaving rooms.

A join with history makes the socket a corked member first, and reads the log then. The events that are in the log
and not in the cork are the history; all others come live, behind the answer.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import msgspec

from gateway.core.conflation import latest
from gateway.core.history import Log, StreamPosition
from gateway.core.model import Member, QueuedFrame, RoomState
from gateway.core.replay import MissedEvent, Told, as_past, missed_events, not_had
from gateway.errors import Refused
from gateway.loop_slices import Slices
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.sockets.members import Members, facts, log
from gateway.sockets.presence_snapshot import catch_up, in_place, of_room
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.session_changes import add_room, remove_room
from publisher import Offset
from publisher.rooms import Room

# The rooms of the socket's user and organization, which no client joins by itself.
OWN_ROOMS = 2
NONE = msgspec.Raw(b"[]")


class Joined(NamedTuple):
    """The answer to a join of a room."""

    offset: str
    """The offset after which the room's events come live."""
    events: msgspec.Raw
    """A JSON array."""
    complete: bool


class Rooms:
    """Joins and leaves of rooms. Both raise `Unavailable`, `RedisUnavailable` or `ReplyError`."""

    def __init__(self, members: Members, room_access: RoomAccess) -> None:
        self._members = members
        self._room_access = room_access
        self._held: set[Member] = set()
        """Members that are held for an answer."""

    async def join(self, member: Member, name: Room, since: Offset | None, history: int | None) -> Joined:
        """Make a socket a member of a room; return the history that it asks for. Also raises `Refused`.

        A socket that is in the room already stays in it and gets an answer, too.
        """
        members = self._members
        was_in = member.tenant.rooms.get(name) in member.rooms
        if not was_in and len(member.rooms) >= members.settings.max_rooms_per_socket + OWN_ROOMS:
            members.limited["max_rooms_per_socket"] += 1
            raise Refused("too_many_rooms", limit="max_rooms_per_socket")
        changes = await self._room_access.check(member, name, was_in=was_in)
        if since is None and not history:
            async with members.changing(member):
                return await self._enter(member, name, changes, since, history, was_in=was_in)
        async with members.answer_turns.turn(member), members.changing(member):
            return await self._enter(member, name, changes, since, history, was_in=was_in)

    async def _enter(
        self,
        member: Member,
        name: Room,
        changes: int,
        since: Offset | None,
        history: int | None,
        *,
        was_in: bool,
    ) -> Joined:
        """Do the join of a socket that may join, in its turn."""
        members = self._members
        tenant = member.tenant
        (room,) = await members.subscriptions.subscribe(tenant, [name])
        self._hold(member)
        try:
            if room.last_seq is None:
                await members.subscriptions.locate(tenant, [room])
            # No event at or below `at` is still to come to this socket.
            at = max(tenant.position, member.last_seq, room.last_seq or 0)
            if not was_in:
                room.add(member, at)
            # From here on revocations reach this socket. Access may have changed before, so it is checked again.
            await self._room_access.check_again(member, name, changes, was_in=was_in)
            joined = await self._history(member, room, at, since, history, was_in=was_in)
            knows = since.seq if since is not None and since.epoch == tenant.epoch else None
            entered = await add_room(members, member, name, member.rooms.get(room, at), knows)
            if room not in member.rooms and not member.socket.closed:
                # Access was revoked while we joined, and the client has been told. Undo the entry just written.
                await remove_room(members, member, name, taken=True)
                raise Refused("forbidden", "you may not join this room")
            told: list[QueuedFrame] = []
            if entered.presence is not None:
                told = [QueuedFrame(entered.seq, frame) for frame in of_room(member, name, entered.presence)]
            elif not entered.known and not member.socket.closed:
                # The join has succeeded, even if the presence of the room can't be read.
                with contextlib.suppress(RedisUnavailable, ReplyError):
                    told = await catch_up(members, member, [name], knows)
            member.cork = in_place(member.cork or (), told)
        except BaseException:
            if not was_in:
                members.leave_room(member, room)
            raise
        finally:
            members.subscriptions.release([room])
        if not was_in:
            log.info("socket_joined", **facts(member), room=name)
        return joined

    async def _history(
        self,
        member: Member,
        room: RoomState,
        at: int,
        since: Offset | None,
        history: int | None,
        *,
        was_in: bool,
    ) -> Joined:
        tenant = member.tenant
        epoch = tenant.epoch or ""
        if since is None and not history:
            return Joined(str(Offset(epoch, at)), NONE, complete=True)
        after = since.seq if since is not None and since.epoch == epoch else 0
        kept, most_bytes = self._members.history.retention, self._members.settings.max_event_bytes
        snapshot = await self._members.history.read(
            tenant.id, {room.name: after}, newest=history or kept.size, most_bytes=most_bytes
        )
        self._members.subscriptions.learn(tenant, StreamPosition(snapshot.epoch, snapshot.seq), [])
        log_read = snapshot.logs[room.name]
        self._members.answer_turns.charge(member, events=len(log_read.entries), size=snapshot.size)
        # The events in the answer must not come live as well, not even through a room that is joined later.
        await self._members.subscriptions.catch_up(tenant, snapshot.seq)
        if since is not None and since.epoch != snapshot.epoch:
            return Joined(str(Offset(snapshot.epoch, at)), NONE, complete=False)
        missed, doubtful = self._missed(member, room, log_read, since, was_in=was_in)
        missed = latest(missed, lambda event: event.entry.conflate)
        fitting = _newest_within(missed, most_bytes)
        at = max([at, *(event.seq for event in missed)])
        if not was_in and room in member.rooms:
            member.rooms[room] = at
        events = await _shown(fitting, snapshot.epoch)
        complete = since is None or (log_read.complete and not doubtful and len(fitting) == len(missed))
        return Joined(str(Offset(snapshot.epoch, at)), events, complete)

    def _missed(
        self, member: Member, room: RoomState, log_read: Log, since: Offset | None, *, was_in: bool
    ) -> Told:
        """Return the events for the answer; with `since`, without those that this socket received live."""
        missed = missed_events([log_read], member.cork or [], member.sid)
        if since is None:
            return Told(missed, doubtful=False)
        if was_in:
            missed = [event for event in missed if event.seq <= member.rooms.get(room, 0)]
        return not_had(missed, room.name, member)

    async def leave(self, member: Member, name: Room) -> None:
        """Take a socket out of a room; does nothing if it is not in it."""
        room = member.tenant.rooms.get(name)
        joined_at = member.rooms.get(room) if room is not None else None
        if room is None or joined_at is None:
            return
        self._hold(member)
        async with self._members.changing(member):
            await remove_room(self._members, member, name, member.stay_in(room, joined_at))
            self._members.leave_room(member, room)
        # Events that came meanwhile were still for a member of the room, so they are sent before the answer.
        self.release(member)
        log.info("socket_left", **facts(member), room=name)

    def _hold(self, member: Member) -> None:
        """Cork a member, so that its events wait behind the answer."""
        if member not in self._held:
            self._held.add(member)
            member.hold()

    def release(self, member: Member) -> None:
        """End the hold of a member; does nothing without one."""
        if member in self._held:
            self._held.discard(member)
            member.uncork()


def _newest_within(missed: list[MissedEvent], size: int) -> list[MissedEvent]:
    """Return the newest events whose bodies fit into `size` bytes: an answer is one packet, sent at once."""
    for i in range(len(missed) - 1, -1, -1):
        size -= len(missed[i].entry.body)
        if size < 0:
            return missed[i + 1 :]
    return missed


async def _shown(events: list[MissedEvent], epoch: str) -> msgspec.Raw:
    """Return events as the JSON array of an answer."""
    shown, slices = [], Slices()
    for event in events:
        shown.append(as_past(event.entry.body, f"{epoch}-{event.seq}"))
        await slices.did()
    return msgspec.Raw(b"[%b]" % b",".join(shown))
