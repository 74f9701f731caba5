"""Acting on what the room subscriptions find: control messages, gaps in the history, and lost histories."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.frames import Frame
from gateway.core.model import NEVER, Identity, Member, RoomState, Tenant
from gateway.engine import CloseReason
from gateway.engine.errors import CloseCode
from gateway.errors import Refused
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched
from gateway.sockets import packets
from gateway.sockets.members import Members, evict, facts, log, session_ref
from gateway.sockets.removal import remove_from_room
from gateway.sockets.session_repair import SessionRepair, insist, is_as_here
from gateway.sockets.typing import Typing
from gateway.tasks import cancelled
from publisher import InvalidEvent, parse_room, wire
from publisher.rooms import Room, room_kind

# Sockets that are closed together, before a pause: they all come back, to all replicas.
BATCH = 100


class ControlHandler:
    """Acts on the members of this replica, by control messages and by losses of the history."""

    def __init__(self, members: Members, typing: Typing) -> None:
        self._members = members
        self._typing = typing
        self._repair = SessionRepair(members)
        self._limits = members.commands.limits
        self._telling: set[asyncio.Task[None]] = set()
        self.evicted = 0
        """Number of sockets that were closed because their user had too many."""

    async def stop(self) -> None:
        """Cancel the tasks of control messages that are not done."""
        await cancelled(*self._telling)
        await self._repair.stop()

    # -- control messages: on a user's own room, for that user's sockets

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Carry out a control message about the sockets of the user whose own room this is."""
        try:
            command = msgspec.json.decode(message.body)
            members = list(room.members)
            match command:
                case {"do": "disconnect"}:
                    self._invalidate(room, None)
                    self._disconnect([member for member in members if _is_meant(member.identity, command)])
                case {"do": "evict", "pid": str(pid)}:
                    self._evict([member for member in members if member.pid == pid])
                case {"do": "leave", "room": str(name)}:
                    taken = parse_room(name)
                    self._invalidate(room, taken)
                    self._revoke_room(members, taken)
                case {"do": "close", "pid": str(pid), "before": int(generation)}:
                    self._close_older(members, pid, generation)
                case _:
                    self._members.subscriptions.hub.stats.malformed += 1
        except (msgspec.DecodeError, InvalidEvent):
            self._members.subscriptions.hub.stats.malformed += 1

    def _invalidate(self, own: RoomState, name: Room | None) -> None:
        """Drop cached answers about a user, named by the user's own room: about one room, or about all."""
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
        """Close these sockets, the oldest of a user who has too many, and tell them not to come back.

        If they came back, they would push the others out.
        """
        for member in members:
            self._members.tell(member, "error", Refused("too_many_connections").as_error() | {"event": "connect"})
            log.info("socket_evicted", **facts(member))
        self._disconnect(members)
        self.evicted += len(members)

    def _revoke_room(self, members: list[Member], name: Room) -> None:
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
        """Mute this room's members, and close them to recover; the recovery tells them of the gap.

        Mute first: with one newer event, a client would come back with an offset behind the gap.
        """
        members = list(room.members)
        _silence(members)
        self._tell(self._mark(members))

    def history_lost(self, tenant: Tenant) -> None:
        """Mute the tenant's members, write their sessions again, and close them to come back with their rooms.

        The recovery finds another epoch and tells them.
        """
        members = list(tenant.members)
        log.error("history_lost", tenant=tenant.id, sockets=len(members))
        _silence(members)
        self._tell(self._restore(members))

    async def _mark(self, members: list[Member]) -> None:
        """Note in the sessions that an event is lost, which an offset may not show; then close the sockets.

        Sessions of sockets that have ended are marked, too; if such a client has come back, it is closed again.
        """
        for i in range(0, len(members), BATCH):
            batch = [session_ref(member) for member in members[i : i + BATCH]]
            await insist(self._members.commands, lambda batch=batch: self._members.sessions.mark_holed(batch))  # type: ignore[misc]
        await self._close_all(members, "gap")

    async def _restore(self, members: list[Member]) -> None:
        for i in range(0, len(members), BATCH):
            batch = [member for member in members[i : i + BATCH] if not member.socket.closed]
            await insist(self._members.commands, lambda batch=batch: self._write(batch))  # type: ignore[misc]
            await self._close_all(batch, "history lost")
            await asyncio.sleep(self._limits.close_pause_s)

    async def _write(self, batch: list[Member]) -> None:
        """Write sessions with their rooms joined as of now; without this no client could keep its rooms."""
        # Look up revocations first: they are compared with the seqs of the joins, which change below.
        await self._look_up(batch)
        for member in batch:
            member.rooms.update(dict.fromkeys(member.rooms, member.tenant.position))
        await asyncio.gather(*(self._write_one(member) for member in batch if not member.socket.closed))

    async def _write_one(self, member: Member) -> None:
        async with self._members.changing(member):
            await self._members.write_session(member)

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
        """Act on control messages that were missed, by the state that they have left in Redis.

        Sessions that have not become what they are here are written again: Redis may have lost its last writes.
        """
        # Before any wait: joins that waited for the resync continue in the next turn, and must ask again.
        for room in tenant.rooms.values():
            if room_kind(room.name) == "user":
                self._invalidate(room, None)
        members = list(tenant.members)
        for i in range(0, len(members), BATCH):
            self._repair.write_again(tenant, await self._look_up(members[i : i + BATCH]))

    async def _look_up(self, members: list[Member]) -> list[Member]:
        """Act on members of one tenant, by the state that control messages have left in Redis.

        Return those that stay, and whose sessions are not what they are here.
        """
        differing: list[Member] = []
        if not members:
            return differing
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
                if not is_as_here(status, member):
                    differing.append(member)
                self._drop_taken(member, status.taken)
        return differing

    async def tell_again(self, tenant: Tenant) -> None:
        """Have presence published again, as members here may have missed changes since `heard_until`.

        It goes to all members of the tenant's rooms, not to ours alone, so that it is in order with other changes.
        Of typing here Redis is told again, or it might never end.
        """
        self._typing.tell_again(tenant)
        rooms = [
            room.name for room in tenant.rooms.values() if room.members and room_kind(room.name) == "conversation"
        ]
        delay_ms = await self._members.presence.tell_again(tenant.id, tenant.heard_until or 0, rooms)
        self._members.sweeper.soon(tenant.id, delay_ms)

    def _drop_taken(self, member: Member, taken: Iterable[tuple[Room, int]]) -> None:
        joined = {room.name: at for room, at in member.rooms.items()}
        for name, seq in taken:
            if joined.get(name, seq) < seq:
                self._revoke_room([member], name)


def _is_meant(identity: Identity, command: Mapping[str, Any]) -> bool:
    """Return whether a `disconnect` message is about the bearer of this token."""
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
