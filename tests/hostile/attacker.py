"""What attackers are made of: websockets at the gateway that connect or do not, and bytes at its port."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.reader import CLOSE, TEXT
from tests.support.raw_http import connection
from tests.support.tokens import mint
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import OPCODE, Peer, frame, opened

KEPT = 20


def opening(port: int, headers: Mapping[str, str] | None = None) -> AbstractAsyncContextManager[Peer]:
    """Open a websocket that has not authenticated."""
    return opened(port, path="/socket.io/", headers=headers)


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
        packet = await peer.packet()
        if packet.startswith("40"):
            said = json.loads(packet[2:])
        elif packet.startswith('42["connected"'):
            return said
        else:
            assert not packet.startswith("44"), packet


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


async def end_of(entering: AbstractAsyncContextManager[Peer], data: str | bytes) -> End:
    """Open a websocket, send a text or bytes as they are, and read on until the server closes."""
    async with entering as peer:
        if isinstance(data, str):
            peer.send(data)
        else:
            peer.raw(data)
        return await until_closed(peer)


def _take(peer: Peer, end: End, first: int, payload: bytes) -> None:
    if first & OPCODE == CLOSE:
        end.code, end.reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
        peer.raw(frame(CLOSE, payload[:2]))
    elif payload == b"2" and first & OPCODE == TEXT:
        peer.send("3")
    else:
        end.messages += 1
        end.last.append(payload.decode(errors="replace"))
        if len(end.first) < KEPT:
            end.first.append(end.last[-1])


async def say(port: int, *parts: bytes, within_s: float = PATIENCE_S, pause_s: float = 0.05) -> bytes:
    """Send bytes to the port, with pauses between `parts`; return what comes back until the server closes."""
    got = b""
    async with connection(port) as (reader, writer):
        for i, part in enumerate(parts):
            await asyncio.sleep(pause_s if i else 0)
            writer.write(part)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(within_s):
                while data := await reader.read(1 << 16):
                    got = (got + data)[: 1 << 20]
    return got
