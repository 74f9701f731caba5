"""The server that the official test suites of both protocols expect; their READMEs say what it does."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.core.frames import Frame
from gateway.engine import EngineOptions, EngineServer, EngineSocket
from gateway.sockets import packets
from gateway.sockets.socketio_server import Admission, Peer, SocketServer

MAX_PAYLOAD = 1_000_000


@dataclass(frozen=True)
class Times:
    """How long the server waits for what."""

    ping_interval_s: float
    ping_timeout_s: float
    connect_timeout_s: float

    @property
    def options(self) -> EngineOptions:
        """The engine's options."""
        return EngineOptions(
            ping_interval_s=self.ping_interval_s,
            ping_timeout_s=self.ping_timeout_s,
            max_payload_bytes=MAX_PAYLOAD,
            allow_origin=lambda origin: True,
            log=lambda event, **fields: None,
        )


OFFICIAL = Times(ping_interval_s=0.3, ping_timeout_s=0.2, connect_timeout_s=1.0)
"""What the official suites expect."""
QUICK = Times(ping_interval_s=0.3, ping_timeout_s=3.0, connect_timeout_s=3.0)
"""For what is about these times: a busy machine answers within them."""
PATIENT = Times(ping_interval_s=120.0, ping_timeout_s=120.0, connect_timeout_s=120.0)
"""For all else: none of them is ever over."""


class SocketIO(SocketServer):
    """Accepts everyone in two namespaces, and tells each what it authenticated with."""

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        """Accept, and send the auth payload back right behind CONNECT."""
        admission = await super().admit(peer, namespace, auth)
        return admission._replace(follow=[Frame(packets.event("auth", auth or {}, namespace=namespace))])


def engine_io(times: Times) -> EngineServer:
    """Return an Engine.IO server that echoes."""

    def echo(socket: EngineSocket, data: str | bytes) -> None:
        if isinstance(data, str):
            socket.send_text(data)
        else:
            socket.send_binary(data)

    return EngineServer(dataclasses.replace(times.options, receiver=echo))


def socket_io(times: Times) -> SocketIO:
    """Return a Socket.IO server with the suite's two events."""
    sio = SocketIO(options=times.options, connect_timeout_s=times.connect_timeout_s, namespaces=["/", "/custom"])

    @sio.on("message")  # type: ignore[untyped-decorator]
    async def message(sid: str, *args: Any) -> None:
        await sio.emit("message-back", args, to=sid)

    @sio.on("message-with-ack")  # type: ignore[untyped-decorator]
    async def message_with_ack(sid: str, *args: Any) -> tuple[Any, ...]:
        return args

    return sio


@asynccontextmanager
async def serve(host: str = "127.0.0.1", port: int = 0, times: Times = OFFICIAL) -> AsyncIterator[int]:
    """Serve both; return the port."""
    app, engine, sio = web.Application(), engine_io(times), socket_io(times)
    engine.attach(app, "engine.io")
    sio.attach(app, "socket.io")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await engine.shutdown()
        await sio.shutdown()
        await runner.cleanup()
