"""The proof between processes: a forwarded request is signed with a key that only processes with this Redis have.

A header says who the client is and how often its request was passed on. It counts with the signature alone; a
client may send one as well, and is not believed. Redis shares the keys: each is made once, by the process that
needs it first, serves for `ROTATE_S`, and is known from one period before to one after, so that neither a new
process nor a clock that is wrong by less than that is a stranger. Somebody who could send a signed request a
second time has read it, and with it the session's id, which is worth more; so nobody keeps a list of those that
have come.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.redis.commands import Commands

HEADER: Final = "X-Gateway-Passed-On"
KEY: Final = "rt:node:key:"
ROTATE_S: Final = 3600
KEY_BYTES: Final = 32
_LIFE_S: Final = 4 * ROTATE_S


class Passed(NamedTuple):
    """The facts that another process passes on with a request."""

    remote: str
    """The client's address."""
    hops: int
    """How often it has been passed on."""


class Proof:
    """Signs and judges; `clock` tells the Unix time."""

    def __init__(self, commands: Commands, *, clock: Callable[[], float] = time.time) -> None:
        self._commands = commands
        self._clock = clock
        self._keys: dict[int, bytes] = {}

    async def refresh(self) -> None:
        """Bring the keys in step with Redis, which may have lost its own.

        Raises `RedisUnavailable` or `ReplyError`.
        """
        now = self._period()
        for period in (now - 1, now, now + 1):
            key = await self._commands.ask("GET", f"{KEY}{period}")
            if key is None and period >= now:
                ours = self._keys.get(period) or secrets.token_bytes(KEY_BYTES)
                await self._commands.ask("SET", f"{KEY}{period}", ours, "NX", "EX", _LIFE_S)
                key = await self._commands.ask("GET", f"{KEY}{period}")
            if key is not None and len(key) == KEY_BYTES:
                self._keys[period] = key
        for period in [period for period in self._keys if period < now - 1]:
            del self._keys[period]

    def sign(self, method: str, target: str, passed: Passed) -> tuple[tuple[str, str], ...]:
        """Return the header to send along; none as long as there is no key."""
        if not self._keys:
            return ()
        now = self._period()
        # While Redis is away the newest there is serves on.
        period = now if now in self._keys else max(self._keys)
        signature = _signature(self._keys[period], method, target, passed)
        return ((HEADER, f"{period};{signature};{passed.hops};{passed.remote}"),)

    def read(self, method: str, target: str, headers: list[str]) -> Passed | None:
        """Return what another process says, None for what none has signed."""
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
    # None of the parts but the last can hold a line's end, and that one is what the line's end is.
    text = f"{method}\n{target}\n{passed.hops}\n{passed.remote}"
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
