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
from gateway.sockets.changes import IN_DOUBT
from gateway.sockets.chunked_send import Sleep
from gateway.sockets.connect import Connector
from gateway.sockets.control import ControlHandler
from gateway.sockets.events import Events
from gateway.sockets.expiry import Expiry
from gateway.sockets.leases import Leases, since
from gateway.sockets.manager import RoomManager
from gateway.sockets.members import Members, facts, log, session_ref
from gateway.sockets.packets import Packet
from gateway.sockets.presence import PresenceLeases
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.socketio_server import LEFT, Admission, Peer, SocketServer
from publisher.rooms import Room

# Why this replica closes sockets that come back by themselves, to wherever there is room for them.
SENT_AWAY = (CloseReason.SHUTDOWN, "gap", "history lost", IN_DOUBT)


class GatewayServer(SocketServer):
    """Everything that browsers talk to."""

    def __init__(
        self,
        members: Members,
        tokens: Tokens,
        options: EngineOptions,
        connects: Connects | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(
            options=options,
            connect_timeout_s=members.settings.connect_timeout_s,
            connects=connects,
            client_manager=RoomManager(members),
        )
        self.members = members
        self.room_access = RoomAccess(members)
        self.connector = Connector(members, tokens, self.room_access, sleep)
        self.control = ControlHandler(members)
        self.leases = Leases(members)
        self.presence = PresenceLeases(members)
        self._expiry = Expiry(members, tokens, self.room_access, self.eio.call_later)
        self._events = Events(members, self._expiry, self.room_access)

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        """Accept a socket whose token is good."""
        admission = await self.connector.connect(peer, auth)
        self._expiry.watch(_member_of(peer))
        return admission

    def handle_event(self, peer: Peer, namespace: str, packet: Packet) -> Awaitable[None] | None:
        """Handle what a browser asks."""
        return self._events.handle(_member_of(peer), packet)

    def departed(self, peer: Peer, namespace: str, sid: str, reason: str) -> None:
        """Let go of a socket; unless it left for good, its session waits for it from now on."""
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
            # The page may be on its way to the next one: its user gets the time that a reload has.
            await sessions.end(session_ref(member), typing, at_once=False)
        else:
            moving = reason in SENT_AWAY
            await sessions.begin_window(session_ref(member), since(member), typing, moving=moving)


def _member_of(peer: Peer) -> Member:
    assert peer.member is not None
    return peer.member
