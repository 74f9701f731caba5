"""Connecting: a socket is admitted with a new session, or it recovers the session that it had.

The token is verified in either case. If the wanted session is lost, the client is told why and gets a new one.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from gateway.auth import Tokens, token_of
from gateway.core.history import StreamPosition
from gateway.core.model import Identity, Member, QueuedFrame, RoomState
from gateway.core.recovery import Wanted
from gateway.errors import Refused, Unavailable
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import notice, unwatched
from gateway.sockets.admission import check_status, greeting, subscribe
from gateway.sockets.members import Members, facts, log, session_ref
from gateway.sockets.presence_snapshot import catch_up, in_place
from gateway.sockets.recover import Lost, Recovery
from gateway.sockets.removal import left_event
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.socketio_server import Admission, Peer
from publisher import InvalidEvent, Offset, parse_offset
from publisher.ids import new_id
from publisher.rooms import organization, user

_PID = re.compile(r"[A-Za-z0-9_-]{8,64}")

# For a socket that asks for no recovery.
NOTHING = Lost("")


class Connector:
    """Answers CONNECT: verifies the token, and gives the socket a new session or the one that it had."""

    def __init__(self, members: Members, tokens: Tokens, room_access: RoomAccess) -> None:
        self._members = members
        self._tokens = tokens
        self._room_access = room_access
        self.recovery = Recovery(members, room_access)
        self.outcomes: dict[str, int] = {}
        """Recoveries by outcome: `recovered` or the reason why not."""
        self.refused: dict[str, int] = {}
        """Connects refused, by code."""

    async def connect(self, peer: Peer, auth: Any) -> Admission:
        """Accept a socket; raises `Refused`, or `Unavailable` if the client should try again."""
        environ = peer.socket.environ or {}
        try:
            peer.takes_statuses = isinstance(auth, dict) and auth.get("statuses") is True
            identity = await self._tokens.identify(token_of(auth, environ.get("HTTP_AUTHORIZATION")))
            member, admission = await self._arrive(peer, identity, _wanted(auth))
        except Refused as refused:
            self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
            log.warning("socket_refused", code=refused.code, remote=environ.get("REMOTE_ADDR"))
            raise
        except (RedisUnavailable, ReplyError):
            raise Unavailable from None
        peer.member = member
        log.info(
            "socket_connected",
            **facts(member),
            transport=peer.socket.transport,
            remote=environ.get("REMOTE_ADDR"),
            recovered=member.generation > 1,
        )
        return admission

    async def _arrive(self, peer: Peer, identity: Identity, wanted: Wanted | None) -> tuple[Member, Admission]:
        if wanted is None:
            return await self._admit_new(peer, identity)
        try:
            arrived = await self.recovery.recover(peer, identity, wanted)
        except Lost as lost:
            self._count(lost.reason)
            user_id = identity.user_id
            notice(self._members.commands, identity.tenant, "not recovered", user=user_id, reason=lost.reason)
            return await self._admit_new(peer, identity, lost, wanted.offset)
        self._count("recovered")
        notice(self._members.commands, identity.tenant, "recovered", user=identity.user_id)
        return arrived

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # -- new sessions

    async def _admit_new(
        self, peer: Peer, identity: Identity, lost: Lost = NOTHING, after: Offset | None = None
    ) -> tuple[Member, Admission]:
        members, keep = self._members, lost.rooms
        closed = await self._room_access.closed_to(identity, keep) if keep else ()
        tenant = members.subscriptions.hub.tenant(identity.tenant)
        own = (user(identity.user_id), organization(tenant.id))
        names = list(dict.fromkeys((*own, *(name for name in keep if name not in closed))))
        member = Member(peer.socket, identity, tenant, new_id(15), new_id(18))
        member.takes_statuses = peer.takes_statuses
        member.hold()
        rooms = await subscribe(members, member, names)
        told: list[QueuedFrame] = []
        try:
            place = await self._open_session(member, rooms, lost)
            offset = await self._enter(member, rooms, place)
            if lost.reason:
                seq = after.seq if after is not None and after.epoch == place.epoch else None
                told = await catch_up(members, member, names, seq)
        except BaseException:
            members.take_out(member)
            unwatched(asyncio.ensure_future(members.sessions.end(session_ref(member), at_once=False)))
            raise
        finally:
            members.subscriptions.release(rooms)
        news = in_place(member.take_cork(), told)
        hello = greeting(identity, offset, recovered=False, reason=lost.reason or None)
        follow = [hello, *map(left_event, (*closed, *lost.taken)), *(corked.frame for corked in news)]
        return member, Admission(member.sid, member.pid, follow, member.uncork)

    async def _open_session(self, member: Member, rooms: list[RoomState], lost: Lost) -> StreamPosition:
        """Write the member's session and locate its rooms; return the position at which the session was opened."""
        members, tenant = self._members, member.tenant
        breaks = tenant.breaks
        opened = await members.sessions.open(
            session_ref(member), dict.fromkeys(room.name for room in rooms), lost.reason
        )
        if opened.revoked.blocks(member.identity):
            raise Refused("token_revoked")
        if lost.rooms:
            await check_status(members, member, lost.rooms)
        members.subscriptions.learn(tenant, opened.place, rooms if tenant.breaks == breaks else ())
        await members.subscriptions.locate(tenant, rooms)
        return opened.place

    async def _enter(self, member: Member, rooms: list[RoomState], place: StreamPosition) -> Offset:
        """Add the member to its rooms; return the offset after which it gets their events."""
        members = self._members
        # Earlier events are not for this socket: neither those that are still under way to us, nor those that the
        # rooms got while the answer with the position was under way.
        member.opened_at = member.since = place.seq
        member.last_seq = max(place.seq, *(room.last_seq or 0 for room in rooms))
        offset = Offset(place.epoch, member.last_seq)
        for room in rooms:
            room.add(member, member.last_seq)
        members.enter(member)
        if member.last_seq > place.seq:
            await members.sessions.put_off(session_ref(member), [room.name for room in rooms], member.last_seq)
        return offset


def _wanted(auth: Any) -> Wanted | None:
    """Return the claim that a returning client sent with its token; None if it sent none."""
    pid = auth.get("pid") if isinstance(auth, dict) else None
    if not isinstance(pid, str) or not _PID.fullmatch(pid):
        return None
    if auth.get("offset") is None:
        return Wanted(pid, None, nonsense=False)
    try:
        return Wanted(pid, parse_offset(auth["offset"]), nonsense=False)
    except InvalidEvent:
        return Wanted(pid, None, nonsense=True)
