"""What attackers are made of: raw websockets at the gateway, and raw bytes at its port."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.reader import CLOSE, TEXT
from tests.engine.wire import Peer, Poller, frame, opened
from tests.support.tokens import mint
from tests.support.waiting import PATIENCE_S

TARGET = "/socket.io/?EIO=4&transport=websocket"
KEPT = 20


@asynccontextmanager
async def opening(port: int, headers: Mapping[str, str] | None = None) -> AsyncIterator[Peer]:
    """Open a websocket that has not authenticated."""
    async with opened(port, target=TARGET, headers=headers) as peer:
        yield peer


@asynccontextmanager
async def connecting(
    port: int, token: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Peer]:
    """Open a websocket and connect as somebody whose token is good."""
    async with opening(port, headers) as peer:
        await connect(peer, token or mint())
        yield peer


async def connect(peer: Peer, token: str, **auth: Any) -> dict[str, Any]:
    """Send CONNECT, and take what comes up to `connected`; return what CONNECT said."""
    peer.send("40" + json.dumps({"token": token} | auth))
    said: dict[str, Any] = {}
    while True:
        packet = await answer(peer)
        if packet.startswith("40"):
            said = json.loads(packet[2:])
        elif packet.startswith('42["connected"'):
            return said
        else:
            assert not packet.startswith("44"), packet


async def answer(peer: Peer) -> str:
    """Return the next packet that is no heartbeat; heartbeats are answered."""
    while True:
        packet = await peer.receive()
        assert isinstance(packet, str)
        if packet != "2":
            return packet
        peer.send("3")


@dataclass
class End:
    """How a connection ended: the close frame's code and reason, 0 without one; what came before."""

    code: int = 0
    reason: str = ""
    messages: int = 0
    first: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    after_s: float = 0.0


async def until_closed(peer: Peer, within_s: float = PATIENCE_S) -> End:
    """Read on, answering heartbeats, until the server closes; fails if it does not in time."""
    end, loop = End(), asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while not end.code and loop.time() - began < within_s:
            # A peer that hears nothing for a while says so; that is no end.
            with contextlib.suppress(TimeoutError):
                _take(peer, end, *await peer.frame())
    end.after_s = loop.time() - began
    assert end.after_s < within_s, f"still open after {end.after_s:.1f} s and {end.messages} messages"
    return end


async def poll_for(poller: Poller, text: str) -> str:
    """Poll until something comes that has this in it, and give that; fails when the session has ended."""
    while True:
        code, body = await poller.poll()
        assert code == 200, body
        if text in body:
            return body


def _take(peer: Peer, end: End, first: int, payload: bytes) -> None:
    if first & 0x0F == CLOSE:
        end.code, end.reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
        peer.raw(frame(CLOSE, payload[:2]))
    elif payload == b"2" and first & 0x0F == TEXT:
        peer.send("3")
    else:
        end.messages += 1
        end.last.append(payload.decode(errors="replace"))
        if len(end.first) < KEPT:
            end.first.append(end.last[-1])


async def say(port: int, *parts: bytes, within_s: float = PATIENCE_S, pause_s: float = 0.05) -> bytes:
    """Send bytes to the port, with pauses between `parts`; return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for i, part in enumerate(parts):
            await asyncio.sleep(pause_s if i else 0)
            writer.write(part)
        async with asyncio.timeout(within_s):
            return await _rest(reader)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    got = b""
    try:
        while data := await reader.read(1 << 16):
            got = (got + data)[: 1 << 20]
    except ConnectionError:
        pass
    return got


async def ask(port: int, data: bytes, within_s: float = PATIENCE_S) -> int:
    """Send a request; return the status of the answer, 0 where the connection is closed without one.

    The server may go on reading for a while so that the answer arrives: nobody waits for that here.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(within_s):
            return status(await reader.readline())
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def request(method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """Write an HTTP request; of the names of `headers` underscores are hyphens."""
    fields = {"Host": "localhost", "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if body and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    """Return the status of an HTTP answer, 0 if it is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/1.") and len(words) > 1 else 0
