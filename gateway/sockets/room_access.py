"""Access to rooms: asked at each join, at each recovery, and when a refreshed token has another role."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from gateway.core.frames import Frame
from gateway.core.model import Identity, Member
from gateway.errors import Refused, Unavailable
from gateway.sockets import packets
from gateway.sockets.changes import remove_room_later
from gateway.sockets.members import Members, log
from publisher.rooms import Room, room_kind

# Rooms that a socket is put into because of who it is: its token has allowed them.
OWN = ("organization", "user")
# Rooms of one socket that are asked about at the same time.
AT_ONCE = 20


class RoomAccess:
    """Asks `Members.access`, and puts out those who may not stay."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.denied = 0
        """Joins that were not allowed, and rooms kept from users who came back."""

    async def check(self, member: Member, name: Room, *, was_in: bool) -> int:
        """Have a socket's join allowed; return `Access.changes` as of the question.

        A socket that was in the room before is asked about as well: the answer to the join may carry the room's
        history. If it is refused, it is put out. Raises `Refused`; `Unavailable`, `RedisUnavailable` or
        `ReplyError` if nobody can say.
        """
        changes = self._members.access.changes
        if not await self._may_join(member.identity, name):
            self.denied += 1
            if was_in:
                remove_from_room(self._members, member, name)
            raise Refused("forbidden", "you may not join this room")
        return changes

    async def _may_join(self, identity: Identity, name: Room) -> bool:
        """Ask whether the user is held off, and whether it may be in the room otherwise."""
        if await self._members.sessions.blocked(identity.tenant, identity.user_id, [name]):
            return False
        verdict = self._members.access.may_join(identity, name)
        return verdict if isinstance(verdict, bool) else await verdict

    async def check_again(self, member: Member, name: Room, changes: int, *, was_in: bool) -> None:
        """Have a join allowed once more, as `check` does, if what it was told then may be wrong by now."""
        while changes != self._members.access.changes:
            changes = await self.check(member, name, was_in=was_in)

    async def closed_to(self, identity: Identity, rooms: Iterable[Room]) -> set[Room]:
        """Return those rooms of a returning user that they may not be in any more.

        Raises `RedisUnavailable` or `ReplyError`.
        """
        asked = [name for name in rooms if room_kind(name) not in OWN]
        blocked = await self._members.sessions.blocked(identity.tenant, identity.user_id, asked)
        closed = blocked | await self._not_allowed(identity, [name for name in asked if name not in blocked])
        self._withheld(identity, closed)
        return closed

    def _withheld(self, identity: Identity, closed: set[Room]) -> None:
        if closed:
            self.denied += len(closed)
            log.info("rooms_not_restored", user=identity.user_id, tenant=identity.tenant, rooms=len(closed))

    async def _not_allowed(self, identity: Identity, asked: list[Room]) -> set[Room]:
        """Return those rooms that the user's role or the backend does not allow.

        Where nobody can say in time they stay: they were allowed once, what a backend takes away is remembered
        in Redis, and a backend's restart would otherwise put everybody out who comes back meanwhile.
        """
        closed: set[Room] = set()
        try:
            async with asyncio.timeout(self._members.settings.authorize_timeout_s):
                for i in range(0, len(asked), AT_ONCE):
                    closed |= await self._closed(identity, asked[i : i + AT_ONCE])
        except TimeoutError:
            pass
        return closed

    async def _closed(self, identity: Identity, names: list[Room]) -> set[Room]:
        verdicts = {name: self._members.access.may_join(identity, name) for name in names}
        closed = {name for name, verdict in verdicts.items() if verdict is False}
        waiting = {name: _may_stay(verdict) for name, verdict in verdicts.items() if not isinstance(verdict, bool)}
        if waiting:
            answers = await asyncio.gather(*waiting.values())
            closed |= {name for name, stays in zip(waiting, answers, strict=True) if not stays}
        return closed

    async def review(self, member: Member) -> None:
        """Put a socket out of the rooms that its new role does not open."""
        identity, names = member.identity, [room.name for room in member.rooms]
        closed = await self._not_allowed(identity, [name for name in names if room_kind(name) not in OWN])
        self._withheld(identity, closed)
        for name in closed:
            remove_from_room(self._members, member, name)


async def _may_stay(verdict: Awaitable[bool]) -> bool:
    try:
        return await verdict
    except Unavailable:
        return True


def remove_from_room(members: Members, member: Member, name: Room) -> None:
    """Take a socket out of a room, also for recoveries to come, and tell it so; nothing if it is not in."""
    room = member.tenant.rooms.get(name)
    if room is None or room not in member.rooms:
        return
    members.leave_room(member, room)
    members.stopped_typing(member, name)
    if member.cork is None:
        member.socket.send_frame(left_event(name))
    else:
        # Behind what the room gave it before.
        member.keep(member.last_seq, left_event(name))
    remove_room_later(members, member, name)


def left_event(name: Room) -> Frame:
    """Make the event that tells a socket that it is not in a room any more."""
    kind, _, ident = name.partition(":")
    if kind == "conversation":
        return Frame(packets.event("left_conversation", {"conversation_id": ident}))
    return Frame(packets.event("left_room", {"room": name}))
