"""Joining and leaving rooms.

A join that asks for history becomes a member first, corked, and reads the log then: what the log has and the
cork has not is the history, everything else comes live behind the answer.
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
from gateway.sockets.changes import add_room, remove_room
from gateway.sockets.members import Members, facts, log
from gateway.sockets.presence_snapshot import catch_up, in_place, of_room
from gateway.sockets.room_access import RoomAccess
from publisher import Offset
from publisher.rooms import Room

# Those of its user and of its organization, which nobody joins.
OWN_ROOMS = 2
NONE = msgspec.Raw(b"[]")


class Joined(NamedTuple):
    """The answer to a join."""

    offset: str
    """The socket is in the room from here on: everything later comes live."""
    events: msgspec.Raw
    """A JSON array."""
    complete: bool


class Rooms:
    """Lets members in and out of rooms. Everything raises `Unavailable`, `RedisUnavailable` or `ReplyError`."""

    def __init__(self, members: Members, room_access: RoomAccess) -> None:
        self._members = members
        self._room_access = room_access
        self._held: set[Member] = set()
        """Members that are held for an answer."""

    async def join(self, member: Member, name: Room, since: Offset | None, history: int | None) -> Joined:
        """Make a socket a member of a room, with what it asks of the room's history.

        A socket that is in the room already stays in it and gets its answer all the same.
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
        async with members.questions.turn(member), members.changing(member):
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
        """Do what `join` does for a socket that may join, whose turn it is."""
        members = self._members
        tenant = member.tenant
        (room,) = await members.subscriptions.subscribe(tenant, [name])
        self._hold(member)
        try:
            if room.last_seq is None:
                await members.subscriptions.locate(tenant, [room])
            # Nothing at or below this is still to come for this socket.
            at = max(tenant.position, member.last_seq, room.last_seq or 0)
            if not was_in:
                room.add(member, at)
            # From here on whatever is taken away from this user is taken away from this socket, too.
            await self._room_access.check_again(member, name, changes, was_in=was_in)
            joined = await self._history(member, room, at, since, history, was_in=was_in)
            knows = since.seq if since is not None and since.epoch == tenant.epoch else None
            entered = await add_room(members, member, name, member.rooms.get(room, at), knows)
            if room not in member.rooms and not member.socket.closed:
                # Taken away meanwhile, as the socket has been told: what was just written of it goes again.
                await remove_room(members, member, name)
                raise Refused("forbidden", "you may not join this room")
            told: list[QueuedFrame] = []
            if entered.presence is not None:
                told = [QueuedFrame(entered.seq, frame) for frame in of_room(member, name, entered.presence)]
            elif not entered.known and not member.socket.closed:
                # It is in the room by now, whether or not it can be told who else is.
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
        self._members.questions.charge(member, events=len(log_read.entries), size=snapshot.size)
        # What the answer tells must not come live any more, not even by a room that is joined later.
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
        """Return what the answer shows: after `since` only what this socket was not given live already."""
        missed = missed_events([log_read], member.cork or [], member.sid)
        if since is None:
            return Told(missed, doubtful=False)
        if was_in:
            missed = [event for event in missed if event.seq <= member.rooms.get(room, 0)]
        return not_had(missed, room.name, member)

    async def leave(self, member: Member, name: Room) -> None:
        """Take a socket out of a room; it need not be in."""
        room = member.tenant.rooms.get(name)
        joined_at = member.rooms.get(room) if room is not None else None
        if room is None or joined_at is None:
            return
        self._hold(member)
        async with self._members.changing(member):
            await remove_room(self._members, member, name, member.stay_in(room, joined_at))
            self._members.leave_room(member, room)
        # What came meanwhile was still the room's: it goes out before the answer.
        self.release(member)
        self._members.stopped_typing(member, name)
        log.info("socket_left", **facts(member), room=name)

    def _hold(self, member: Member) -> None:
        """Keep what comes for a member behind the answer to what it asks."""
        if member not in self._held:
            self._held.add(member)
            member.hold()

    def release(self, member: Member) -> None:
        """Let a member go on, whose answer is out."""
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
    """Write events as the JSON array of an answer."""
    shown, slices = [], Slices()
    for event in events:
        shown.append(as_past(event.entry.body, f"{epoch}-{event.seq}"))
        await slices.did()
    return msgspec.Raw(b"[%b]" % b",".join(shown))
