"""A proxy that writes down requests, packets and frames both ways, and breaks connections where a script says so.

Whole requests, answers and frames go through, one at a time. It expects a connection for each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

from gateway.engine.reader import CLOSE, TEXT, unmask
from tests.support.polling import packets_of
from tests.support.websocket import OPCODE, Frame, take_frame

Ending = Literal["fin", "rst"]
Treatment = Literal["pass", "hold", "reset", "silent", "503"]


@dataclass
class Exchange:
    """A request and its answer, and, of a websocket, the frames behind them."""

    method: str
    target: str
    status: int = 0
    """0 while there is no answer."""
    said: list[str] = field(default_factory=list)
    """The client's packets."""
    heard: list[str] = field(default_factory=list)
    """The server's packets."""

    @property
    def session(self) -> str:
        """The session that it names."""
        return self.target.partition("&sid=")[2].partition("&")[0]

    @property
    def is_websocket(self) -> bool:
        return "transport=websocket" in self.target


class Pipe(asyncio.Protocol):
    """One end of a link."""

    def __init__(self, read: Callable[[bytearray], None], lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self._read = read
        self._lost = lost
        self._unsent = b""
        self._is_half_closed = False

    def write(self, data: bytes) -> None:
        """Write, now or as soon as it is connected."""
        if self.transport is None:
            self._unsent += data
        elif not self._is_half_closed:
            self.transport.write(data)

    def end(self, how: Ending) -> None:
        """End with a good-bye of TCP or with a reset."""
        if self.transport is None or self.transport.is_closing():
            return
        if how == "rst":
            raw = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    def half_close(self) -> None:
        """Say good-bye, and wait until the other side has noticed and closes."""
        assert self.transport is not None
        self._is_half_closed = True
        self.transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._unsent)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._read(self.buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._lost()


class Link:
    """A connection through the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.client = Pipe(self._read_client, lambda: self._lost(self.server))
        self.server = Pipe(self._read_server, lambda: self._lost(self.client))
        self.exchange: Exchange | None = None
        self.is_silent = False
        self.is_held = False
        self.is_over = False
        self._recorder = recorder
        self._connecting: asyncio.Task[object] | None = None
        self._held: list[tuple[Pipe, bytes]] = []

    def cut(self, how: Ending) -> None:
        """End both sides."""
        self.client.end(how)
        self.server.end(how)

    def release(self) -> None:
        """Let through what was held."""
        self.is_held = False
        held, self._held = self._held, []
        for pipe, data in held:
            self._pass(pipe, data)
        if held and self._connecting is not None and self._connecting.done() and self.server.transport is None:
            self.client.end("fin")

    def _lost(self, other: Pipe) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if not self.is_silent and not (self._held and other is self.client):
            other.end("fin")
        if self.client.transport is None and self.server.transport is None:
            self.is_over = True

    def _pass(self, pipe: Pipe, data: bytes) -> None:
        if self.is_silent:
            return
        is_answer = pipe is self.client and self.exchange is not None and not self.exchange.is_websocket
        if self.is_held or (is_answer and self._recorder.holds_answers):
            self._held.append((pipe, data))
            return
        if pipe is self.server and self._connecting is None:
            loop = asyncio.get_running_loop()
            port = self._recorder.server_port
            self._connecting = loop.create_task(loop.create_connection(lambda: self.server, "127.0.0.1", port))
        pipe.write(data)

    def _read_client(self, buffer: bytearray) -> None:
        if self.exchange is None:
            self._read_request(buffer)
            return
        while (taken := take_masked_frame(buffer)) is not None:
            raw, frame = taken
            self._note(self.exchange.said, frame, self.server, raw)

    def _read_request(self, buffer: bytearray) -> None:
        taken = take_message(buffer)
        if taken is None:
            return
        raw, body = taken
        method, target, _ = raw.split(b" ", 2)
        exchange = self.exchange = Exchange(method.decode(), target.decode())
        self._recorder.exchanges.append(exchange)
        if body:
            exchange.said += packets_of(body.decode())
        treatment = self._recorder.treat(exchange)
        if treatment == "503":
            exchange.status = 503
            self.client.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.client.end("fin")
            return
        if treatment == "reset":
            self.client.end("rst")
            return
        self.is_silent = treatment == "silent"
        self.is_held = treatment == "hold"
        if self._recorder.forged and self._recorder.forged in exchange.target:
            # The first characters say which replica has it.
            at = raw.index(b"&sid=") + 5 + 8
            raw = raw[:at] + b"A" * 20 + raw[at + 20 :]
        self._pass(self.server, raw)

    def _read_server(self, buffer: bytearray) -> None:
        exchange = self.exchange
        assert exchange is not None
        if not exchange.status:
            taken = take_message(buffer)
            if taken is None:
                return
            raw, body = taken
            exchange.status = int(raw.split(b" ", 2)[1])
            if exchange.method == "GET" and exchange.status == 200:
                exchange.heard += packets_of(body.decode())
            self._pass(self.client, raw)
        while exchange.status == 101:
            before = bytes(buffer)
            frame = take_frame(buffer)
            if frame is None:
                return
            self._note(exchange.heard, frame, self.client, before[: len(before) - len(buffer)])

    def _note(self, packets: list[str], frame: Frame, to: Pipe, raw: bytes) -> None:
        opcode = frame[0] & OPCODE
        if opcode == TEXT:
            packets.append(frame[1].decode())
        elif opcode == CLOSE:
            packets.append(f"close {int.from_bytes(frame[1][:2], 'big') or ''}".strip())
        if not packets or packets[-1] != self._recorder.cuts_at:
            self._pass(to, raw)
        elif to is self.server:
            self.cut("rst")
        else:
            self._pass(to, raw)
            self.client.half_close()


class Recorder:
    """The proxy."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.exchanges: list[Exchange] = []
        self.port = 0
        self.coming: deque[Treatment] = deque()
        """What becomes of the next requests; those behind them pass, but for websockets."""
        self.websockets: Treatment = "pass"
        """What becomes of requests for websockets."""
        self.forged = ""
        """A session whose name is replaced on the way by one that no server knows."""
        self.cuts_at: str | None = None
        """A packet of a client that is lost with its websocket, or one of a server behind which that closes."""
        self.holds_answers = False
        """Whether answers to polls and posts wait for `release`."""
        self._links: list[Link] = []
        self._listener: asyncio.Server | None = None

    def treat(self, exchange: Exchange) -> Treatment:
        """Return what becomes of a request."""
        if self.coming:
            return self.coming.popleft()
        return self.websockets if exchange.is_websocket else "pass"

    @property
    def links(self) -> list[Link]:
        """The open connections."""
        self._links = [link for link in self._links if not link.is_over]
        return self._links

    def cut(self, how: Ending) -> None:
        """End every connection; new ones are taken."""
        for link in self.links:
            link.cut(how)

    def fall_silent(self) -> None:
        """Let nothing through any more on the open connections, and close none."""
        for link in self.links:
            link.is_silent = True

    def release(self) -> None:
        """Hold nothing any more."""
        self.holds_answers = False
        self.websockets = "pass"
        for link in self.links:
            link.release()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        self.refuse()
        while self.links:
            self.cut("rst")
            await asyncio.sleep(0)

    async def start(self) -> Self:
        """Take connections, on the port that it had before if it had one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    def refuse(self) -> None:
        """Refuse connections, until `start`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _accept(self) -> Pipe:
        link = Link(self)
        self._links.append(link)
        return link.client


def take_message(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Take a request or an answer from the beginning of what has come, once all of it has; and its body alone."""
    end = buffer.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    size = 0
    for line in bytes(buffer[:end]).lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    if len(buffer) < end + size:
        return None
    raw = bytes(buffer[: end + size])
    del buffer[: end + size]
    return raw, raw[end:]


def take_masked_frame(buffer: bytearray) -> tuple[bytes, Frame] | None:
    """Take a client's frame from the beginning of what has come, once all of it has: as it came, and read."""
    if len(buffer) < 2:
        return None
    size, at = buffer[1] & 0x7F, 2
    if size >= 126:
        at += 2 if size == 126 else 8
        size = int.from_bytes(buffer[2:at], "big")
    if len(buffer) < at + 4 + size:
        return None
    raw = bytes(buffer[: at + 4 + size])
    del buffer[: at + 4 + size]
    return raw, (raw[0], unmask(raw[at + 4 :], raw[at : at + 4]))
