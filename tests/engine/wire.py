"""A websocket client that can do what no library lets one do, and a plain HTTP one."""

import asyncio
import base64
import io
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from gateway.engine.reader import BINARY, CLOSE, PING, TEXT, unmask
from tests.support.waiting import PATIENCE_S


async def eventually(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(0.002)


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """Return a client's frame."""
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    mark = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([mark | size])
    elif size < 1 << 16:
        head += bytes([mark | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mark | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + unmask(payload, key)


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


class Peer:
    """One websocket as a client sees it: raw frames, nothing answered by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.session: dict[str, Any] = {}
        self.reason = ""

    async def shake(self, target: str, headers: Mapping[str, str], tail: bytes) -> None:
        fields = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + tail)
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.raw(frame(TEXT, message.encode()))
        else:
            self.raw(frame(BINARY, message))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame's first byte and its payload."""
        async with asyncio.timeout(PATIENCE_S):
            first, length = await self.reader.readexactly(2)
            assert not length & 0x80, "a server does not mask"
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return first, await self.reader.readexactly(length)

    async def receive(self) -> str | bytes:
        """Return the next message."""
        first, payload = await self.frame()
        assert first in (0x80 | TEXT, 0x80 | BINARY), f"unexpected frame {first:#x} {payload!r}"
        return payload.decode() if first & 0x0F == TEXT else payload

    async def close_code(self) -> int:
        """Read on until the server's close frame; return its code."""
        while True:
            first, payload = await self.frame()
            if first & 0x0F == CLOSE:
                self.reason = payload[2:].decode()
                return int.from_bytes(payload[:2], "big")

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
    sid: str | None = None,
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
    tail: bytes = b"",
    tls: ssl.SSLContext | None = None,
    limit: int = 1 << 22,
) -> AsyncIterator[Peer]:
    """Connect; the server's answer, whatever it is, has come when this is entered."""
    query = f"&sid={sid}" if sid is not None else ""
    target = target or f"/engine.io/?EIO=4&transport=websocket{query}"
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None, limit=limit
    )
    try:
        peer = Peer(reader, writer)
        await peer.shake(target, headers or {}, tail)
        yield peer
    finally:
        writer.transport.abort()
        # A transport that is aborted says so in the next turn.
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(port: int, **options: Any) -> AsyncIterator[Peer]:
    """Connect and take the open packet."""
    async with websocket(port, **options) as peer:
        assert peer.status == 101
        packet = await peer.receive()
        assert isinstance(packet, str)
        peer.session = json.loads(packet[1:])
        yield peer


class Poller:
    """A long-polling client."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base
        self.session: dict[str, Any] = {}

    @property
    def sid(self) -> str:
        return str(self.session["sid"])

    @property
    def url(self) -> str:
        return f"{self.base}?EIO=4&transport=polling&sid={self.sid}"

    async def open(self) -> None:
        async with self.http.get(f"{self.base}?EIO=4&transport=polling") as response:
            assert response.status == 200
            self.session = json.loads((await response.text())[1:])

    async def poll(self) -> tuple[int, str]:
        async with self.http.get(self.url) as response:
            return response.status, await response.text()

    async def post(self, body: str | bytes) -> tuple[int, str]:
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        async with self.http.post(self.url, data=data) as response:
            return response.status, await response.text()


@asynccontextmanager
async def http_client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield http


@asynccontextmanager
async def polling(port: int, path: str = "/engine.io/") -> AsyncIterator[Poller]:
    """Open a long-polling session."""
    async with http_client() as http:
        poller = Poller(http, f"http://127.0.0.1:{port}{path}")
        await poller.open()
        yield poller
