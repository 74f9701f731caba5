"""Engine.IO v4 as a browser speaks it, over a websocket and over long-polling, as thin as can be.

A hundred of these run in one test process: the websocket is a bare `asyncio.Protocol`, without a task or a
future for what it receives.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from tests.support.waiting import PATIENCE_S

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class HandshakeRefused(Exception):
    """The server answered the first request with something else than a session."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class Channel(Protocol):
    """One Engine.IO session. `on_message` gets each message's text, `on_closed` the reason, once."""

    session: dict[str, Any]

    async def open(self, url: str, headers: Mapping[str, str]) -> None: ...
    def send(self, message: str) -> None: ...
    def drop(self) -> None: ...
    async def close(self) -> None: ...


class WebSocketChannel(asyncio.Protocol):
    """A session over a websocket; `tls` is what an https:// address is checked with."""

    def __init__(
        self,
        on_message: Callable[[str], None],
        on_closed: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.session: dict[str, Any] = {}
        self._tls = tls
        self.close_code: int | None = None
        self._on_message = on_message
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._buffer = bytearray()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, url: str, headers: Mapping[str, str]) -> None:
        """Connect and wait for the session; raises `HandshakeRefused` or `OSError`."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, parts.hostname or "", parts.port or 80, ssl=self._tls)
        assert self._transport is not None
        lines = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
        } | dict(headers)
        target = f"{parts.path}?{parts.query}&EIO=4&transport=websocket"
        head = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
        self._transport.write(("\r\n".join(head) + "\r\n\r\n").encode())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._opened
        except BaseException:
            self.drop()
            raise

    def send(self, message: str) -> None:
        """Send a message."""
        self._frame(TEXT, b"4" + message.encode())

    def drop(self) -> None:
        """Cut the connection without a word: the server gets a reset."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    async def close(self) -> None:
        """Leave in good order."""
        if self._transport is not None:
            self._frame(TEXT, b"1")
            self._frame(CLOSE, struct.pack("!H", 1000))
            self._transport.close()
            await asyncio.wait((self._gone,), timeout=5.0)
            self.drop()
            await self._gone

    def pause(self) -> None:
        """Stop reading: what the server sends piles up."""
        assert self._transport is not None
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None:
            self._transport.resume_reading()

    # -- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._head and not self._take_head():
            return
        while (frame := self._take_frame()) is not None:
            self._handle(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(ConnectionResetError("closed during the handshake"))
        else:
            self._on_closed("transport error" if exc is not None else "transport close")

    # -- frames

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        status = int(self._head.split(b" ", 2)[1])
        if status != 101 and not self._opened.done():
            self._opened.set_exception(HandshakeRefused(status, self._buffer.decode(errors="replace")))
        return status == 101

    def _take_frame(self) -> tuple[int, bytes] | None:
        """Take one frame; the gateway sends none in parts."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1], 2
        if size == 126:
            size, at = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < at + size:
            return None
        first, payload = buffer[0], bytes(buffer[at : at + size])
        del buffer[: at + size]
        assert first & 0xF0 == 0x80, f"an unexpected frame: {first:#x}"
        return first & 0x0F, payload

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._packet(payload.decode())
        elif opcode == PING:
            self._frame(PONG, payload)
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._frame(CLOSE, payload[:2])
            if self._transport is not None:
                self._transport.close()

    def _packet(self, packet: str) -> None:
        kind = packet[:1]
        if kind == "4":
            self._on_message(packet[1:])
        elif kind == "2":
            self._frame(TEXT, b"3" + packet[1:].encode())
        elif kind == "0":
            self.session = json.loads(packet[1:])
            if not self._opened.done():
                self._opened.set_result(None)

    def _frame(self, opcode: int, payload: bytes) -> None:
        """Write one masked frame; the mask is zero, which is a mask like any other."""
        if self._transport is None or self._transport.is_closing():
            return
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        self._transport.write(head + bytes(4) + payload)


class PollingChannel:
    """A session over HTTP long-polling; `tls` is what an https:// address is checked with."""

    def __init__(
        self,
        on_message: Callable[[str], None],
        on_closed: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.session: dict[str, Any] = {}
        self._tls = tls
        self._on_message = on_message
        self._on_closed = on_closed
        self._http: aiohttp.ClientSession | None = None
        self._url = ""
        self._stamps = count(time.monotonic_ns())
        self._unsent: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._posting: asyncio.Task[None] | None = None
        self._over = False

    async def open(self, url: str, headers: Mapping[str, str]) -> None:
        """Get a session; raises `HandshakeRefused` or `OSError`."""
        timeout = aiohttp.ClientTimeout(total=None, connect=PATIENCE_S)
        connector = aiohttp.TCPConnector(ssl=self._tls or True)
        self._http = aiohttp.ClientSession(headers=dict(headers), timeout=timeout, connector=connector)
        self._url = f"{url}&EIO=4&transport=polling"
        try:
            status, body = await self._get()
            if status != 200:
                raise HandshakeRefused(status, body)
        except BaseException:
            await self._http.close()
            raise
        self.session = json.loads(body[1:])
        self._url += f"&sid={self.session['sid']}"
        self._start(self._poll())

    def send(self, message: str) -> None:
        """Send a message: with the next POST."""
        self._post("4" + message)

    def _post(self, packet: str) -> None:
        self._unsent.append(packet)
        if self._posting is None:
            self._posting = self._start(self._post_all())

    def _stamped(self) -> str:
        """Return the URL with a `t` of its own, as socket.io-client does."""
        return f"{self._url}&t={next(self._stamps):x}"

    async def _get(self) -> tuple[int, str]:
        assert self._http is not None
        async with self._http.get(self._stamped()) as response:
            return response.status, await response.text()

    async def _poll(self) -> None:
        while True:
            status, body = await self._get()
            if status != 200:
                return
            for packet in body.split("\x1e"):
                if packet == "1":
                    return
                if packet[:1] == "4":
                    self._on_message(packet[1:])
                elif packet[:1] == "2":
                    self._post("3" + packet[1:])

    async def _post_all(self) -> None:
        assert self._http is not None
        try:
            while self._unsent:
                body, self._unsent = "\x1e".join(self._unsent), []
                async with self._http.post(self._stamped(), data=body.encode()) as response:
                    await response.read()
                    if response.status != 200:
                        return
        finally:
            self._posting = None

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if failed or getattr(task.get_coro(), "__name__", "") == "_poll":
            self._end("transport error" if failed else "transport close")

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._abort_tls()
            for task in self._tasks:
                task.cancel()
            self._on_closed(reason)

    def _abort_tls(self) -> None:
        """Cut what would be closed with a farewell of TLS, which may outlive the test."""
        connector = self._http.connector if self._http is not None and self._tls is not None else None
        for connection in list(connector._acquired) if connector is not None else []:
            connection.abort()

    def drop(self) -> None:
        """Cut the connections that requests are under way on, without a word."""
        self._end("transport error")

    async def close(self) -> None:
        """Leave in good order, and give everything back."""
        assert self._http is not None
        if not self._over:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.post(self._url, data=b"1"):
                    pass
            self._end("transport close")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()
