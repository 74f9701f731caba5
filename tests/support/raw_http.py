"""HTTP/1.1 as bytes, for what no library sends: heads of requests, and connections that are cut at the end."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.support.waiting import PATIENCE_S

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def head(method: str, target: str, fields: Mapping[str, str] | None = None) -> bytes:
    """Return a request's head; `Host` is localhost unless `fields` has another."""
    every = {"Host": "localhost", **(fields or {})}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def upgrade(version: int = 13, key: bytes | None = None) -> dict[str, str]:
    """Return the headers that ask for a websocket; `key` has 16 bytes, or is drawn."""
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": str(version),
        "Sec-WebSocket-Key": base64.b64encode(key or os.urandom(16)).decode(),
    }


def request(method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """Return the only request of a connection; of the names of `headers` underscores are hyphens."""
    fields = {"Connection": "close"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    return head(method, path, fields) + body


def status(answer: bytes) -> int:
    """Return the status of an answer, 0 if it is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/1.") and len(words) > 1 else 0


@asynccontextmanager
async def connection(
    port: int, *, tls: ssl.SSLContext | None = None, limit: int = 1 << 16
) -> AsyncIterator[Streams]:
    """Connect to a port of this machine, over TLS as "localhost"; cut the connection at the end."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        # A transport that is aborted says so in the next turn.
        await asyncio.sleep(0)


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes; return all that comes until the server closes."""
    async with connection(port) as (reader, writer), asyncio.timeout(PATIENCE_S):
        writer.write(data)
        return await reader.read()


async def ask(port: int, data: bytes, within_s: float = PATIENCE_S) -> int:
    """Send a request; return the status of the answer, 0 where the connection is closed without one.

    The server may go on reading for a while so that the answer arrives: nobody waits for that here.
    """
    async with connection(port) as (reader, writer), asyncio.timeout(within_s):
        writer.write(data)
        try:
            return status(await reader.readline())
        except ConnectionError:
            return 0
