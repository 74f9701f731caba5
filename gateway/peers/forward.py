"""Passing a request of another process' session on to it, and its answer back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from itertools import islice
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from gateway.bus.link import LinkDown, ReplyError
from gateway.engine.errors import TOO_LARGE, UNKNOWN_SID, Refusal, unavailable
from gateway.engine.pace import batches
from gateway.engine.takeover import on_disconnect
from gateway.peers.names import holder_of
from gateway.peers.registry import Peer, Registry
from gateway.peers.tunnel import End, tunnel
from gateway.settings import Settings

HOPS = "X-Gateway-Hops"
# To the machine that holds the session, and there to the worker.
MOST_HOPS = 2
CONNECT_S = 2.0
RETRY_AFTER_S = 1
DRAIN_STEP_S = 0.05
# Of one connection to the next; what is said of it holds for one connection only (RFC 9110, section 7.6.1).
_NOT_PASSED_ON = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", HOPS.lower())
)
_PASSED_BACK = frozenset(("content-type", "content-encoding", "cache-control", "vary", "retry-after"))


class Forwarding:
    """Answers requests of sessions that this process does not hold."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.passed_on = 0
        self.tunnels: set[End] = set()
        """Websockets that run through this process to another, now."""
        self._opened_at = -math.inf
        self._registry = registry
        self._settings = settings
        self._clients: dict[str, aiohttp.ClientSession] = {}
        # A poll waits for a heartbeat at the longest.
        self._timeout = aiohttp.ClientTimeout(
            total=settings.ping_interval_s + settings.ping_timeout_s + settings.request_timeout_s,
            sock_connect=CONNECT_S,
        )

    async def drain(self, over_s: float, upgrades_s: float) -> None:
        """Close the tunnels, spread evenly over `over_s` seconds, no more of which are opened by now.

        The last one that was opened has `upgrades_s` to become what its client goes on with.
        """
        opened_s = asyncio.get_running_loop().time() - self._opened_at
        await asyncio.sleep(max(0.0, upgrades_s - opened_s))
        waiting = iter([*self.tunnels])
        for size in batches(len(self.tunnels), over_s, DRAIN_STEP_S):
            for end in islice(waiting, size):
                end.close()
            await asyncio.sleep(DRAIN_STEP_S)

    async def stop(self) -> None:
        """Break off what is under way."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def __call__(self, request: web.Request, sid: str) -> web.StreamResponse | Refusal | None:
        """Give the answer of whoever holds a session, None where nobody does."""
        name = holder_of(sid)
        hops = _hops(request)
        if name is None or name == self._registry.name or hops >= MOST_HOPS:
            return None
        try:
            peer = await self._registry.find(name)
        except (LinkDown, ReplyError):
            return self._unavailable()
        if peer is None:
            return None
        try:
            if "Upgrade" in request.headers:
                return await self._open_tunnel(request, peer, hops)
            return await self._pass_on(request, peer, hops)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            self._registry.forget(name)
            return self._unavailable()
        except (aiohttp.ClientError, web.RequestPayloadError, OSError, TimeoutError):
            self._registry.forget(name)
            # It may have been answered, and the answer be lost. After a 503 a proxy would ask once more; after
            # this the client gives the session up, comes back, and misses nothing.
            return UNKNOWN_SID

    def _unavailable(self) -> Refusal:
        return unavailable("the session can't be reached", RETRY_AFTER_S)

    async def _pass_on(self, request: web.Request, peer: Peer, hops: int) -> web.StreamResponse | Refusal:
        if (request.content_length or 0) > self._settings.max_payload_bytes:
            return TOO_LARGE
        self.passed_on += 1
        # As it comes: what is kept here of a body is a buffer, whoever sends it and however slowly.
        body = request.content.iter_any() if request.can_read_body else None
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON]
        asking = asyncio.ensure_future(self._ask(request, peer, [*headers, (HOPS, str(hops + 1))], body))
        try:
            # A client that breaks off a poll has to break it off there, too.
            with on_disconnect(request, asking.cancel):
                return await asking
        except asyncio.CancelledError:
            if asking.cancelled() and request.transport is None:
                return self._unavailable()  # to nobody
            asking.cancel()
            raise

    async def _ask(
        self, request: web.Request, peer: Peer, headers: list[tuple[str, str]], body: AsyncIterator[bytes] | None
    ) -> web.Response:
        url = f"{peer.url}{request.raw_path}"
        client = self._client(peer)
        async with client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False, timeout=self._timeout
        ) as answer:
            whole = await answer.read()
            passed = [
                (name, value)
                for name, value in answer.headers.items()
                if name.lower() in _PASSED_BACK or name.lower().startswith("access-control-")
            ]
            return web.Response(status=answer.status, body=whole, headers=passed)

    def _client(self, peer: Peer) -> aiohttp.ClientSession:
        """Give the connections to a process: those of its own socket, or of what shares an address."""
        client = self._clients.get(peer.socket)
        if client is None:
            # As many connections as there are polls, each of which is a client's connection to us.
            connector = (
                aiohttp.UnixConnector(peer.socket, limit=0) if peer.socket else aiohttp.TCPConnector(limit=0)
            )
            client = self._clients[peer.socket] = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding")
            )
        return client

    async def _open_tunnel(self, request: web.Request, peer: Peer, hops: int) -> web.StreamResponse | Refusal:
        where = urlsplit(peer.url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                opened = await tunnel(loop, request, peer.socket, where, (HOPS, str(hops + 1)), self.tunnels)
            self._opened_at = loop.time()
        except (OSError, TimeoutError):
            return self._unavailable()
        return opened if opened is not None else self._unavailable()


def _hops(request: web.Request) -> int:
    text = request.headers.get(HOPS, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else MOST_HOPS
