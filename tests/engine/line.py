"""A raw HTTP connection to an engine, for requests that no honest client sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.raw_http import connection
from tests.support.waiting import PATIENCE_S

GET = b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"


class Line:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def asks(self) -> int:
        """Ask for a session; return the status."""
        self.send(GET + b"\r\n")
        return (await self.answer())[0]

    async def drip(self, data: bytes = b"X-Slow: 1\r\n", every_s: float = 0.02) -> None:
        """Send this for ever, a little at a time."""
        while not self._writer.is_closing():
            self.send(data)
            await asyncio.sleep(every_s)

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Read one answer; return its status, and its body as far as that is JSON."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].split()[0])
            body = await self._reader.readexactly(size)
        status = int(head.split()[1])
        return status, json.loads(body) if body[:1] == b"{" else {}

    async def ended(self) -> bytes:
        """Wait until the server has closed; return what else came."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    async with connection(port) as streams:
        yield Line(*streams)
