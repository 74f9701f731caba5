"""The keys of the API: a request needs one of the configured keys."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from aiohttp import web


class Keys:
    """The keys as hashes: their comparison takes the same time for keys of any length and content."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = [_hash(key) for key in keys]

    def open_for(self, request: web.Request) -> bool:
        """Return whether a request has a key, as `Authorization: Bearer <key>` or `X-API-Key: <key>`."""
        given = _hash(_given(request))
        # Compare with all keys, so that the time does not show which one matched.
        return any([hmac.compare_digest(given, known) for known in self._hashes])  # noqa: C419


def _given(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
