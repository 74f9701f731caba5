"""A plain websocket echo on the engine's own classes for suites that test RFC 6455 and RFC 7692."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.core.frames import Frame, encode
from gateway.engine import Compression, EngineOptions, ProtocolViolation, handshake, replies, send_buffer
from gateway.engine.context import EngineContext
from gateway.engine.deflate import negotiate
from gateway.engine.errors import BAD_REQUEST, CloseCode, CloseReason, Refusal
from gateway.engine.takeover import Taken, take_over, upgradable
from gateway.engine.websocket import WebSocket

# The largest messages of Autobahn's suite have 16 MiB.
MAX_BYTES = 1 << 25
# The smallest window, which every offer allows.
COMPRESSION = Compression(threshold_bytes=1, window_bits=9)


class Message(Frame):
    """A message as it is, text or bytes."""

    __slots__ = ()

    def __init__(self, data: str | bytes) -> None:
        self.wire = encode(0x81, data.encode()) if isinstance(data, str) else encode(0x82, data)
        self.deflated = None


class Echo:
    """The owner of one websocket: it sends back what it gets."""

    full = False
    max_bytes = MAX_BYTES

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def receive(self, message: str | bytes) -> None:
        """Send it back."""
        self._websocket.send(Message(message))

    def charge(self) -> bool:
        """Let every frame pass."""
        return True

    def failed(self, error: Exception) -> None:
        """Close for what the peer did wrong."""
        code = error.code if isinstance(error, ProtocolViolation) else CloseCode.PROTOCOL
        self._websocket.end(CloseReason.PROTOCOL, code, str(error))

    def mute(self) -> None:
        """Send on: the transport drops it."""

    def lost(self, reason: str) -> None:
        """Nothing is left of it."""


def _nothing(*args: Any) -> None:
    return None


def echo() -> web.Application:
    """Return an app that echoes at every path."""
    options = EngineOptions(max_payload_bytes=MAX_BYTES, max_buffer_bytes=1 << 28, compression=COMPRESSION)
    context: EngineContext[object] = EngineContext(options, time.monotonic, _nothing, _nothing)

    async def serve(request: web.Request) -> web.StreamResponse:
        key = handshake.accept_key(request) if handshake.wants_websocket(request) else BAD_REQUEST
        transport = upgradable(request)
        if isinstance(key, Refusal) or transport is None:
            return replies.refuse(request, key if isinstance(key, Refusal) else BAD_REQUEST)
        offers = ",".join(request.headers.getall("Sec-WebSocket-Extensions", ()))
        extension = negotiate(offers, COMPRESSION)
        websocket = WebSocket(context, transport, deflated=extension is not None)
        tail = take_over(request, handshake.switching_protocols(key, extension), websocket)
        websocket.serve(Echo(websocket))
        websocket.start(tail)
        return Taken()

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    return app


@asynccontextmanager
async def serve_echo(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve it; return the port."""
    runner = web.AppRunner(echo(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    send_buffer.bound(runner.sites, 45.0)
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
