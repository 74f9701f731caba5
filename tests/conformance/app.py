"""The server that the official test suites of both protocols expect; their READMEs say what it does."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.engine import EngineOptions, EngineServer, EngineSocket, Frame
from gateway.sockets import packets
from gateway.sockets.upstream import Admission, Peer, SocketServer

PING_INTERVAL_S = 0.3
PING_TIMEOUT_S = 0.2
CONNECT_TIMEOUT_S = 1.0
MAX_PAYLOAD = 1_000_000

OPTIONS = EngineOptions(
    ping_interval_s=PING_INTERVAL_S,
    ping_timeout_s=PING_TIMEOUT_S,
    max_payload_bytes=MAX_PAYLOAD,
    allow_origin=lambda origin: True,
    log=lambda event, **fields: None,
)


class SocketIO(SocketServer):
    """Accepts everyone in two namespaces, and tells each what it authenticated with."""

    async def admit(self, peer: Peer, namespace: str, auth: Any) -> Admission:
        """Accept, and send the auth payload back right behind CONNECT."""
        admission = await super().admit(peer, namespace, auth)
        return admission._replace(follow=[Frame(packets.event("auth", auth or {}, namespace=namespace))])


def engine_io() -> EngineServer:
    """Return an Engine.IO server that echoes."""

    def echo(socket: EngineSocket, data: str | bytes) -> None:
        if isinstance(data, str):
            socket.send_text(data)
        else:
            socket.send_binary(data)

    return EngineServer(dataclasses.replace(OPTIONS, receiver=echo))


def socket_io() -> SocketIO:
    """Return a Socket.IO server with the suite's two events."""
    sio = SocketIO(options=OPTIONS, connect_timeout_s=CONNECT_TIMEOUT_S, namespaces=["/", "/custom"])

    @sio.on("message")  # type: ignore[untyped-decorator]
    async def message(sid: str, *args: Any) -> None:
        await sio.emit("message-back", args, to=sid)

    @sio.on("message-with-ack")  # type: ignore[untyped-decorator]
    async def message_with_ack(sid: str, *args: Any) -> tuple[Any, ...]:
        return args

    return sio


@asynccontextmanager
async def serve(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve both; gives the port."""
    app, engine, sio = web.Application(), engine_io(), socket_io()
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
