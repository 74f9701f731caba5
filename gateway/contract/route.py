"""`GET /asyncapi.json`: public, because the sources of any page show the same."""

from __future__ import annotations

from functools import cached_property

from aiohttp import web

from gateway.contract import asyncapi


class ContractPage:
    """The route; the document is made at the first request."""

    def attach(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/asyncapi.json", self._show)

    @cached_property
    def _document(self) -> bytes:
        return asyncapi.encoded()

    async def _show(self, request: web.Request) -> web.Response:
        # Any origin, for tools that run in a browser (AsyncAPI Studio).
        headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
        return web.Response(body=self._document, headers=headers)
