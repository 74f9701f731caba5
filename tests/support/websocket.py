"""The client's side of a websocket: frames, the handshake, and a peer that can do what no library lets one do."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gateway.engine.reader import BINARY, CLOSE, PING, TEXT, unmask
from tests.support.raw_http import connection, head, status, upgrade
from tests.support.waiting import PATIENCE_S

T = TypeVar("T")
FIN, OPCODE = 0x80, 0x0F
Frame = tuple[int, bytes]
"""A frame's first byte, and its payload."""


class HandshakeRefused(Exception):
    """The server answered the first request with something else than a session."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def frame_head(opcode: int, size: int, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """Return the head of a client's frame, up to its mask."""
    first, mark = (FIN if fin else 0) | rsv | opcode, 0x80 if masked else 0
    if size < 126:
        return bytes((first, mark | size))
    if size < 1 << 16:
        return bytes((first, mark | 126)) + size.to_bytes(2, "big")
    return bytes((first, mark | 127)) + size.to_bytes(8, "big")


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True, key: bytes | None = None
) -> bytes:
    """Return a client's frame; its mask is `key`, or drawn."""
    begin = frame_head(opcode, len(payload), fin=fin, rsv=rsv, masked=masked)
    if not masked:
        return begin + payload
    key = key or os.urandom(4)
    return begin + key + unmask(payload, key)


def packed(data: bytes) -> bytes:
    """Return a message compressed as a client does it: without the end of its last block."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def without_content(count: int) -> bytes:
    """Return compressed blocks with Huffman tables of their own and nothing in them: the dearest to unpack.

    Each has 90 bits. Of 257 codes for literals all but the one for the block's end are absent, in runs of zeros.
    """
    block = [(0b100, 3), (0, 5), (0, 5), (14, 4)]
    block += [(symbol in (18, 1), 3) for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)]
    block += [(1, 1), (127, 7), (1, 1), (107, 7), (0, 1), (0, 1), (0, 1)]
    # Bits go from the lowest up; behind the blocks comes an empty one without compression, but for its end.
    text = "".join(f"{value:0{length}b}"[::-1] for value, length in block) * count + "000"
    return int(text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")


def take_frame(buffer: bytearray) -> Frame | None:
    """Take a server's frame from the beginning of what has come, once all of it has."""
    if len(buffer) < 2:
        return None
    size, at = buffer[1], 2
    assert not size & 0x80, "a server does not mask"
    if size >= 126:
        at += 2 if size == 126 else 8
        size = int.from_bytes(buffer[2:at], "big")
    if len(buffer) < at + size:
        return None
    taken = buffer[0], bytes(buffer[at : at + size])
    del buffer[: at + size]
    return taken


def take_answer(buffer: bytearray) -> tuple[int, dict[str, str]] | None:
    """Take the head of a server's answer from what has come: its status and its headers, in lower case."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    begin = bytes(buffer[:end])
    del buffer[: end + 4]
    fields = (line.partition(": ") for line in begin.decode().split("\r\n")[1:])
    return status(begin), {name.lower(): value for name, _, value in fields}


class Peer:
    """One websocket as a client sees it: raw frames, nothing answered by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.session: dict[str, Any] = {}
        self.reason = ""
        self._buffer = bytearray()

    async def shake(self, target: str, headers: Mapping[str, str], tail: bytes) -> None:
        """Ask for the websocket, with `tail` in the same write, and take the answer, whatever it is."""
        self.raw(head("GET", target, {**upgrade(), **headers}) + tail)
        self.status, self.headers = await self._taken(take_answer)

    async def open(self) -> None:
        """Take the open packet; raises `HandshakeRefused`."""
        if self.status != 101:
            raise HandshakeRefused(self.status, self._buffer.decode(errors="replace"))
        packet = await self.receive()
        assert isinstance(packet, str)
        self.session = json.loads(packet[1:])

    async def _taken(self, take: Callable[[bytearray], T | None]) -> T:
        async with asyncio.timeout(PATIENCE_S):
            while (taken := take(self._buffer)) is None:
                data = await self.reader.read(1 << 16)
                if not data:
                    raise asyncio.IncompleteReadError(bytes(self._buffer), None)
                self._buffer += data
            return taken

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.raw(frame(TEXT, message.encode()))
        else:
            self.raw(frame(BINARY, message))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> Frame:
        """Return the next frame's first byte and its payload."""
        return await self._taken(take_frame)

    async def receive(self) -> str | bytes:
        """Return the next message."""
        first, payload = await self.frame()
        assert first in (FIN | TEXT, FIN | BINARY), f"unexpected frame {first:#x} {payload!r}"
        return payload.decode() if first & OPCODE == TEXT else payload

    async def message(self) -> str | bytes:
        """Return the next message that is no ping of Engine.IO; those are answered."""
        while (message := await self.receive()) == "2":
            self.send("3")
        return message

    async def packet(self) -> str:
        """Return the next message that is no ping, which has to be text."""
        message = await self.message()
        assert isinstance(message, str), message
        return message

    async def close_code(self, *, pongs: bool = False) -> int:
        """Read on, with `pongs` answering Engine.IO's pings, until the server's close frame; return its code."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                first, payload = await self.frame()
                if first & OPCODE == CLOSE:
                    self.reason = payload[2:].decode()
                    return int.from_bytes(payload[:2], "big")
                if pongs and (first & OPCODE, payload) == (TEXT, b"2"):
                    self.send("3")

    async def eof(self) -> None:
        """Read on until the server has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                pass

    async def pong(self) -> None:
        """Wait until the server has handled everything sent so far."""
        self.raw(frame(PING, b"here?"))
        while await self.frame() != (0x8A, b"here?"):
            pass

    def abort(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def websocket(
    port: int,
    *,
    path: str = "/engine.io/",
    sid: str | None = None,
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
    tail: bytes = b"",
    tls: ssl.SSLContext | None = None,
    limit: int = 1 << 22,
) -> AsyncIterator[Peer]:
    """Connect; the server's answer, whatever it is, has come when this is entered."""
    query = f"&sid={sid}" if sid is not None else ""
    async with connection(port, tls=tls, limit=limit) as streams:
        peer = Peer(*streams)
        await peer.shake(target or f"{path}?EIO=4&transport=websocket{query}", headers or {}, tail)
        yield peer


@asynccontextmanager
async def opened(port: int, **options: Any) -> AsyncIterator[Peer]:
    """Connect and take the open packet; raises `HandshakeRefused`."""
    async with websocket(port, **options) as peer:
        await peer.open()
        yield peer
