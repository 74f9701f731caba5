"""A web server of the test's own, on the test's loop: what the gateway asks, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from aiohttp import web

from gateway.dev.embedded_redis import free_port
from tests.support.replica import Replica, alive
from tests.support.waiting import until


@dataclass(slots=True)
class Asked:
    """One request."""

    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class Answer:
    """What a server says: JSON, or bytes as they are."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] | None = None


class WebServer:
    """Answers everything with `answer`, while it is `start`ed; `asked` is what it was asked, oldest first.

    While `held` it reads questions and answers none.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer] = lambda asked: Answer()
        self._going = asyncio.Event()
        self._going.set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is, also before and after it runs."""
        self._port = self._port or free_port()
        return f"http://127.0.0.1:{self._port}/asked"

    async def start(self) -> WebServer:
        """Begin to answer, at the address that it had before if it had one."""
        assert self.url
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        return self

    async def stop(self) -> None:
        """Be gone: connections are refused."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def hold(self) -> None:
        """Answer nothing until `go_on`."""
        self._going.clear()

    def go_on(self) -> None:
        """Answer what was asked meanwhile, and what comes."""
        self._going.set()

    async def wait_asked(self, times: int) -> Asked:
        """Wait until it was asked so often; return the latest question."""
        await until(lambda: len(self.asked) >= times, what=f"question {times}")
        return self.asked[-1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        asked = Asked(request.headers, body)
        self.asked.append(asked)
        await self._going.wait()
        answer = self.answer(asked)
        if isinstance(answer.body, bytes):
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)


@pytest_asyncio.fixture
async def web_server() -> AsyncIterator[WebServer]:
    """A server that runs, on the test's loop."""
    server = await WebServer().start()
    yield server
    server.go_on()
    await server.stop()


Beside = Callable[..., Awaitable[Replica]]


@pytest_asyncio.fixture
async def replicas_beside(tmp_path: Path) -> AsyncIterator[Beside]:
    """Start replicas that ask a server on the test's loop, which goes on meanwhile.

    `await replicas_beside(redis_url, GATEWAY_JWKS_URL=web_server.url)`; `ready=False` waits only for its port.
    """
    started: list[Replica] = []

    async def start(
        redis_url: str, *, ready: bool = True, may_log: tuple[str, ...] = (), **environment: str
    ) -> Replica:
        replica = Replica(redis_url, tmp_path / f"beside-{len(started)}.log", environment, may_log=may_log)
        started.append(replica)
        alive.append(replica)
        if ready:
            return await replica.restarted()
        replica.port = free_port()
        replica.begin()
        await until(lambda: asyncio.to_thread(lambda: replica.get("/health/live")[0] == 200), what="the replica")
        return replica

    yield start
    for replica in started:
        replica.terminate()
        await replica.ended()
        replica.close()
