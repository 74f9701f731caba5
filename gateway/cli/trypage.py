"""The page of `gateway dev`: two agents, a WhatsApp contact, and a network that can be cut."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from aiohttp import web

from gateway.app import Gateway
from gateway.cli.samples import CONVERSATION, ORGANIZATION, sample_message
from publisher.envelope import Options, build_event
from publisher.rooms import conversation

MAX_TEXT = 1000


class TryPage:
    """Serves the page, and publishes what is written on it; only ever bound to 127.0.0.1."""

    def __init__(self, gateway: Gateway, tokens: dict[str, str]) -> None:
        self._gateway = gateway
        config = json.dumps({"tokens": tokens, "conversation": CONVERSATION})
        page = files("gateway.cli").joinpath("page.html").read_text("utf-8")
        self._page = page.replace("__CONFIG__", config.replace("<", "\\u003c"))

    def attach(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self._show)
        app.router.add_post("/dev/messages", self._publish)

    async def _show(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html")

    async def _publish(self, request: web.Request) -> web.Response:
        body: Any = await request.json()
        message = sample_message(CONVERSATION, str(body.get("text", ""))[:MAX_TEXT])
        envelope = build_event(ORGANIZATION, "message:new", message, conversation(CONVERSATION), Options())
        _, offset = await self._gateway.commands.publish(envelope)
        return web.json_response({"offset": offset})
