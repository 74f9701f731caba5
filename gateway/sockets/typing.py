"""Typing: the other members are told once when it begins; it ends by itself if the client does not end it."""

from __future__ import annotations

import asyncio

from gateway.core.model import Member, Tenant
from gateway.errors import Refused
from gateway.rooms.notices import unwatched
from gateway.sockets.members import Members
from publisher.rooms import Room

# A browser sends `typing_start` with each key; Redis is told this many times within the time-out.
NOTES = 3


class Typing:
    """Writes to Redis that a user types in a conversation, or no longer does."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._pause_s = members.presence.times.typing_s / NOTES

    def start(self, member: Member, room: Room) -> None:
        """Note that a member types in a conversation; raises `Refused` if it is not in it."""
        self._check_joined(member, room)
        now = asyncio.get_running_loop().time()
        typing = self._members.typing.setdefault(member, {})
        if now - typing.get(room, -self._pause_s) < self._pause_s:
            return
        typing[room] = now
        self._tell(member, room, typing=True)

    def stop(self, member: Member, room: Room) -> None:
        """Note that a member has stopped typing in a conversation; raises `Refused` if it is not in it."""
        self._check_joined(member, room)
        typed = self._members.stopped_typing(member, room)
        # A member that came back may have begun to type on another replica.
        if typed or member.generation > 1:
            self._tell(member, room, typing=False)

    def tell_again(self, tenant: Tenant) -> None:
        """Tell Redis again who types here: it may have lost that, and then nobody would be told of the end."""
        since = asyncio.get_running_loop().time() - self._members.presence.times.typing_s
        for member in tenant.members:
            for room, told_at in self._members.typing.get(member, {}).items():
                if told_at > since:
                    self._tell(member, room, typing=True)

    def _check_joined(self, member: Member, room: Room) -> None:
        if not _is_in(member, room):
            raise Refused("not_joined")

    def _tell(self, member: Member, room: Room, *, typing: bool) -> None:
        # Typing is at most once by contract: while Redis is down it is lost, and no event waits for it.
        unwatched(asyncio.ensure_future(self._type(member, room, typing=typing)))

    async def _type(self, member: Member, room: Room, *, typing: bool) -> None:
        if not _is_in(member, room):
            return  # the member left in the same turn, and Redis is told of that already
        tenant, user_id = member.tenant.id, member.identity.user_id
        skip = member.sid if self._members.settings.typing_to_own_tabs else f"@{user_id}"
        delay_ms = await self._members.presence.type(tenant, room, member.pid, user_id, skip, typing=typing)
        self._members.sweeper.soon(member.tenant.id, delay_ms)


def _is_in(member: Member, room: Room) -> bool:
    return member.tenant.rooms.get(room) in member.rooms
