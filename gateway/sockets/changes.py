"""Changing which rooms a session has, so that Redis and this replica never differ about it.

A socket that is out of a room while its session is in, or the other way round, is a silent loss: the next recovery
begins where the session says. So Redis is asked first, and the replica acts when it has said yes. Where its answer
was lost nobody knows what it did. Until that is known the socket is held, so that its client's offset stays before
the change; where that takes too long, the socket is closed: from such an offset a recovery is exact either way.

Who calls `add_room` or `remove_room` does so in `Members.changing`, from before the socket's own rooms change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.core.model import Member, Stay
from gateway.engine.errors import CloseCode
from gateway.errors import Unavailable
from gateway.redis.connection import AnswerLost, RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched
from gateway.sessions.store import Entered, session_key
from gateway.sockets.members import Members, facts, log, session_ref
from publisher.rooms import Room

# How long Redis may take to be back before a socket whose session is in doubt is closed.
PATIENCE_S = 5.0
IN_DOUBT = "session in doubt"

T = TypeVar("T")


async def add_room(members: Members, member: Member, name: Room, joined_at: int, knows: int | None) -> Entered:
    """Note in the session of a held member that it joined a room, and write the session again if it is gone.

    Raises `RedisUnavailable` or `ReplyError` if nothing was changed, `Unavailable` if the socket had to be closed.
    """
    entered = await _certainly(
        members, member, lambda: members.sessions.join(session_ref(member), name, joined_at, knows)
    )
    # Gone because its user was disconnected meanwhile: then it must stay gone.
    if not entered.known and not member.socket.closed:
        await _certainly(members, member, lambda: members.write_changed(member))
    return entered


async def remove_room(members: Members, member: Member, name: Room, *over: Stay) -> None:
    """Note in the session of a held member that it is no more in a room; raises as `add_room` does.

    `over` is its stay there, unless the member remembers that already.
    """
    stays = [*(member.stays or ()), *over]
    await _certainly(members, member, lambda: members.sessions.leave(session_ref(member), name, stays))


def remove_room_later(members: Members, member: Member, name: Room) -> None:
    """Do so for a member that is out of the room here, which is held until it is done."""
    member.hold()
    # On its way from now on: a join that follows comes after it.
    leaving = members.sessions.leave(session_ref(member), name, member.stays or ())
    unwatched(asyncio.ensure_future(_remove_and_uncork(members, member, name, leaving)))


async def _remove_and_uncork(members: Members, member: Member, name: Room, leaving: Awaitable[None]) -> None:
    try:
        await leaving
    except (RedisUnavailable, ReplyError):
        # The session has the room still, of which the socket gets nothing more. Unless it has joined again since.
        if member.tenant.rooms.get(name) not in member.rooms:
            close_in_doubt(member)
    finally:
        member.uncork()


async def _certainly(members: Members, member: Member, write: Callable[[], Awaitable[T]]) -> T:
    """Write until Redis answers; it may have been written twice then."""
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
    """Close a socket that must not get anything more before its session is claimed again."""
    if not member.socket.closed:
        log.warning("session_in_doubt", **facts(member))
        member.socket.close(IN_DOUBT, CloseCode.RESTART)
