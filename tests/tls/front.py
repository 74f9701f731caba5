"""TLS in front of a server that speaks none, in a thread of its own: a Redis with certificates, anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import Self

from tests.support.waiting import PATIENCE_S


class TlsFront:
    """Takes TLS at `port` and passes what is in it on; `cut` drops all connections, new ones are taken."""

    def __init__(self, server_port: int, context: ssl.SSLContext) -> None:
        self.port = 0
        self._server_port = server_port
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(PATIENCE_S)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        listener = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=self._context)
        self.port = listener.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopping.wait()
        listener.close()
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._server_port)
        ends = {writer, forth}
        self._writers |= ends
        await asyncio.gather(self._pass(reader, forth), self._pass(back, writer))
        self._writers -= ends

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
