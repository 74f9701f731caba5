"""Engine.IO v4 as a browser speaks it, over a websocket and over long-polling, as thin as can be.

A hundred of these run in one test process: the websocket is a bare `asyncio.Protocol`, without a task or a
future for what it receives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.engine.reader import CLOSE, PING, PONG, TEXT
from tests.support.polling import Poller, packets_of, payload_of
from tests.support.raw_http import head, upgrade
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import FIN, OPCODE, HandshakeRefused, frame, take_answer, take_frame


@dataclass(eq=False)
class Channel(ABC):
    """One Engine.IO session, whose pings are answered; `tls` is what an https:// address is checked with.

    `on_message` gets each message's text, `on_closed` the reason, once.
    """

    on_message: Callable[[str], None]
    on_closed: Callable[[str], None]
    tls: ssl.SSLContext | None = None
    session: dict[str, Any] = field(default_factory=dict, init=False)

    @abstractmethod
    async def open(self, url: str, headers: Mapping[str, str]) -> None:
        """Connect and wait for the session; raises `HandshakeRefused` or `OSError`. The URL has an `EIO`."""

    @abstractmethod
    def drop(self) -> None:
        """Cut the connection without a word."""

    @abstractmethod
    async def close(self) -> None:
        """Leave in good order, and give everything back."""

    def send(self, message: str) -> None:
        """Send a message."""
        self._send_packet("4" + message)

    @abstractmethod
    def _send_packet(self, packet: str) -> None: ...

    def _take_packet(self, packet: str) -> None:
        kind = packet[:1]
        if kind == "4":
            self.on_message(packet[1:])
        elif kind == "2":
            self._send_packet("3" + packet[1:])


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class WebSocketChannel(Channel, asyncio.Protocol):
    """A session over a websocket."""

    close_code: int | None = field(default=None, init=False)
    _transport: asyncio.Transport | None = field(default=None, init=False)
    _status: int = field(default=0, init=False)
    _buffer: bytearray = field(default_factory=bytearray, init=False)
    _opened: asyncio.Future[None] = field(default_factory=_future, init=False)
    _gone: asyncio.Future[None] = field(default_factory=_future, init=False)

    async def open(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, parts.hostname or "", parts.port or 80, ssl=self.tls)
        assert self._transport is not None
        target = f"{parts.path}?{parts.query}&transport=websocket"
        self._transport.write(head("GET", target, {"Host": parts.netloc, **upgrade(), **headers}))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._opened
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Cut the connection without a word: the server gets a reset."""
        if self._transport is not None:
            raw = self.raw_socket
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    async def close(self) -> None:
        if self._transport is not None:
            self._send_packet("1")
            self.send_frame(CLOSE, struct.pack("!H", 1000))
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

    @property
    def raw_socket(self) -> socket.socket:
        """The socket below, behind TLS's back."""
        assert self._transport is not None
        raw: socket.socket = self._transport.get_extra_info("socket")
        return raw

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send a frame of any kind, unless the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(opcode, payload))

    def _send_packet(self, packet: str) -> None:
        self.send_frame(TEXT, packet.encode())

    # -- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._status and (answer := take_answer(self._buffer)) is not None:
            self._status, _ = answer
            if self._status != 101 and not self._opened.done():
                body = self._buffer.decode(errors="replace")
                self._opened.set_exception(HandshakeRefused(self._status, body))
        # The gateway sends no frame in parts.
        while self._status == 101 and (taken := take_frame(self._buffer)) is not None:
            first, payload = taken
            assert first & ~OPCODE == FIN, f"an unexpected frame: {first:#x}"
            self._handle(first & OPCODE, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(ConnectionResetError("closed during the handshake"))
        else:
            self.on_closed("transport error" if exc is not None else "transport close")

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._take_packet(payload.decode())
        elif opcode == PING:
            self.send_frame(PONG, payload)
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.send_frame(CLOSE, payload[:2])
            if self._transport is not None:
                self._transport.close()

    def _take_packet(self, packet: str) -> None:
        if packet[:1] == "0":
            self.session = json.loads(packet[1:])
            if not self._opened.done():
                self._opened.set_result(None)
        else:
            super()._take_packet(packet)


@dataclass(eq=False)
class PollingChannel(Channel):
    """A session over HTTP long-polling; what is sent goes with the next POST."""

    poller: Poller = field(init=False)
    _unsent: list[str] = field(default_factory=list, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _polling: asyncio.Task[None] | None = field(default=None, init=False)
    _posting: asyncio.Task[None] | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)

    async def open(self, url: str, headers: Mapping[str, str]) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=PATIENCE_S)
        connector = aiohttp.TCPConnector(ssl=self.tls or True)
        http = aiohttp.ClientSession(headers=dict(headers), timeout=timeout, connector=connector)
        self.poller = Poller(http, url, stamped=True)
        try:
            await self.poller.open()
        except BaseException:
            await http.close()
            raise
        self.session = self.poller.session
        self._polling = self._start(self._poll())

    def _send_packet(self, packet: str) -> None:
        self._unsent.append(packet)
        if self._posting is None:
            self._posting = self._start(self._post())

    async def _poll(self) -> None:
        while True:
            status, body = await self.poller.poll()
            if status != 200:
                return
            for packet in packets_of(body):
                if packet == "1":
                    return
                self._take_packet(packet)

    async def _post(self) -> None:
        try:
            while self._unsent:
                body, self._unsent = payload_of(self._unsent), []
                if (await self.poller.post(body))[0] != 200:
                    return
        finally:
            self._posting = None

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if failed or task is self._polling:
            self._end("transport error" if failed else "transport close")

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._abort_tls()
            for task in self._tasks:
                task.cancel()
            self.on_closed(reason)

    def _abort_tls(self) -> None:
        """Cut what would be closed with a farewell of TLS, which may outlive the test."""
        connector = self.poller.http.connector if self.tls is not None else None
        for connection in list(connector._acquired) if connector is not None else []:
            connection.abort()

    def drop(self) -> None:
        """Cut the connections that requests are under way on, without a word."""
        self._end("transport error")

    async def close(self) -> None:
        if not self._over:
            with contextlib.suppress(aiohttp.ClientError):
                await self.poller.post("1")
            self._end("transport close")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.poller.http.close()
