"""Signatures of forwarded requests, with keys that only processes with this Redis know.

A header states the client's address and the number of hops. Without a valid signature it is ignored, because a
client may send such a header, too. The keys are shared through Redis. The process that needs a key first makes it.
A key signs for one period of `ROTATE_S`, and is accepted from one period before to one after, so that clocks may
differ by that much. Signed requests are not recorded to detect a replay: an attacker who can repeat one has also
read its session id, which is worth more.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.peers.keys import SIGNING_KEY
from gateway.redis.commands import Commands

HEADER: Final = "X-Gateway-Passed-On"
ROTATE_S: Final = 3600
KEY_BYTES: Final = 32
_LIFE_S: Final = 4 * ROTATE_S


class Passed(NamedTuple):
    """The signed facts that come with a forwarded request."""

    remote: str
    """The client's address."""
    hops: int
    """The number of times that the request was forwarded."""


class Proof:
    """Signs and verifies; `clock` returns the Unix time."""

    def __init__(self, commands: Commands, *, clock: Callable[[], float] = time.time) -> None:
        self._commands = commands
        self._clock = clock
        self._keys: dict[int, bytes] = {}

    async def refresh(self) -> None:
        """Read the keys from Redis, and store those that it lacks; raises `RedisUnavailable` or `ReplyError`."""
        now = self._period()
        for period in (now - 1, now, now + 1):
            key = await self._commands.ask("GET", f"{SIGNING_KEY}{period}")
            if key is None and period >= now:
                ours = self._keys.get(period) or secrets.token_bytes(KEY_BYTES)
                await self._commands.ask("SET", f"{SIGNING_KEY}{period}", ours, "NX", "EX", _LIFE_S)
                key = await self._commands.ask("GET", f"{SIGNING_KEY}{period}")
            if key is not None and len(key) == KEY_BYTES:
                self._keys[period] = key
        for period in [period for period in self._keys if period < now - 1]:
            del self._keys[period]

    def sign(self, method: str, target: str, passed: Passed) -> tuple[tuple[str, str], ...]:
        """Return the header to send with the request; none while there is no key."""
        if not self._keys:
            return ()
        now = self._period()
        # While Redis is down, the newest key stays in use.
        period = now if now in self._keys else max(self._keys)
        signature = _signature(self._keys[period], method, target, passed)
        return ((HEADER, f"{period};{signature};{passed.hops};{passed.remote}"),)

    def read(self, method: str, target: str, headers: list[str]) -> Passed | None:
        """Return the facts in the header; None without exactly one valid signature."""
        if len(headers) != 1:
            return None
        period, _, rest = headers[0].partition(";")
        signature, _, rest = rest.partition(";")
        hops, _, remote = rest.partition(";")
        key = self._keys.get(int(period)) if _is_number(period) else None
        if key is None or not _is_number(hops):
            return None
        passed = Passed(remote, int(hops))
        wanted = _signature(key, method, target, passed)
        return passed if hmac.compare_digest(signature.encode(), wanted.encode()) else None

    def _period(self) -> int:
        return int(self._clock() // ROTATE_S)


def _signature(key: bytes, method: str, target: str, passed: Passed) -> str:
    # Only the last part could contain a newline, so the text is unambiguous.
    text = f"{method}\n{target}\n{passed.hops}\n{passed.remote}"
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
