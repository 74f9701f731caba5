"""The origins of browsers' pages: which may connect, and the CORS headers of answers to them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


def is_allowed(request: web.Request, allow_origin: Callable[[str | None], bool]) -> bool:
    """Return whether a request comes from an allowed origin; one with several Origin headers does not."""
    origins = request.headers.getall("Origin", ())
    return len(origins) <= 1 and allow_origin(origins[0] if origins else None)


def cors_headers(request: web.BaseRequest) -> list[tuple[str, str]]:
    """Return the headers that let a page of another origin read the answer; none without an Origin header."""
    origin = request.headers.get("Origin")
    if origin is None:
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    ]


def preflight(request: web.Request) -> web.Response:
    """Return the answer to a CORS preflight request."""
    headers = [
        *cors_headers(request),
        ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
        ("Access-Control-Max-Age", "600"),
    ]
    wanted = request.headers.get("Access-Control-Request-Headers")
    if wanted is not None:
        headers.append(("Access-Control-Allow-Headers", wanted))
    return web.Response(status=204, headers=headers)
