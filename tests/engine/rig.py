"""An engine on a real port, with an upper layer that echoes and takes notes."""

import asyncio
import hashlib
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gateway.engine import EngineOptions, EngineServer, EngineSocket, send_buffer
from gateway.engine.http_limits import HttpLimits, LimitedRunner
from tests.support.polling import Poller
from tests.support.waiting import until


@dataclass
class Notes:
    """What the upper layer was told."""

    opened: list[EngineSocket] = field(default_factory=list)
    received: list[str | bytes] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    logged: list[tuple[str, dict[str, object]]] = field(default_factory=list)


class Rig:
    """The server under test."""

    def __init__(self, **options: Any) -> None:
        self.notes = Notes()
        self.port = 0
        self.app = web.Application()
        chosen: dict[str, Any] = {
            "opener": self.opener,
            "receiver": self.echo,
            "closer": self.closer,
            "log": self.log,
            "close_timeout_s": 0.3,
            **options,
        }
        self.engine = EngineServer(EngineOptions(**chosen))
        self.engine.attach(self.app, "engine.io")

    def opener(self, socket: EngineSocket) -> None:
        self.notes.opened.append(socket)

    def echo(self, socket: EngineSocket, data: str | bytes) -> Awaitable[None] | None:
        self.notes.received.append(data)
        if isinstance(data, str):
            socket.send_text(data)
        else:
            socket.send_binary(data)
        return None

    def closer(self, socket: EngineSocket, reason: str) -> None:
        self.notes.closed.append((socket.sid, reason))

    def log(self, event: str, **fields: object) -> None:
        self.notes.logged.append((event, fields))

    @property
    def polling_url(self) -> str:
        """Where a session of long-polling is asked for."""
        return f"http://127.0.0.1:{self.port}/engine.io/?EIO=4&transport=polling"

    @property
    def socket(self) -> EngineSocket:
        """The session that was opened last."""
        return self.notes.opened[-1]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.notes.closed]

    def idle(self) -> bool:
        """Whether nothing is left of any session, and its end was reported."""
        context = self.engine._context
        reported = self.engine.options.closer != self.closer or len(self.reasons) == context.stats.closed.total()
        tables = (
            context.sockets,
            context.closing,
            context.parting,
            context.upgrading,
            context.tasks,
            context.timers,
        )
        return reported and not any(tables)


async def waiting_poll(rig: Rig, client: Poller) -> asyncio.Task[tuple[int, str]]:
    """Begin a poll, and wait until the latest session waits with it."""
    poll = asyncio.create_task(client.poll())
    await until(lambda: getattr(rig.socket.channel, "_poll", None) is not None)
    return poll


def digest_of(method: Any) -> str:
    """Return what tells whether a method of aiohttp is the one that was read."""
    return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]


@asynccontextmanager
async def serve(
    *,
    tls: ssl.SSLContext | None = None,
    http_limits: Mapping[str, Any] | None = None,
    routes: Iterable[web.RouteDef] = (),
    **options: Any,
) -> AsyncIterator[Rig]:
    """Serve on a free port; see `EngineOptions` for the options, `HttpLimits` for what `http_limits` may hold."""
    rig = Rig(**options)
    rig.app.add_routes(routes)
    usual = {"request_timeout_s": 20.0, "idle_timeout_s": 75.0, "max_header_bytes": 16_384, "max_connections": 0}
    limits = HttpLimits(stats=rig.engine.stats, log=rig.log, **usual | dict(http_limits or {}))
    runner = LimitedRunner(rig.app, limits, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    send_buffer.bound(runner.sites, 45.0)
    rig.port = runner.addresses[0][1]
    try:
        yield rig
    finally:
        await rig.engine.shutdown()
        await runner.cleanup()
