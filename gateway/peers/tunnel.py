"""A websocket of another process' session: the bytes go through, unread, in both directions."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from urllib.parse import SplitResult

from aiohttp import web

from gateway.engine.takeover import Taken, take_over, upgradable


class End(asyncio.Protocol):
    """One end of a tunnel: what comes in goes out at the other, as fast as that takes it.

    `tunnels` holds the one end of each that there is.
    """

    def __init__(self, tunnels: set[End]) -> None:
        self.transport: asyncio.Transport | None = None
        self._other: End | None = None
        self._tunnels = tunnels

    def join(self, other: End) -> None:
        """Make a tunnel of two ends."""
        self._other, other._other = other, self
        self._tunnels.add(self)

    def close(self) -> None:
        """Close both ends once what is under way has gone out."""
        if self.transport is not None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the way out."""
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.write(data)

    def eof_received(self) -> bool:
        """Close both ends once what is under way has gone out."""
        return False

    def pause_writing(self) -> None:
        """Read no more at the other end while this one takes no more."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other end, too."""
        other, self._other, self.transport = self._other, None, None
        self._tunnels.discard(self)
        if other is not None:
            self._tunnels.discard(other)
            other._other = None
            if other.transport is not None:
                other.transport.close()


async def tunnel(
    loop: asyncio.AbstractEventLoop,
    request: web.Request,
    unix_socket: str,
    where: SplitResult,
    header: tuple[str, str],
    tunnels: set[End],
) -> web.StreamResponse | None:
    """Connect a request for an upgrade to where its session is; None where the client has gone meanwhile.

    Raises `OSError` where that can't be reached.
    """
    there = End(tunnels)
    if unix_socket:
        await loop.create_unix_connection(lambda: there, unix_socket)
    else:
        tls = ssl.create_default_context() if where.scheme == "https" else None
        port = where.port or (443 if tls else 80)
        await loop.create_connection(lambda: there, where.hostname or "127.0.0.1", port, ssl=tls)
    assert there.transport is not None
    transport = upgradable(request)
    if transport is None:
        there.transport.abort()
        return None
    here = End(tunnels)
    here.connection_made(transport)
    here.join(there)
    there.transport.write(_head(request, header))
    tail = take_over(request, b"", here)
    if tail:
        there.transport.write(tail)
    return Taken()


def _head(request: web.Request, header: tuple[str, str]) -> bytes:
    name, value = header
    lines = [f"{request.method} {request.raw_path} HTTP/1.1".encode()]
    lines += [key + b": " + text for key, text in request.raw_headers if key.lower() != name.lower().encode()]
    lines += [f"{name}: {value}".encode(), b"", b""]
    return b"\r\n".join(lines)
