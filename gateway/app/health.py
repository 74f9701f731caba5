"""The health endpoints for orchestrators: alive, ready, and a summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway import installed_version


class Health:
    """The health endpoints; `findings` returns the reasons why this replica is not ready, empty if it is."""

    def __init__(self, findings: Callable[[], list[str]], counts: Callable[[], dict[str, Any]]) -> None:
        self._findings = findings
        self._counts = counts
        self._version = installed_version()

    def attach(self, app: web.Application) -> None:
        """Add the routes `/health`, `/health/live` and `/health/ready`."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)

    async def _health(self, request: web.Request) -> web.Response:
        findings = self._findings()
        status = "degraded" if findings else "healthy"
        body = {"status": status, "findings": findings, "version": self._version, **self._counts()}
        return web.json_response(body)

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        findings = self._findings()
        body = {"status": "not ready" if findings else "ready", "findings": findings}
        return web.json_response(body, status=503 if findings else 200)
