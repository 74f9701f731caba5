"""The gateway's Socket.IO server: connects, events and departures of the one namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from gateway.auth import Tokens
from gateway.core.model import Member
from gateway.engine import CloseReason, EngineOptions
from gateway.limits.connects import Connects
from gateway.rooms.notices import unwatched
from gateway.sockets.connect import Connector
from gateway.sockets.control import ControlHandler
from gateway.sockets.events import Events
from gateway.sockets.expiry import Expiry
from gateway.sockets.manager import RoomManager
from gateway.sockets.members import Members, facts, log, session_ref
from gateway.sockets.packets import Packet
from gateway.sockets.presence_leases import PresenceLeases
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.session_changes import IN_DOUBT
from gateway.sockets.session_leases import SessionLeases, since
from gateway.sockets.socketio_server import LEFT, Admission, Peer, SocketServer
from gateway.sockets.typing import Typing
from publisher.rooms import Room

# Reasons for which this replica closes sockets that should come back at once, to any replica.
SENT_AWAY = (CloseReason.SHUTDOWN, "gap", "history lost", IN_DOUBT)


class GatewayServer(SocketServer):
    """The Socket.IO server that browsers talk to."""

    def __init__(
        self,
        members: Members,
        tokens: Tokens,
        options: EngineOptions,
        connects: Connects | None = None,
    ) -> None:
        super().__init__(
            options=options,
            connect_timeout_s=members.settings.connect_timeout_s,
            connects=connects,
            client_manager=RoomManager(),
        )
        self.members = members
        self.room_access = RoomAccess(members)
        self.connector = Connector(members, tokens, self.room_access)
        typing = Typing(members)
        self.control = ControlHandler(members, typing)
        self.leases = SessionLeases(members)
        self.presence = PresenceLeases(members)
        self._expiry = Expiry(members, tokens, self.room_access, self.eio.call_later)
        self._events = Events(members, self._expiry, self.room_access, typing)

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        """Accept a socket with a valid token; refuse any other."""
        admission = await self.connector.connect(peer, auth)
        self._expiry.watch(_member_of(peer))
        return admission

    def handle_event(self, peer: Peer, namespace: str, packet: Packet) -> Awaitable[None] | None:
        """Handle one event of a browser."""
        return self._events.handle(_member_of(peer), packet)

    def departed(self, peer: Peer, namespace: str, sid: str, reason: str) -> None:
        """Clean up after a socket; unless it left for good, its session waits for a recovery from now on."""
        member, peer.member = _member_of(peer), None
        self._expiry.cancel(peer)
        self._events.departed(member)
        typing = self.members.typing.pop(member, ())
        moved_on = self.members.by_sid.get(member.sid) is not member
        self.members.take_out(member)
        if not moved_on:
            unwatched(asyncio.ensure_future(self._end(member, typing, reason)))
        log.info("socket_disconnected", **facts(member), reason=reason)

    async def _end(self, member: Member, typing: Iterable[Room], reason: str) -> None:
        sessions = self.members.sessions
        if reason == LEFT:
            # The browser may be loading the next page, so the user stays online for the grace time.
            await sessions.end(session_ref(member), typing, at_once=False)
        else:
            moving = reason in SENT_AWAY
            await sessions.begin_window(session_ref(member), since(member), typing, moving=moving)


def _member_of(peer: Peer) -> Member:
    assert peer.member is not None
    return peer.member
