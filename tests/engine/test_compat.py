"""python-socketio's own server and client on this engine, unmodified but for the engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.engine import EngineOptions, EngineServer
from tests.support.waiting import PATIENCE_S, until


class SocketIO(socketio.AsyncServer):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer


@asynccontextmanager
async def serve(sio: SocketIO) -> AsyncIterator[str]:
    app = web.Application()
    sio.attach(app)
    async with TestServer(app) as server:
        try:
            yield str(server.make_url(""))
        finally:
            await sio.shutdown()


def make(**options: Any) -> SocketIO:
    return SocketIO(options=EngineOptions(close_timeout_s=0.3, **options), cors_allowed_origins=[])


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_events_acks_and_attachments(transports: list[str]) -> None:
    sio = make()
    ended: list[str] = []

    @sio.event  # type: ignore[untyped-decorator]
    async def echo(sid: str, *args: Any) -> Any:
        await sio.emit("back", args, to=sid)
        return args

    @sio.event  # type: ignore[untyped-decorator]
    async def disconnect(sid: str, reason: str) -> None:
        ended.append(reason)

    async with serve(sio) as url, socketio.AsyncSimpleClient() as client:
        await client.connect(url, transports=transports)
        assert await client.call("echo", ({"a": "é"}, b"\x00\x01")) == ({"a": "é"}, b"\x00\x01")
        assert await client.receive(timeout=PATIENCE_S) == ["back", {"a": "é"}, b"\x00\x01"]
        assert sio.transport(client.sid) == transports[-1]
        async with sio.session(client.sid) as session:
            session["user"] = "me"
        assert await sio.get_session(client.sid) == {"user": "me"}
        assert sio.get_environ(client.sid)["REMOTE_ADDR"] == "127.0.0.1"
    await until(lambda: ended)


async def test_a_server_side_disconnect_reaches_the_client_and_the_tables() -> None:
    sio = make()
    async with serve(sio) as url, socketio.AsyncSimpleClient() as client:
        await client.connect(url, transports=["websocket"])
        await sio.disconnect(client.sid)
        await until(lambda: not client.connected)
        await until(lambda: not sio.eio.sockets)


async def test_rooms_and_broadcasts() -> None:
    sio = make()

    @sio.event  # type: ignore[untyped-decorator]
    async def join(sid: str, room: str) -> None:
        await sio.enter_room(sid, room)

    async with serve(sio) as url, socketio.AsyncSimpleClient() as a, socketio.AsyncSimpleClient() as b:
        await a.connect(url, transports=["websocket"])
        await b.connect(url, transports=["polling"])
        await asyncio.gather(a.call("join", "x"), b.call("join", "x"))
        await sio.emit("news", {"n": 1}, room="x")
        assert await a.receive(timeout=PATIENCE_S) == ["news", {"n": 1}]
        assert await b.receive(timeout=PATIENCE_S) == ["news", {"n": 1}]


async def test_upstreams_helpers_are_there() -> None:
    sio = make()
    assert sio.async_mode == "aiohttp"
    task = sio.start_background_task(asyncio.sleep, 0)
    await task
    await sio.sleep(0)
    assert isinstance(sio.eio.create_event(), asyncio.Event)
    queue = sio.eio.create_queue()
    with pytest.raises(sio.eio.get_queue_empty_exception()):
        queue.get_nowait()
    assert len({sio.eio.generate_id() for _ in range(100)}) == 100
    with pytest.raises(ValueError, match="event"):
        sio.eio.on("other")
