"""Keys from a JWKS URL: fetched at intervals, and at once if a token names an unknown key.

One task fetches, so there is at most one request at a time, followed by a pause of `REST_S`. Many tokens with
unknown `kid`s do not cause more requests; all of them wait for the same answer. While the URL does not answer, the
last keys stay in use.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence

import aiohttp
import structlog
from jwt import PyJWK

from gateway.auth.jwks_document import KeySet
from gateway.auth.keys import UnknownKey
from gateway.errors import Unavailable
from gateway.metrics.catalogue import Values
from gateway.settings import Settings
from gateway.tasks import cancelled

# Pause between two requests, also after a failed one.
REST_S = 3.0
TIMEOUT_S = 5.0
# Large issuers publish some 20 KB, certificates included.
MAX_BYTES = 131_072

_log = structlog.get_logger("gateway.auth")


class BadAnswer(Exception):
    """The JWKS URL's answer contains no usable keys."""


class Jwks:
    """The keys of one URL. Needs `start` and `stop`."""

    def __init__(
        self,
        url: str,
        algorithm: str,
        *,
        cache_s: float,
        rest_s: float = REST_S,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcomes = {"ok": 0, "failed": 0}
        """The number of requests, by outcome."""
        self.is_away = False
        """Whether the last request failed."""
        self._url = url
        self._algorithm = algorithm
        self._cache_s = cache_s
        self._rest_s = rest_s
        self._timeout_s = timeout_s
        self._now = now
        self._set: KeySet | None = None
        self._fetched_at = now()
        self._wanted = asyncio.Event()
        self._served: list[asyncio.Future[None]] = []
        self._waiting: list[asyncio.Future[None]] = []
        """Callers of `refresh` that wait for the next request; those in `_served` wait for the present one."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task that fetches; there are no keys until the first answer."""
        self._task = asyncio.create_task(self._run(), name="token keys")

    async def stop(self) -> None:
        """Stop fetching; the present keys stay."""
        await cancelled(self._task)
        self.is_away = True
        self._answer()

    # -- the interface `Keys`

    def find(self, token: str) -> Sequence[PyJWK]:
        """Return the keys that may have signed a token; the last ones fetched, of any age."""
        if self._set is None:
            raise UnknownKey
        return self._set.find(token)

    async def refresh(self) -> None:
        """Wait for the next answer; raises `Unavailable` if it fails, or if the last request failed."""
        self._wanted.set()
        if self.is_away:
            raise Unavailable
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Without any keys the answer of the present request is new, too.
        (self._waiting if self._set is not None else self._served).append(waiter)
        await waiter

    def findings(self) -> list[str]:
        """Return a finding while there are no keys."""
        return [] if self._set is not None else ["the keys of tokens can't be fetched"]

    # -- for metrics

    @property
    def size(self) -> int:
        """Return the number of keys that can verify tokens now."""
        return len(self._set.keys) if self._set is not None else 0

    @property
    def age_s(self) -> float:
        """Return the age of the keys in seconds; without keys, the time since the start."""
        return self._now() - self._fetched_at

    # -- fetching

    async def ask(self) -> KeySet:
        """Fetch and return the keys without storing them, for `gateway check`; raises the error of the request."""
        async with self._session() as http:
            return await self._keys(http)

    def _session(self) -> aiohttp.ClientSession:
        options = aiohttp.ClientTimeout(total=self._timeout_s)
        # No compression: a small answer could unpack to a very large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return aiohttp.ClientSession(timeout=options, headers=headers, auto_decompress=False)

    async def _run(self) -> None:
        async with self._session() as http:
            while True:
                # Later callers of `refresh` wait for the next request: the answer of this one may be too old.
                self._served += self._waiting
                self._waiting = []
                self._wanted.clear()
                await self._fetch(http)
                self._answer()
                await asyncio.sleep(self._rest_s)
                if not self.is_away:
                    await self._until_wanted(self._cache_s - self._rest_s)

    async def _until_wanted(self, at_most_s: float) -> None:
        try:
            async with asyncio.timeout(max(at_most_s, 0.0)):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _fetch(self, http: aiohttp.ClientSession) -> None:
        try:
            keys = await self._keys(http)
        except Exception as error:  # noqa: BLE001  # any error: the next request may succeed
            self._failed(error)
        else:
            self._succeeded(keys)

    async def _keys(self, http: aiohttp.ClientSession) -> KeySet:
        keys = KeySet(self._algorithm, await self._get(http))
        if not keys.keys:
            raise BadAnswer(f"the answer has no key for {self._algorithm} ({keys.unusable} other keys)")
        return keys

    async def _get(self, http: aiohttp.ClientSession) -> object:
        async with http.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise BadAnswer(f"the answer has status {response.status}, not 200")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise BadAnswer("the answer is compressed: switch compression off for this URL")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BadAnswer(f"the answer has more than {MAX_BYTES} bytes")
        answer: object = json.loads(body)
        return answer

    def _failed(self, error: Exception) -> None:
        self.outcomes["failed"] += 1
        if not self.is_away:
            self.is_away = True
            reason = f"{type(error).__name__}: {error}".rstrip(": ")[:200]
            _log.warning("jwks_unavailable", reason=reason, keys=self.size)

    def _succeeded(self, keys: KeySet) -> None:
        self.outcomes["ok"] += 1
        if self.is_away or self._set is None or self._set.kids != keys.kids:
            _log.info("token_keys_fetched", keys=len(keys.keys), unusable=keys.unusable)
        self.is_away = False
        self._set = keys
        self._fetched_at = self._now()

    def _answer(self) -> None:
        served, self._served = self._served, []
        if self.is_away:
            # After a failure or `stop` all callers fail, also those that wait for the next request.
            served, self._waiting = served + self._waiting, []
        for waiter in served:
            if waiter.done():
                continue
            if self.is_away:
                waiter.set_exception(Unavailable())
            else:
                waiter.set_result(None)


def jwks_of(settings: Settings) -> Jwks | None:
    """Return the keys of the configured URL; None without a URL."""
    if not settings.jwks_url:
        return None
    return Jwks(settings.jwks_url, settings.jwt_algorithm, cache_s=settings.jwks_cache_s)


def key_values(jwks: Jwks | None) -> dict[str, Values]:
    """Return the values of the metrics, by name."""
    return {
        "gateway_token_keys": jwks.size if jwks else 0,
        "gateway_token_keys_age_seconds": round(jwks.age_s, 1) if jwks else 0,
        "gateway_jwks_unavailable": int(jwks.is_away) if jwks else 0,
        "gateway_token_keys_fetches_total": jwks.outcomes if jwks else {},
    }
