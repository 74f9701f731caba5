"""Access to rooms: checked at each join, at each recovery, and when a refreshed token has another role."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from gateway.core.model import Identity, Member
from gateway.errors import Refused, Unavailable
from gateway.sockets.members import Members, log
from gateway.sockets.removal import remove_from_room
from publisher.rooms import Room, room_kind

# Kinds of rooms that every socket is in; its token has allowed them.
OWN = ("organization", "user")
# Rooms of one socket that are checked at the same time.
AT_ONCE = 20


class RoomAccess:
    """Asks `Members.access`, and removes members from rooms that are closed to them."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.denied = 0
        """Number of joins that were denied, and of rooms that users lost with a recovery or a new role."""

    async def check(self, member: Member, name: Room, *, was_in: bool) -> int:
        """Check that a socket may join a room; return `Access.changes` from before the check.

        A socket that is in the room already is checked, too, because the answer may carry the room's history; if
        the room is closed to it, it is removed. Raises `Refused`; `Unavailable`, `RedisUnavailable` or
        `ReplyError` if there is no answer.
        """
        changes = self._members.access.changes
        if not await self._may_join(member.identity, name):
            self.denied += 1
            if was_in:
                remove_from_room(self._members, member, name)
            raise Refused("forbidden", "you may not join this room")
        return changes

    async def _may_join(self, identity: Identity, name: Room) -> bool:
        """Return whether the user may be in the room: not blocked in Redis, and allowed by `Members.access`."""
        if await self._members.sessions.blocked(identity.tenant, identity.user_id, [name]):
            return False
        verdict = self._members.access.may_join(identity, name)
        return verdict if isinstance(verdict, bool) else await verdict

    async def check_again(self, member: Member, name: Room, changes: int, *, was_in: bool) -> None:
        """Check a join again, as `check` does, while access has changed since the last check."""
        while changes != self._members.access.changes:
            changes = await self.check(member, name, was_in=was_in)

    async def closed_to(self, identity: Identity, rooms: Iterable[Room]) -> set[Room]:
        """Return the rooms of a returning user that are closed to the user by now.

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
        """Return the rooms that the user's role or the backend does not allow.

        Rooms without an answer in time stay open: they were allowed once, and Redis remembers revocations.
        Otherwise a restart of the backend would remove every user who comes back meanwhile.
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
        """Remove a socket from the rooms that its new role does not open."""
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
