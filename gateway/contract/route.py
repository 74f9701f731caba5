"""`GET /asyncapi.json`: for anybody, as it says nothing that a page's sources don't."""

from __future__ import annotations

from functools import cached_property

from aiohttp import web

from gateway.contract import asyncapi


class ContractPage:
    """The page; the document is made when it is first asked for."""

    def attach(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/asyncapi.json", self._show)

    @cached_property
    def _document(self) -> bytes:
        return asyncapi.encoded()

    async def _show(self, request: web.Request) -> web.Response:
        # For AsyncAPI Studio and its like, which run in a browser.
        headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
        return web.Response(body=self._document, headers=headers)
