"""Engine.IO over long-polling: the payload of several packets, and a client that says when it polls and posts."""

from __future__ import annotations

import io
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp

from tests.support.waiting import PATIENCE_S
from tests.support.websocket import HandshakeRefused

SEPARATOR = "\x1e"


def packets_of(body: str) -> list[str]:
    """Return the packets of a payload."""
    return body.split(SEPARATOR)


def payload_of(packets: Iterable[str]) -> str:
    """Return a payload of packets."""
    return SEPARATOR.join(packets)


class Poller:
    """A long-polling client; `stamped` gives each request a `t` of its own, as socket.io-client does."""

    def __init__(self, http: aiohttp.ClientSession, base: str, *, stamped: bool = False) -> None:
        self.http = http
        self.base = base
        self.session: dict[str, Any] = {}
        self._stamps = count(time.monotonic_ns()) if stamped else None

    @property
    def sid(self) -> str:
        return str(self.session["sid"])

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{self.base}&transport=polling" + (f"&sid={self.sid}" if self.session else "")

    def _stamped(self) -> str:
        return self.url if self._stamps is None else f"{self.url}&t={next(self._stamps):x}"

    async def open(self) -> None:
        """Get a session, in the place of the one before; raises `HandshakeRefused`."""
        self.session = {}
        status, body = await self.poll()
        if status != 200:
            raise HandshakeRefused(status, body)
        self.session = json.loads(body[1:])

    async def poll(self) -> tuple[int, str]:
        async with self.http.get(self._stamped()) as response:
            return response.status, await response.text()

    async def poll_until(self, begin: str) -> list[str]:
        """Poll, answering pings, until a packet comes that begins so; return all packets up to there."""
        got: list[str] = []
        while not any(packet.startswith(begin) for packet in got):
            status, body = await self.poll()
            assert status == 200, body
            got += packets_of(body)
            if "2" in got:
                got.remove("2")
                await self.post("3")
        return got

    async def post(self, body: str | bytes, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        async with self.http.post(self._stamped(), data=data, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def http_client(**options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout, **options) as http:
        yield http


@asynccontextmanager
async def polling(port: int, path: str = "/engine.io/") -> AsyncIterator[Poller]:
    """Open a long-polling session."""
    async with http_client() as http:
        poller = Poller(http, f"http://127.0.0.1:{port}{path}?EIO=4")
        await poller.open()
        yield poller
