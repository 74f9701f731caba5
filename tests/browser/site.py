"""The site that the plain page comes from: its files, and the backend's route that sends a message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web

from gateway.dev.embedded_redis import free_port
from publisher import AsyncPublisher
from tests.support import node
from tests.support.pytake import as_seen, sent_message
from tests.support.tenant import Tenant

PAGES = Path(__file__).with_name("pytake")
CLIENT = node.JS / "node_modules" / "socket.io-client-newest" / "dist" / "socket.io.min.js"


class Site:
    """A web server on the tests' loop; `tenants` are whose conversations it knows."""

    def __init__(self, redis_url: str) -> None:
        self.port = free_port()
        self.tenants: dict[str, Tenant] = {}
        self.events = AsyncPublisher.from_url(redis_url)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The origin of its pages."""
        return f"http://127.0.0.1:{self.port}"

    def page(self, gateway_url: str, tenant: Tenant, user: str, **options: Any) -> str:
        """Return the page of a user's conversation; `options` are socket.io-client's."""
        self.tenants[tenant.conversation] = tenant
        facts = {"url": gateway_url, "token": tenant.token(user), "conversation": tenant.conversation}
        return f"{self.url}/page/index.html#{urlencode(facts | {'options': json.dumps(options)})}"

    async def start(self) -> Self:
        """Begin to answer."""
        app = web.Application()
        app.router.add_static("/page", PAGES)
        app.router.add_get("/socket.io.min.js", self._client)
        app.router.add_post("/messages", self._send)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def stop(self) -> None:
        """End."""
        assert self._runner is not None
        await self._runner.cleanup()
        assert await self.events.aclose(timeout_s=5) == 0

    async def _client(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(CLIENT)

    async def _send(self, request: web.Request) -> web.Response:
        """Do as `send_message` does: keep the message, publish it, answer with it."""
        asked = await request.json()
        tenant = self.tenants[asked["conversation"]]
        message = sent_message(tenant.conversation, asked["text"])
        await self.events.message_new(tenant.id, message)
        return web.json_response(as_seen(message))
