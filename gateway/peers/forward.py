"""Forwarding of requests to the process that has the session, and of its answers to the client."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from gateway.engine.drain import batches
from gateway.engine.errors import TOO_LARGE, UNKNOWN_SID, Refusal, unavailable
from gateway.engine.handshake import accept_key, wants_websocket
from gateway.engine.takeover import on_disconnect
from gateway.limits.connects import Connects
from gateway.peers.names import holder_of
from gateway.peers.proof import HEADER, Passed
from gateway.peers.registry import Peer, Registry
from gateway.peers.tls import Tls
from gateway.peers.tunnel import Asked, Tunnel, Tunnels, switch
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.settings import Settings

# One hop to the machine of the session, one to the worker there.
MOST_HOPS = 2
CONNECT_S = 2.0
RETRY_AFTER_S = 1
DRAIN_STEP_S = 0.05
# Heartbeats without any data from the other process after which a tunnel is ended.
SILENT_HEARTBEATS = 3
# Headers that the engine reads. Others are not forwarded, above all none that state the length of the request or
# the address of the client.
_PASSED_ON = ("Host", "Origin", "Accept-Encoding", "Content-Type", "Content-Encoding")
_PASSED_ON_FOR_WEBSOCKETS = (
    "Host",
    "Origin",
    *(f"Sec-WebSocket-{name}" for name in ("Key", "Version", "Extensions")),
)
_PARAMETERS = ("EIO", "transport", "sid", "t")
_PASSED_BACK = frozenset(("content-type", "content-encoding", "cache-control", "vary", "retry-after"))

Headers = list[tuple[str, str]]


class Forwarding:
    """Answers requests of sessions that are in other processes.

    `remote(request)` returns the client's address for a request that no other process has forwarded.
    """

    def __init__(
        self, registry: Registry, settings: Settings, connects: Connects, remote: Callable[[web.Request], str]
    ) -> None:
        self.passed_on = 0
        heartbeat_s = settings.ping_interval_s + settings.ping_timeout_s
        self.tunnels = Tunnels(connects, settings.connect_timeout_s, SILENT_HEARTBEATS * heartbeat_s)
        """The open websockets that run through this process to another."""
        self._opened_at = -math.inf
        self._registry = registry
        self._settings = settings
        self._connects = connects
        self._remote = remote
        self._clients: dict[str, aiohttp.ClientSession] = {}
        self._tls = Tls()
        # A poll ends with a heartbeat at the latest.
        self._timeout = aiohttp.ClientTimeout(
            total=heartbeat_s + settings.request_timeout_s,
            sock_connect=CONNECT_S,
        )

    async def drain(self, over_s: float, upgrades_s: float) -> None:
        """Close the tunnels, spread evenly over `over_s` seconds; call it when no new ones can open.

        It begins when the newest tunnel is `upgrades_s` seconds old, so that an upgrade through it can complete.
        """
        opened_s = asyncio.get_running_loop().time() - self._opened_at
        await asyncio.sleep(max(0.0, upgrades_s - opened_s))
        waiting = iter([*self.tunnels.open])
        for size in batches(len(self.tunnels.open), over_s, DRAIN_STEP_S):
            for tunnel in islice(waiting, size):
                tunnel.end()
            await asyncio.sleep(DRAIN_STEP_S)

    async def stop(self) -> None:
        """Close the connections to other processes; requests under way fail."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    def remote(self, request: web.Request) -> str:
        """Return the address of a request's client, also if another process has forwarded the request."""
        passed = self._passed(request)
        return self._remote(request) if passed is None else passed.remote

    async def __call__(self, request: web.Request, sid: str) -> web.StreamResponse | Refusal | None:
        """Forward a request to the process with its session and return the answer; None without such a process."""
        name = holder_of(sid)
        passed = self._passed(request) or Passed(self._remote(request), 0)
        if name is None or name == self._registry.name or passed.hops >= MOST_HOPS:
            return None
        try:
            peer = await self._registry.find(name)
        except (RedisUnavailable, ReplyError):
            return self._unavailable()
        if peer is None:
            return None
        passed = Passed(passed.remote, passed.hops + 1)
        try:
            if wants_websocket(request):
                return await self._open_tunnel(request, name, peer, passed)
            return await self._pass_on(request, peer, passed)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            self._registry.invalidate(name)
            return self._unavailable()
        except (aiohttp.ClientError, web.RequestPayloadError, OSError, TimeoutError):
            self._registry.invalidate(name)
            # The request may have been handled and its answer lost. After a 503 a proxy may repeat it. After this
            # answer the client opens a new session and recovers without loss.
            return UNKNOWN_SID

    def _passed(self, request: web.Request) -> Passed | None:
        signed = request.headers.getall(HEADER, None)
        return self._registry.proof.read(request.method, request.raw_path, signed) if signed else None

    def _unavailable(self) -> Refusal:
        return unavailable("the session can't be reached", RETRY_AFTER_S)

    async def _asked(
        self, request: web.Request, asking: Coroutine[Any, Any, web.StreamResponse | Refusal]
    ) -> web.StreamResponse | Refusal:
        """Await the answer of the other process; cancel that if the client disconnects."""
        asked = asyncio.ensure_future(asking)
        try:
            # If a client breaks off a poll, the other process must notice it, too.
            with on_disconnect(request, asked.cancel):
                return await asked
        except asyncio.CancelledError:
            if asked.cancelled() and request.transport is None:
                return self._unavailable()  # nobody reads it
            asked.cancel()
            raise

    async def _pass_on(self, request: web.Request, peer: Peer, passed: Passed) -> web.StreamResponse | Refusal:
        if (request.content_length or 0) > self._settings.max_payload_bytes:
            return TOO_LARGE
        self.passed_on += 1
        # The body is streamed, so that a large or slow one only needs a buffer here.
        body = request.content.iter_any() if request.can_read_body else None
        target = _target(request)
        headers = [*_headers(request, _PASSED_ON), *self._registry.proof.sign(request.method, target, passed)]
        url = URL(f"{peer.url}{target}", encoded=True)
        return await self._asked(request, self._ask(request.method, url, peer, headers, body))

    async def _ask(
        self, method: str, url: URL, peer: Peer, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> web.Response:
        client = self._client(peer)
        async with client.request(
            method, url, headers=headers, data=body, allow_redirects=False, timeout=self._timeout
        ) as answer:
            whole = await answer.read()
            return web.Response(status=answer.status, body=whole, headers=_passed_back([*answer.headers.items()]))

    def _client(self, peer: Peer) -> aiohttp.ClientSession:
        """Return the HTTP client for a process: one for each Unix socket, one for all TCP addresses."""
        client = self._clients.get(peer.socket)
        if client is None:
            # No limit: each forwarded poll belongs to a connection of a client, and these are limited.
            connector = (
                aiohttp.UnixConnector(peer.socket, limit=0) if peer.socket else aiohttp.TCPConnector(limit=0)
            )
            client = self._clients[peer.socket] = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding")
            )
        return client

    async def _open_tunnel(
        self, request: web.Request, name: str, peer: Peer, passed: Passed
    ) -> web.StreamResponse | Refusal:
        # Only the first process counts the websocket: it has the client's connection.
        is_ours = passed.hops == 1
        if is_ours and (refused := self._connects.refusal_of(passed.remote)) is not None:
            return refused
        tunnel = Tunnel(self.tunnels, passed.remote if is_ours else None)
        opened = None
        try:
            opened = await self._asked(request, self._ask_to_switch(request, peer, passed, tunnel))
        except (OSError, TimeoutError):
            self._registry.invalidate(name)
            return self._unavailable()
        finally:
            if opened is None or opened.status != 101:
                tunnel.end()
        return opened

    async def _ask_to_switch(
        self, request: web.Request, peer: Peer, passed: Passed, tunnel: Tunnel
    ) -> web.StreamResponse | Refusal:
        accept = accept_key(request)
        if isinstance(accept, Refusal):
            return accept
        target = _target(request)
        headers = [
            *_headers(request, _PASSED_ON_FOR_WEBSOCKETS),
            *self._registry.proof.sign("GET", target, passed),
        ]
        asked = None
        taken = None
        try:
            async with asyncio.timeout(CONNECT_S):
                asked = await Asked.connect(peer, await self._tls.context(peer))
            async with asyncio.timeout(self._settings.connect_timeout_s):
                answer = await asked.answer(_head(target, headers))
            if answer.status != 101:
                return _ordinary(answer.status, answer.headers.items(), answer.body)
            taken = await switch(request, accept, asked, answer, tunnel)
            self._opened_at = asyncio.get_running_loop().time()
        finally:
            if taken is None and asked is not None:
                asked.transport.abort()
        return self._unavailable() if taken is None else taken


def _target(request: web.Request) -> str:
    """Return a request target with only the parameters that the engine reads."""
    asked = {name: request.query[name] for name in _PARAMETERS if name in request.query}
    return f"{request.rel_url.raw_path}?{urlencode(asked, errors='replace')}"


def _headers(request: web.Request, names: Iterable[str]) -> Headers:
    """Return the request's headers with these names; values that are not ASCII are left out."""
    return [(name, value) for name in names for value in request.headers.getall(name, ()) if value.isascii()]


def _head(target: str, headers: Headers) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _passed_back(headers: Iterable[tuple[str, str]]) -> Headers:
    return [
        (name, value)
        for name, value in headers
        if name.lower() in _PASSED_BACK or name.lower().startswith("access-control-")
    ]


def _ordinary(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> web.Response:
    """Return the other process' refusal of a websocket; it closes the client's connection, too."""
    response = web.Response(status=status, headers=_passed_back(headers), body=body)
    response.force_close()
    return response
