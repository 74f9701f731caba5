"""What the kernel keeps of peers that do not read: bounded while they are there, nothing once they are cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.engine.reader import CLOSE, TEXT
from gateway.engine.send_buffer import SEND_BUFFER_BYTES
from tests.engine.rig import Rig, serve
from tests.engine.test_takeover import certificate
from tests.support.kernel import kept_by_peer, kept_bytes
from tests.support.raw_http import head, upgrade
from tests.support.waiting import until
from tests.support.websocket import frame, opened

PEERS = 8
UPGRADE = head("GET", "/engine.io/?EIO=4&transport=websocket", upgrade())
POLL = head("GET", "/engine.io/?EIO=4&transport=polling")
SHORT: dict[str, Any] = {"request_timeout_s": 1.0, "idle_timeout_s": 1.0}


class Silent:
    """A peer that sends and, after it has read so much as it wants to, never reads again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self._port = port

    async def connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, ("127.0.0.1", self._port))
        await self.send(request)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)


@asynccontextmanager
async def silent(rig: Rig, request: bytes = UPGRADE) -> AsyncIterator[list[Silent]]:
    """Connect several peers with a request; they hold their ends open until this is left."""
    peers = [Silent(rig.port) for _ in range(PEERS)]
    with contextlib.ExitStack() as stack:
        for peer in peers:
            stack.enter_context(peer.socket)
            await peer.connect(request)
        if request is UPGRADE:
            await until(lambda: len(rig.engine.sockets) == PEERS)
        yield peers


async def fill(rig: Rig) -> None:
    """Send each socket more than the kernel takes, and less than it is cut for."""
    for session in rig.notes.opened:
        session.send_binary(bytes(500_000))
    await until(lambda: all(session.buffered > 0 for session in rig.notes.opened))


Cut = Callable[[Rig, list[Silent]], Awaitable[None]]


async def by_being_slow(rig: Rig, peers: list[Silent]) -> None:
    while rig.engine.sockets:
        for session in [*rig.engine.sockets.values()]:
            session.send_binary(bytes(100_000))
        await asyncio.sleep(0)


async def by_a_violation(rig: Rig, peers: list[Silent]) -> None:
    await fill(rig)
    for peer in peers:
        await peer.send(frame(TEXT, b"4x", rsv=0x20))


async def by_closing(rig: Rig, peers: list[Silent]) -> None:
    await fill(rig)
    for peer in peers:
        await peer.send(frame(CLOSE, b"\x03\xe8"))


async def by_being_closed(rig: Rig, peers: list[Silent]) -> None:
    await fill(rig)
    for session in rig.notes.opened:
        session.close()


async def by_closing_with_little(rig: Rig, peers: list[Silent]) -> None:
    """All that is left is in the kernel's hands already."""
    for session in rig.notes.opened:
        session.send_binary(bytes(60_000))
    await until(lambda: kept_bytes(rig.port) > 0 and not any(s.buffered for s in rig.notes.opened))
    for peer in peers:
        await peer.send(frame(CLOSE, b"\x03\xe8"))


CUTS = [by_being_slow, by_a_violation, by_closing, by_being_closed, by_closing_with_little]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
async def test_nothing_is_kept_of_a_websocket_that_was_cut(cut: Cut) -> None:
    async with serve(close_timeout_s=0.2) as rig, silent(rig) as peers:
        await cut(rig, peers)
        await until(rig.idle)
        await until(lambda: kept_bytes(rig.port) == 0)
        assert len(rig.reasons) == PEERS


async def test_what_is_kept_of_one_that_may_still_read_is_bounded() -> None:
    async with serve() as rig, silent(rig):
        await fill(rig)
        # Twice what was asked for, and one packet beyond it.
        assert max(kept_by_peer(rig.port).values()) < 2 * SEND_BUFFER_BYTES + 65_536


async def test_nothing_is_kept_of_a_poll_that_is_not_read() -> None:
    async with serve(http_limits=SHORT) as rig, silent(rig, POLL) as peers:
        await until(lambda: len(rig.engine.sockets) == PEERS)
        for session, peer in zip(rig.notes.opened, peers, strict=True):
            session.send_text("x" * 900_000)
            await peer.send(POLL.replace(b"polling", f"polling&sid={session.sid}".encode()))
        await until(lambda: rig.engine.stats.limited["request_timeout_s"] == PEERS)
        await until(lambda: kept_bytes(rig.port) == 0)


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_nothing_is_kept_of_an_answer_that_is_not_read(connection: str) -> None:
    """Not even where it is small enough for the kernel to take all of it at once."""

    asked = []

    async def page(request: web.Request) -> web.Response:
        asked.append(request.remote)
        return web.Response(body=bytes(60_000))

    request = head("GET", "/page", {"Connection": connection})
    async with serve(http_limits=SHORT, routes=[web.get("/page", page)]) as rig, silent(rig, request):
        await until(lambda: len(asked) == PEERS)
        await until(lambda: kept_bytes(rig.port) == 0)


async def test_a_last_answer_that_is_read_slowly_comes_whole() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(body=bytes(300_000))

    request = head("GET", "/page", {"Connection": "close"})
    async with serve(routes=[web.get("/page", page)]) as rig, silent(rig, request) as peers:
        loop, got = asyncio.get_running_loop(), bytearray()
        while data := await loop.sock_recv(peers[0].socket, 8192):
            got += data
            await asyncio.sleep(0)
        assert got.endswith(b"\r\n\r\n" + bytes(300_000))


async def test_nothing_is_kept_of_a_websocket_that_was_cut_over_tls(tmp_path: Path) -> None:
    server_side, client_side = certificate(tmp_path)
    async with serve(tls=server_side, max_buffer_bytes=100_000) as rig, contextlib.AsyncExitStack() as stack:
        for _ in range(PEERS):
            await stack.enter_async_context(opened(rig.port, tls=client_side, limit=1024))
        await by_being_slow(rig, [])
        await until(rig.idle)
        await until(lambda: kept_bytes(rig.port) == 0)
        assert rig.reasons == ["slow"] * PEERS
