"""Typing: told to the others once, and over by itself when nobody says so."""

from __future__ import annotations

import asyncio

from gateway.core.model import Member
from gateway.errors import Refused
from gateway.rooms.notices import unwatched
from gateway.sockets.members import Members
from publisher.rooms import Room

# A browser says it with each key; that it goes on is noted this many times within the time-out.
NOTES = 3


class Typing:
    """The typing of members."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._pause_s = members.presence.times.typing_s / NOTES

    def start(self, member: Member, room: Room) -> None:
        """Note that a member types in a conversation that it is in. Raises `Refused`."""
        self._check_joined(member, room)
        now = asyncio.get_running_loop().time()
        typing = self._members.typing.setdefault(member, {})
        if now - typing.get(room, -self._pause_s) < self._pause_s:
            return
        typing[room] = now
        self._tell(member, room, typing=True)

    def stop(self, member: Member, room: Room) -> None:
        """Note that a member has stopped. Raises `Refused`."""
        self._check_joined(member, room)
        typed = self._members.stopped_typing(member, room)
        # One that came back may have begun on another replica.
        if typed or member.generation > 1:
            self._tell(member, room, typing=False)

    def _check_joined(self, member: Member, room: Room) -> None:
        if not _is_in(member, room):
            raise Refused("not_joined")

    def _tell(self, member: Member, room: Room, *, typing: bool) -> None:
        # Typing is at most once by contract: while Redis is away nobody sees it, and nobody waits for it.
        unwatched(asyncio.ensure_future(self._type(member, room, typing=typing)))

    async def _type(self, member: Member, room: Room, *, typing: bool) -> None:
        if not _is_in(member, room):
            return  # it has left in the same turn, which is under way already
        tenant, user_id = member.tenant.id, member.identity.user_id
        skip = member.sid if self._members.settings.typing_to_own_tabs else f"@{user_id}"
        delay_ms = await self._members.presence.type(tenant, room, member.pid, user_id, skip, typing=typing)
        self._members.sweeper.soon(member.tenant.id, delay_ms)


def _is_in(member: Member, room: Room) -> bool:
    return member.tenant.rooms.get(room) in member.rooms
