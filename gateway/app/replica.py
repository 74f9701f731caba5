"""One replica: its parts, in the order in which they start; they stop in the opposite order."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import secrets
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

import structlog
from aiohttp import web

from gateway.access import access_of, authorizer_of
from gateway.api import Api
from gateway.app.assemble import assemble
from gateway.app.health import Health
from gateway.app.metrics import values
from gateway.app.sampler import Vitals
from gateway.app.status import announcement
from gateway.app.tls import Certificate, TlsSite
from gateway.auth import MAX_TOKEN_BYTES, Tokens, jwks_of
from gateway.contract import ContractPage
from gateway.core.limits import LIMITS, Limits
from gateway.engine import Compression, EngineOptions, send_buffer
from gateway.engine.http_limits import HttpLimits, LimitedRunner
from gateway.engine.replies import SERVER
from gateway.errors import PortTaken, StartError, redis_trouble, shown_url
from gateway.limits.addresses import remote_of
from gateway.limits.connects import Connects
from gateway.log import EVENTS
from gateway.metrics.endpoint import Page
from gateway.peers import Forwarding, Registry, Worker, new_name
from gateway.redis.cluster.commands import commands_of, source_of
from gateway.redis.commands import OPEN_ERRORS
from gateway.redis.connection import ReplyError
from gateway.settings import ConfigurationError, Settings
from gateway.tracing import tracing_of

SOCKETIO_PATH = "socket.io"
# The share of the grace time in which sockets are moved away; the rest is for the work after the last socket.
DRAIN_SHARE = 0.7
# Sockets to move away per second: so few overload no other replica. A drain of many sockets is faster.
DRAIN_RATE = 100
# Upgrades that are under way when the drain begins get this share of the grace time, at most this many seconds.
UPGRADES_SHARE = 0.2
UPGRADES_S = 1.0
BACKLOG = 2048
# The largest message from a socket that has not authenticated: twice the largest token.
STRANGER_BYTES = 2 * MAX_TOKEN_BYTES
# An idle connection is kept this long: longer than nginx keeps its own, 60 s.
KEEPALIVE_S = 75.0
# Time for requests that are under way when the server stops.
LAST_REQUESTS_S = 0.2

_log = structlog.get_logger("gateway")


Routes = Callable[[web.Application, "Gateway"], None]


class Gateway:
    """One replica. `async with` starts and stops it."""

    def __init__(
        self,
        settings: Settings,
        *,
        any_origin: bool = False,
        routes: Routes | None = None,
        worker: Worker | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        settings.check_secret()
        self.worker = worker
        self.settings = settings
        self.name = new_name()
        self.replica = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.port = settings.port
        self.certificate = (
            Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
        )
        self.tracing = tracing_of(settings, self.replica)
        self.jwks = jwks_of(settings)
        self.tokens = Tokens(settings, self.jwks)
        self.authorizer = authorizer_of(settings)
        self._any_origin = any_origin
        self._routes = routes
        self._limits = limits
        self.draining = False
        self.certificate_reload_failed = False
        """Whether the last reload failed, so that the old certificate is still in use."""
        self._connects = Connects(settings, self._pending)
        self._deadline = 0.0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        _log.info("gateway_stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        if self.tracing is not None:
            stack.push_async_callback(self.tracing.stop)
        url = settings.redis_url.get_secret_value()
        try:
            source = source_of(url, name="gateway", **settings.redis_options())
            self.commands = commands = commands_of(source, self._limits)
            remote = remote_of(settings.trusted_proxies)
            self.registry = Registry(commands, self.name, partial(announcement, self))
            self.forwarding = Forwarding(self.registry, settings, self._connects, remote)
            parts = assemble(
                settings,
                commands,
                self.tokens,
                self._engine_options(),
                access=access_of(settings, self.authorizer),
                connects=self._connects,
                tracing=self.tracing,
            )
            self.subscriptions, self.server = parts.subscriptions, parts.server
            self.api = Api(parts.members, remote) if settings.api_keys else None
            await commands.start()
            stack.push_async_callback(commands.stop)
            await self.subscriptions.start()
            stack.push_async_callback(self.subscriptions.stop)
        except (*OPEN_ERRORS, ReplyError, ValueError) as error:
            raise StartError(redis_trouble(shown_url(url), error)) from None
        for asking in (self.jwks, self.authorizer):
            if asking is not None:
                await asking.start()
                stack.push_async_callback(asking.stop)
        self.vitals = Vitals(self.server, self._limits.sample_every_s)
        self.vitals.start()
        stack.push_async_callback(self.vitals.stop)
        self.server.leases.start()
        stack.push_async_callback(self.server.leases.stop)
        stack.callback(self.server.members.sweeper.stop)
        self.server.presence.start()
        stack.push_async_callback(self.server.presence.stop)
        stack.push_async_callback(self.server.control.stop)
        stack.push_async_callback(self._close_sockets)
        await self._listen(stack)

    def _engine_options(self) -> EngineOptions:
        settings = self.settings
        origins = frozenset(settings.cors_origins)

        def allow_origin(origin: str | None) -> bool:
            return origin is None or self._any_origin or origin in origins

        def log(event: str, **fields: object) -> None:
            getattr(_log, EVENTS[event][0])(event, **fields)

        return EngineOptions(
            ping_interval_s=settings.ping_interval_s,
            ping_timeout_s=settings.ping_timeout_s,
            max_payload_bytes=settings.max_payload_bytes,
            max_stranger_bytes=min(settings.max_payload_bytes, STRANGER_BYTES),
            max_buffer_bytes=settings.max_buffer_bytes,
            body_timeout_s=settings.request_timeout_s,
            messages_per_s=settings.events_per_s,
            messages_burst=settings.events_burst,
            compression=_compression(settings),
            allow_origin=allow_origin,
            admit=self._connects.refusal_of,
            remote=self.forwarding.remote,
            name=self.name,
            elsewhere=self.forwarding,
            log=log,
        )

    def _pending(self) -> int:
        """Return the number of sockets and pending tunnels whose clients are not authenticated or were refused."""
        sockets = len(self.server.eio.sockets) - len(self.server.members.by_sid)
        return sockets + len(self.forwarding.tunnels.pending)

    async def _listen(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.on_response_prepare.append(_unsigned)
        self.server.attach(app, SOCKETIO_PATH)
        Health(self.findings, self._counts).attach(app)
        Page(lambda: values(self), self.worker).attach(app)
        ContractPage().attach(app)
        if self.api is not None:
            self.api.attach(app)
        if self._routes is not None:
            self._routes(app, self)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        http_limits = HttpLimits(
            request_timeout_s=self.settings.request_timeout_s,
            idle_timeout_s=max(KEEPALIVE_S, self.settings.request_timeout_s),
            max_header_bytes=self.settings.max_header_bytes,
            max_connections=self.settings.max_http_connections or files // 2,
            stats=self.server.eio.stats,
            log=self.server.eio.options.log,
        )
        runner = LimitedRunner(app, http_limits, access_log=None, shutdown_timeout=LAST_REQUESTS_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await self._site(runner).start()
            if self.worker is not None:
                await web.UnixSite(runner, self.worker.socket).start()
        except OSError as error:
            where = f"{self.settings.host}:{self.settings.port}"
            kind = PortTaken if error.errno == errno.EADDRINUSE else StartError
            raise kind(f"can't listen on {where}: {error.strerror or error}") from None
        send_buffer.bound(runner.sites, self.settings.ping_interval_s + self.settings.ping_timeout_s)
        self.port = runner.addresses[0][1]
        await self.registry.start(self._advertised(), self.worker.socket if self.worker else "")
        stack.push_async_callback(self.registry.stop)
        stack.push_async_callback(self.forwarding.stop)
        _log.info("gateway_started", url=self.url, replica=self.replica)

    def _site(self, runner: web.AppRunner) -> web.BaseSite:
        host, port = self.settings.host, self.settings.port
        if self.certificate is None:
            shared = self.worker is not None or None
            return web.TCPSite(runner, host, port, backlog=BACKLOG, reuse_address=True, reuse_port=shared)
        context, timeout_s = self.certificate.context, self.settings.connect_timeout_s
        return TlsSite(runner, host, port, context=context, handshake_timeout_s=timeout_s, backlog=BACKLOG)

    @property
    def url(self) -> str:
        """Return the URL at which this replica can be reached from its own machine."""
        host = "127.0.0.1" if self.settings.host == "0.0.0.0" else self.settings.host  # noqa: S104
        return f"http{'s' if self.certificate else ''}://{host}:{self.port}"

    def reload_certificate(self) -> None:
        """Load the certificate's files again; if they are invalid, log an error and keep the old certificate."""
        if self.certificate is None:
            _log.info("nothing_to_reload")
            return
        try:
            self.certificate.reload()
        except ConfigurationError as error:
            self.certificate_reload_failed = True
            _log.error("certificate_reload_failed", reason=str(error))
        else:
            self.certificate_reload_failed = False
            _log.info("certificate_loaded")

    def _advertised(self) -> str:
        """Return the URL at which other replicas pass requests on to this one.

        It is `GATEWAY_ADVERTISE_URL`, or made from the address from which this replica speaks to Redis.
        """
        if self.settings.advertise_url:
            return self.settings.advertise_url
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://{self.commands.own_address or '127.0.0.1'}:{self.port}"

    def findings(self) -> list[str]:
        """Return the reasons why this replica should get no new clients; empty if it is ready."""
        found = []
        if self.draining:
            found.append("draining")
        if not self.commands.is_up:
            found.append("commands can't be sent to Redis")
        if not self.subscriptions.subscriber.hears:
            found.append("messages of Redis are not received")
        found += self.tokens.keys.findings()
        return found

    def _counts(self) -> dict[str, Any]:
        hub = self.subscriptions.hub
        return {
            "replica": self.replica,
            "sockets": len(self.server.members.by_sid),
            "rooms": len(hub.channels),
            "tenants": len(hub.tenants),
            "events": hub.delivery_stats.events,
            "deliveries": hub.delivery_stats.deliveries,
            "recoveries": dict(self.server.connector.outcomes),
            "resyncs": self.subscriptions.resync.count,
            "gaps": hub.stats.gaps,
            "redis_reconnects": self.commands.reconnects + self.subscriptions.subscriber.reconnects,
            "slow_cut": self.server.eio.stats.slow_cut,
        }

    async def _close_sockets(self) -> None:
        """Close the sockets that the drain left, in the rest of the grace time."""
        left_s = self._deadline - asyncio.get_running_loop().time() - LAST_REQUESTS_S
        await self.server.eio.shutdown(min(max(left_s, 0.0), self.server.eio.options.close_timeout_s))

    async def drain(self) -> None:
        """Refuse new sockets from now on, and move all others away, spread over the grace time."""
        self.draining = True
        self._deadline = asyncio.get_running_loop().time() + self.settings.shutdown_grace_s
        sockets = len(self.server.eio.sockets)
        tunnels = len(self.forwarding.tunnels.open)
        over_s = min(self.settings.shutdown_grace_s * DRAIN_SHARE, max(sockets, tunnels) / DRAIN_RATE)
        upgrades_s = min(self.settings.shutdown_grace_s * UPGRADES_SHARE, UPGRADES_S)
        _log.info("gateway_draining", sockets=sockets, over_s=over_s)
        await asyncio.gather(self.server.eio.drain(over_s, upgrades_s), self.forwarding.drain(over_s, upgrades_s))


async def _unsigned(request: web.Request, response: web.StreamResponse) -> None:
    """Replace aiohttp's `Server` header, which would tell strangers the versions in use."""
    response.headers["Server"] = SERVER


def _compression(settings: Settings) -> Compression | None:
    if settings.compression == "off":
        return None
    return Compression(
        threshold_bytes=settings.compression_threshold_bytes,
        level=settings.compression_level,
        window_bits=settings.compression_window_bits,
    )
