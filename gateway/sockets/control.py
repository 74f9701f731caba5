"""Telling sockets what the room subscriptions found out: taken access, closed sessions, holes in the history."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.frames import Frame
from gateway.core.model import NEVER, Identity, Member, RoomState, Tenant
from gateway.engine import CloseReason
from gateway.engine.errors import CloseCode
from gateway.errors import Refused
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched
from gateway.rooms.read_retry import is_tenants
from gateway.sockets import packets
from gateway.sockets.members import Members, evict, facts, log, session_ref
from gateway.sockets.room_access import remove_from_room
from gateway.tasks import cancelled
from publisher import InvalidEvent, parse_room, wire
from publisher.rooms import Room, room_kind

# Sockets told in one go, with a pause between two goes: they all come back, to all replicas.
BATCH = 100
PATIENCE_S = 60.0


class ControlHandler:
    """Tells the members of this replica what the room subscriptions found out."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._limits = members.commands.limits
        self._telling: set[asyncio.Task[None]] = set()
        self.evicted = 0
        """Sockets sent away because their user had too many."""

    async def stop(self) -> None:
        """Stop telling."""
        await cancelled(*self._telling)

    # -- control messages: on a user's own room, for that user's sockets

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Do what a backend or another replica said about this user's sockets."""
        try:
            command = msgspec.json.decode(message.body)
            members = list(room.members)
            match command:
                case {"do": "disconnect"}:
                    self._forget(room, None)
                    self._disconnect([member for member in members if _is_meant(member.identity, command)])
                case {"do": "evict", "pid": str(pid)}:
                    self._evict([member for member in members if member.pid == pid])
                case {"do": "leave", "room": str(name)}:
                    taken = parse_room(name)
                    self._forget(room, taken)
                    self._take_away(members, taken)
                case {"do": "close", "pid": str(pid), "before": int(generation)}:
                    self._close_older(members, pid, generation)
                case _:
                    self._members.subscriptions.hub.stats.malformed += 1
        except (msgspec.DecodeError, InvalidEvent):
            self._members.subscriptions.hub.stats.malformed += 1

    def _forget(self, own: RoomState, name: Room | None) -> None:
        """Have the next join of a user, whose own room this is, asked about afresh."""
        self._members.access.invalidate(own.tenant.id, own.name.partition(":")[2], name)

    def _disconnect(self, members: list[Member]) -> None:
        for member in members:
            self._members.take_out(member)
            typing = self._members.typing.pop(member, ())
            unwatched(asyncio.ensure_future(self._members.sessions.end(session_ref(member), typing)))
            member.socket.send_frame(Frame(packets.disconnect()))
            member.socket.close(CloseReason.SERVER, CloseCode.POLICY)
        if members:
            user = members[0].identity.user_id
            log.info("user_disconnected", user=user, tenant=members[0].tenant.id, sockets=len(members))

    def _evict(self, members: list[Member]) -> None:
        """Send a user's oldest sockets away for good: by coming back they would only push the others out."""
        for member in members:
            self._members.tell(member, "error", Refused("too_many_connections").as_error() | {"event": "connect"})
            log.info("socket_evicted", **facts(member))
        self._disconnect(members)
        self.evicted += len(members)

    def _take_away(self, members: list[Member], name: Room) -> None:
        taken = [m for m in members if m.tenant.rooms.get(name) in m.rooms]
        for member in taken:
            remove_from_room(self._members, member, name)
        if taken:
            user = taken[0].identity.user_id
            log.info("room_access_revoked", user=user, tenant=taken[0].tenant.id, room=name, sockets=len(taken))

    def _close_older(self, members: list[Member], pid: str, generation: int) -> None:
        for member in members:
            if member.pid == pid and member.generation < generation:
                evict(self._members, member)

    # -- the history

    def hole(self, room: RoomState) -> None:
        """Silence this room's members, and send them to recover: the history does not reach back, they are told.

        Silence first: one newer event, and a browser would come back with an offset behind the hole.
        """
        members = list(room.members)
        _silence(members)
        self._tell(self._mark(members))

    def history_lost(self, tenant: Tenant) -> None:
        """Silence the tenant's members, write their sessions again, and have them come back with their rooms.

        They find another epoch and are told so.
        """
        members = list(tenant.members)
        log.error("history_lost", tenant=tenant.id, sockets=len(members))
        _silence(members)
        self._tell(self._restore(members))

    async def _mark(self, members: list[Member]) -> None:
        """Have the sessions say that something is missing, which no offset may show; only then close.

        Those of sockets that have ended meanwhile, too: whoever was quicker to come back is sent once more.
        """
        for i in range(0, len(members), BATCH):
            batch = [session_ref(member) for member in members[i : i + BATCH]]
            await self._insist(lambda batch=batch: self._members.sessions.mark_holed(batch))  # type: ignore[misc]
        await self._close_all(members, "gap")

    async def _restore(self, members: list[Member]) -> None:
        for i in range(0, len(members), BATCH):
            batch = [member for member in members[i : i + BATCH] if not member.socket.closed]
            await self._insist(lambda batch=batch: self._write(batch))  # type: ignore[misc]
            await self._close_all(batch, "history lost")
            await asyncio.sleep(self._limits.close_pause_s)

    async def _write(self, batch: list[Member]) -> None:
        """Write sessions: before that nobody could come back, and keep their rooms."""
        # By when they joined: written again, their rooms are as of now, whatever was taken away before.
        await self._look_up(batch)
        for member in batch:
            member.rooms.update(dict.fromkeys(member.rooms, member.tenant.position))
        await asyncio.gather(*(self._write_one(member) for member in batch if not member.socket.closed))

    async def _write_one(self, member: Member) -> None:
        async with self._members.changing(member):
            await self._members.write_session(member)

    async def _insist(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write as soon as Redis can be written to; what it refuses for another reason stays unwritten."""
        while True:
            try:
                await write()
            except (RedisUnavailable, ReplyError) as error:
                if is_tenants(error):
                    return
                with contextlib.suppress(RedisUnavailable):
                    await self._members.commands.wait_up(PATIENCE_S)
                await asyncio.sleep(self._limits.write_retry_s)  # one shard of several may be away
            else:
                return

    async def _close_all(self, members: list[Member], reason: str) -> None:
        for i, member in enumerate(members):
            member.socket.close(reason, CloseCode.RESTART)
            if i % BATCH == BATCH - 1:
                await asyncio.sleep(self._limits.close_pause_s)

    def _tell(self, telling: Any) -> None:
        task = asyncio.create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, (RedisUnavailable, ReplyError)):
            log.error("handler_failed", sid="", event_name="history", error=repr(error)[:200])

    # -- after a break

    async def recheck(self, tenant: Tenant) -> None:
        """Look up what control messages that were missed would have said."""
        # At once: joins that waited for the resync go on in the next turn, and have to ask again.
        for room in tenant.rooms.values():
            if room_kind(room.name) == "user":
                self._forget(room, None)
        members = list(tenant.members)
        for i in range(0, len(members), BATCH):
            await self._look_up(members[i : i + BATCH])
        await self._tell_people_again(tenant)

    async def _look_up(self, members: list[Member]) -> None:
        """Do to members of one tenant what Redis says has been said about them."""
        if not members:
            return
        who = [(member.pid, member.identity.user_id) for member in members]
        found = await self._members.sessions.statuses(members[0].tenant.id, who)
        for member, status in zip(members, found, strict=True):
            if member.socket.closed:
                continue
            if status.ended or status.revoked.blocks(member.identity):
                self._disconnect([member])
            elif status.generation > member.generation:
                evict(self._members, member)
            else:
                self._drop_taken(member, status.taken)

    async def _tell_people_again(self, tenant: Tenant) -> None:
        """Have told what is never replayed, and which members here may have missed since `heard_until`.

        It goes to everybody, not to them alone, so that it is in order with what is told meanwhile.
        """
        rooms = [
            room.name for room in tenant.rooms.values() if room.members and room_kind(room.name) == "conversation"
        ]
        delay_ms = await self._members.presence.tell_again(tenant.id, tenant.heard_until or 0, rooms)
        self._members.sweeper.soon(tenant.id, delay_ms)

    def _drop_taken(self, member: Member, taken: Iterable[tuple[Room, int]]) -> None:
        joined = {room.name: at for room, at in member.rooms.items()}
        for name, seq in taken:
            if joined.get(name, seq) < seq:
                self._take_away([member], name)


def _is_meant(identity: Identity, command: Mapping[str, Any]) -> bool:
    """Return whether a disconnection is for the bearer of this token."""
    match command:
        case {"token_id": str(token_id)}:
            return identity.token_id == token_id
        case {"issued_before": int() | float() as moment}:
            return identity.issued_at < moment
    return True


def _silence(members: Iterable[Member]) -> None:
    for member in members:
        member.socket.mute()
        member.since = NEVER
