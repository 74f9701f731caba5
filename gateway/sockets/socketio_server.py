"""python-socketio's AsyncServer on our engine, as the Socket.IO v5 document defines it.

Only this module uses private methods of python-socketio, which is pinned; `tests/sockets/test_socketio_server.py`
fails when they change. Differences from upstream: packets are decoded strictly, and a malformed one closes the
transport; CONNECT comes before any event; a refusal is an object that the client can read; a socket that never
sends CONNECT is closed; events of one socket are handled one after the other, without a task if a handler does not
wait; the environ is dropped after the connect.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import socketio

from gateway.core.frames import Frame
from gateway.core.model import Member, MemberSocket
from gateway.engine import CloseReason, EngineOptions, EngineServer, EngineSocket, ProtocolViolation
from gateway.engine.errors import CloseCode
from gateway.engine.timers import Call
from gateway.errors import Refused, Unavailable
from gateway.limits.connects import Connects
from gateway.sockets import packets
from gateway.sockets.packets import Packet, PacketType

_silent = logging.getLogger("gateway.sockets.silent")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


# Most refused connects of one socket; one more closes it. A browser leaves after the first.
MAX_REFUSALS = 3

# If a socket sends too much, these packets are dropped; an event is answered with an error.
_NO_ANSWER = frozenset((PacketType.CONNECT, PacketType.ACK, PacketType.BINARY_ACK))

# The client sent a DISCONNECT packet, and did not lose its transport: it does not want to come back.
LEFT = "client namespace disconnect"


class Admission(NamedTuple):
    """An accepted connection: the ids in CONNECT, the frames that follow it, and a function to call after them."""

    sid: str
    pid: str | None = None
    follow: Sequence[Frame] = ()
    begin: Callable[[], Awaitable[None] | None] | None = None


class Peer:
    """One Engine.IO session as Socket.IO sees it.

    `deadline` is the timer of the connect time-out, and later of the token's end. `member` and `takes_statuses`
    are for the server's subclass.
    """

    __slots__ = (
        "_others",
        "deadline",
        "early",
        "member",
        "partial",
        "refusals",
        "sid",
        "socket",
        "takes_statuses",
    )

    def __init__(self, socket: EngineSocket) -> None:
        self.socket = socket
        self.sid: str | None = None
        self.member: Member | None = None
        self.deadline: Call | None = None
        self.early: list[Any] | None = None
        """Packets of a connect handler, which wait until CONNECT is sent."""
        self.refusals = 0
        self.takes_statuses = False
        self.partial: tuple[Packet, list[bytes]] | None = None
        self._others: dict[str, str] | None = None

    def sid_in(self, namespace: str) -> str | None:
        """Return the sid in a namespace; None if the peer is not connected to it."""
        if namespace == "/":
            return self.sid
        return self._others.get(namespace) if self._others else None

    def set_sid(self, namespace: str, sid: str | None) -> None:
        """Note the sid in a namespace; None if the peer has left it."""
        if namespace == "/":
            self.sid = sid
        elif sid is None:
            (self._others or {}).pop(namespace, None)
        else:
            self._others = (self._others or {}) | {namespace: sid}

    def namespaces(self) -> list[str]:
        """Return the namespaces that the peer is connected to."""
        return [*(["/"] if self.sid else []), *(self._others or ())]

    def attach(self, data: bytes) -> Packet | None:
        """Take an attachment; return the packet with the last one, and None before."""
        if self.partial is None:
            raise ProtocolViolation(CloseCode.PROTOCOL, "unexpected binary message")
        packet, attachments = self.partial
        attachments.append(data)
        if len(attachments) < packet.attachments:
            return None
        self.partial = None
        return packets.assemble(packet, attachments)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]  # upstream is not typed
    """python-socketio's server on our engine; a subclass may override `admit`, `handle_event` and `departed`."""

    def __init__(
        self,
        *,
        options: EngineOptions,
        connect_timeout_s: float,
        connects: Connects | None = None,
        **upstream: Any,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._connects = connects
        self._max_attachment_bytes = options.max_payload_bytes
        options = dataclasses.replace(options, opener=self._opened, receiver=self._received, closer=self._closed)
        super().__init__(options=options, logger=_silent, async_handlers=False, **upstream)

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # -- for a subclass

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        """Accept a connection, or raise `Refused`; by default python-socketio's handlers decide."""
        sid = await self.manager.pre_connect(peer.socket.sid, namespace)
        peer.early = []
        try:
            accepted = await self._trigger_event("connect", namespace, sid, peer.socket.environ, auth)
            if accepted is False:
                raise Refused("forbidden")
        except Exception:
            peer.early = None
            await self.manager.disconnect(sid, namespace, ignore_queue=True)
            raise
        return Admission(sid, begin=lambda: self._flush_early(peer, namespace, sid))

    async def _flush_early(self, peer: Peer, namespace: str, sid: str) -> None:
        early, peer.early = peer.early or (), None
        for packet in early:
            await self._send_eio_packet(peer.socket.sid, packet)
        await self.manager.connect(sid, namespace)

    async def _send_eio_packet(self, eio_sid: str, eio_pkt: Any) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and (early := peer_of(socket).early) is not None:
            early.append(eio_pkt)
        else:
            await super()._send_eio_packet(eio_sid, eio_pkt)

    def handle_event(self, peer: Peer, namespace: str, packet: Packet) -> Awaitable[object] | None:
        """Handle an event; by default with python-socketio's handlers."""
        handling: Awaitable[object] = self._handle_event_internal(
            self, peer.sid_in(namespace), peer.socket.sid, packet.data, namespace, packet.id
        )
        return handling

    def departed(self, peer: Peer, namespace: str, sid: str, reason: str) -> Awaitable[object] | None:
        """Handle the end of a connection; by default with python-socketio's handlers."""
        return self._depart(namespace, sid, reason)

    async def _depart(self, namespace: str, sid: str, reason: str) -> None:
        self.manager.pre_disconnect(sid, namespace=namespace)
        await self._trigger_event("disconnect", namespace, sid, reason)
        await self.manager.disconnect(sid, namespace, ignore_queue=True)

    # -- the engine's hooks

    def _opened(self, socket: EngineSocket) -> None:
        peer = socket.owner = Peer(socket)
        self._expect_connect(peer)
        if self._connects is not None:
            self._connects.opened(socket.remote)

    def _expect_connect(self, peer: Peer) -> None:
        """Close the socket unless it connects in time: when it is new, and after it left its last namespace."""
        peer.deadline = self.eio.call_later(
            # Timers are up to a tick late, and this one must not be.
            max(self._connect_timeout_s - self.eio.options.tick_s, 0.0),
            lambda: peer.socket.close(CloseReason.LATE, CloseCode.POLICY),
        )

    def _received(self, socket: EngineSocket, data: str | bytes) -> Awaitable[object] | None:
        peer = peer_of(socket)
        if isinstance(data, bytes):
            if peer.partial is not None:
                self._check_size(peer.partial[1], data)
            packet = peer.attach(data)
            if packet is None:
                return None
        else:
            if peer.partial is not None:
                raise ProtocolViolation(CloseCode.PROTOCOL, "an attachment is missing")
            packet = packets.decode(data)
            if packet.attachments:
                # Before a client has connected, nothing of it is kept except its token.
                self._check_connected(peer)
                peer.partial = (packet, [])
                return None
        return self._handle(peer, packet)

    def _check_connected(self, peer: Peer) -> None:
        if not peer.namespaces():
            raise ProtocolViolation(CloseCode.PROTOCOL, "not connected")

    def _check_size(self, attachments: list[bytes], data: bytes) -> None:
        if sum(map(len, attachments)) + len(data) > self._max_attachment_bytes:
            raise ProtocolViolation(CloseCode.TOO_BIG, "attachments too large")

    def _closed(self, socket: EngineSocket, reason: str) -> Awaitable[object] | None:
        peer = peer_of(socket)
        if peer.deadline is not None:
            peer.deadline.cancel()
        if self._connects is not None:
            self._connects.closed(socket.remote)
        namespaces = peer.namespaces()
        if not namespaces:
            return None
        if len(namespaces) == 1:
            return self._leave(peer, namespaces[0], reason)
        return self._leave_all(peer, namespaces, reason)

    async def _leave_all(self, peer: Peer, namespaces: list[str], reason: str) -> None:
        for namespace in namespaces:
            leaving = self._leave(peer, namespace, reason)
            if leaving is not None:
                await leaving

    def _leave(self, peer: Peer, namespace: str, reason: str) -> Awaitable[object] | None:
        sid = peer.sid_in(namespace)
        assert sid is not None
        peer.set_sid(namespace, None)
        return self.departed(peer, namespace, sid, reason)

    # -- packets

    def _handle(self, peer: Peer, packet: Packet) -> Awaitable[object] | None:
        namespace = packet.namespace
        if peer.socket.over and packet.type in _NO_ANSWER:
            return None
        if packet.type == PacketType.CONNECT:
            return self._connect(peer, namespace, packet.data)
        sid = peer.sid_in(namespace)
        if sid is None:
            self._check_connected(peer)
            return None  # the peer has left that namespace
        if packet.type in (PacketType.EVENT, PacketType.BINARY_EVENT):
            return self.handle_event(peer, namespace, packet)
        if packet.type == PacketType.DISCONNECT:
            leaving = self._leave(peer, namespace, LEFT)
            if not peer.namespaces():
                self._expect_connect(peer)
            return leaving
        waiting: Awaitable[object] = self.manager.trigger_callback(sid, packet.id, packet.data)
        return waiting

    async def _connect(self, peer: Peer, namespace: str, auth: Any) -> None:
        socket = peer.socket
        if peer.sid_in(namespace) is not None:
            raise ProtocolViolation(CloseCode.PROTOCOL, "connected already")
        if namespace not in self.namespaces and self.namespaces != "*":
            socket.send_frame(Frame(packets.connect_error("Invalid namespace", namespace=namespace)))
            return
        deadline = peer.deadline
        try:
            admission = await self.admit(peer, namespace, auth)
        except Refused as refused:
            peer.refusals += 1
            if peer.refusals > MAX_REFUSALS:
                raise ProtocolViolation(CloseCode.POLICY, "refused too often") from None
            refusal = packets.connect_error(refused.message, {"code": refused.code}, namespace)
            socket.send_frame(Frame(refusal))
            return
        except Unavailable:
            # A CONNECT_ERROR would stop the client for good; after a closed transport it tries again.
            socket.close(CloseReason.SERVER, CloseCode.TRY_LATER)
            return
        if deadline is not None:
            deadline.cancel()
            if peer.deadline is deadline:
                peer.deadline = None
        socket.forget_handshake()
        socket.vouch()
        peer.set_sid(namespace, admission.sid)
        accepted = {"sid": admission.sid} | ({"pid": admission.pid} if admission.pid else {})
        socket.send_frames([Frame(packets.connect(accepted, namespace)), *admission.follow])
        waiting = admission.begin() if admission.begin is not None else None
        if waiting is not None:
            await waiting


def peer_of(socket: EngineSocket | MemberSocket) -> Peer:
    """Return the peer, our side of a Socket.IO connection, that an open Engine.IO socket carries."""
    peer = socket.owner
    assert isinstance(peer, Peer)
    return peer
