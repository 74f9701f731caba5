"""Checks of the URL for token keys, and of the backend that decides on joins."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from gateway.auth import jwks_of
from gateway.cli.safety import Finding, ok, warn
from gateway.errors import one_line
from gateway.settings import Settings


async def find(settings: Settings) -> list[Finding]:
    """Fetch the keys once, and connect to the backend without asking about a join."""
    return [*await _keys(settings), *await _backend(settings)]


async def _keys(settings: Settings) -> list[Finding]:
    jwks = jwks_of(settings)
    if jwks is None:
        return []
    try:
        found = await jwks.ask()
    except Exception as problem:  # noqa: BLE001  # with any error a gateway would have no keys
        return [warn(f"the keys of GATEWAY_JWKS_URL can't be fetched: {one_line(problem)}")]
    return [ok(f"GATEWAY_JWKS_URL answers; keys for {settings.jwt_algorithm}: {len(found.keys)}")]


async def _backend(settings: Settings) -> list[Finding]:
    if not settings.authorize_url:
        return []
    try:
        parts = urlsplit(settings.authorize_url)
        secure = parts.scheme == "https"
        async with asyncio.timeout(settings.authorize_timeout_s):
            port = parts.port or (443 if secure else 80)
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
    except (OSError, TimeoutError, ValueError) as problem:
        return [warn(f"GATEWAY_AUTHORIZE_URL does not answer: {one_line(problem)}")]
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await writer.wait_closed()
    return [ok("GATEWAY_AUTHORIZE_URL accepts connections")]
