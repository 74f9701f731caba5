"""Changing the rooms of a session, so that Redis and this replica never differ about them.

If a socket is in a room and its session is not, or the other way round, events are lost in silence: a recovery
begins with the session. So the replica asks Redis first, and acts after Redis has confirmed. If Redis' answer is
lost, it is unknown what Redis did. Until that is known the member is corked, so its client's offset stays before
the change. If that takes too long, the socket is closed: from such an offset a recovery is exact either way.

The caller of `add_room` or `remove_room` holds `Members.changing`, from before the socket's own rooms change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.core.model import Member
from gateway.core.stays import Stay
from gateway.engine.errors import CloseCode
from gateway.errors import Unavailable
from gateway.redis.connection import AnswerLost, RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched
from gateway.sessions.keys import session_key
from gateway.sessions.store import Entered
from gateway.sockets.members import Members, facts, log, session_ref
from publisher.rooms import Room

# Seconds that Redis may take to come back before a socket whose session is in doubt is closed.
PATIENCE_S = 5.0
IN_DOUBT = "session in doubt"

T = TypeVar("T")


async def add_room(members: Members, member: Member, name: Room, joined_at: int, knows: int | None) -> Entered:
    """Note in the session of a corked member that it joined a room; write the session again if it is gone.

    Raises `RedisUnavailable` or `ReplyError` if nothing was changed, `Unavailable` if the socket had to be closed.
    """
    entered = await _certainly(
        members, member, lambda: members.sessions.join(session_ref(member), name, joined_at, knows)
    )
    # If the session is gone because its user was disconnected meanwhile, it must stay gone.
    if not entered.known and not member.socket.closed:
        await _certainly(members, member, lambda: members.write_changed(member))
    return entered


async def remove_room(members: Members, member: Member, name: Room, *over: Stay, taken: bool = False) -> None:
    """Note in the session of a corked member that it left a room.

    `over` is its stay in that room; leave it out if the member remembers the stay already. `taken` says that the
    client has not left by itself. Raises
    `RedisUnavailable` or `ReplyError` if nothing was changed, `Unavailable` if the socket had to be closed.
    """
    stays = [*(member.stays or ()), *over]
    leave = members.sessions.leave
    await _certainly(members, member, lambda: leave(session_ref(member), name, stays, taken=taken))


def remove_room_later(members: Members, member: Member, name: Room) -> None:
    """Do the same for a member from which the room was taken on this replica; it is corked until it is done."""
    member.hold()
    # The command is sent now, so that a later join comes after it.
    leaving = members.sessions.leave(session_ref(member), name, member.stays or (), taken=True)
    unwatched(asyncio.ensure_future(_remove_and_uncork(members, member, name, leaving)))


async def _remove_and_uncork(members: Members, member: Member, name: Room, leaving: Awaitable[None]) -> None:
    try:
        await leaving
    except (RedisUnavailable, ReplyError):
        # The session still has the room, but the socket gets no events of it, unless it has joined again.
        if member.tenant.rooms.get(name) not in member.rooms:
            close_in_doubt(member)
    finally:
        member.uncork()


async def _certainly(members: Members, member: Member, write: Callable[[], Awaitable[T]]) -> T:
    """Write until Redis answers; the change may have been written twice then."""
    try:
        return await write()
    except AnswerLost:
        pass
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not member.socket.closed:
                await asyncio.sleep(0)  # the connection may not have noticed yet that it is down
                await members.commands.wait_up(PATIENCE_S, session_key(member.tenant.id, member.pid))
                try:
                    return await write()
                except RedisUnavailable:
                    continue
    except (RedisUnavailable, ReplyError, TimeoutError):
        pass
    close_in_doubt(member)
    raise Unavailable


def close_in_doubt(member: Member) -> None:
    """Close a socket that must get no further event before its session is claimed again."""
    if not member.socket.closed:
        log.warning("session_in_doubt", **facts(member))
        member.socket.close(IN_DOUBT, CloseCode.RESTART)
