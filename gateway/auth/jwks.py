"""Keys out of a JWKS URL: fetched now and then, at once when a token names one that is not known, never often.

One task fetches, so there is never more than one request under way, and a pause follows each: however many
tokens with made-up `kid`s come, the URL is asked once in `REST_S`, and they all wait for the same answer. While
it does not answer, the keys that it gave last stay in use.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence

import aiohttp
import structlog
from jwt import PyJWK

from gateway.auth.keys import UnknownKey
from gateway.auth.keyset import KeySet
from gateway.errors import Unavailable
from gateway.metrics.catalogue import Values
from gateway.settings import Settings
from gateway.tasks import cancelled

# Between two requests, also between those that fail.
REST_S = 3.0
TIMEOUT_S = 5.0
# Large issuers publish some 20 KB, certificates included.
MAX_BYTES = 131_072

_log = structlog.get_logger("gateway.auth")


class BadAnswer(Exception):
    """The URL answered, but not with keys."""


class Jwks:
    """The keys of one URL, as one replica knows them. `start` and `stop` it."""

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
        """Requests so far, by how they ended."""
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
        """Those who wait for the request that is under way, and for the one after it."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to fetch; until the first answer there are no keys."""
        self._task = asyncio.create_task(self._run(), name="token keys")

    async def stop(self) -> None:
        """Stop; the keys that are there stay."""
        await cancelled(self._task)
        self.is_away = True
        self._answer()

    # -- as `Keys`

    def find(self, token: str) -> Sequence[PyJWK]:
        """Look in the keys that were fetched last, however old."""
        if self._set is None:
            raise UnknownKey
        return self._set.find(token)

    async def refresh(self) -> None:
        """Wait for the next answer; raises `Unavailable` when there is none, or has been none lately."""
        self._wanted.set()
        if self.is_away:
            raise Unavailable
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Without any keys the request that is under way is as good as the next one.
        (self._waiting if self._set is not None else self._served).append(waiter)
        await waiter

    def findings(self) -> list[str]:
        """Say so while there are no keys at all."""
        return [] if self._set is not None else ["the keys of tokens can't be fetched"]

    # -- figures

    @property
    def size(self) -> int:
        """Return the number of keys."""
        return len(self._set.keys) if self._set is not None else 0

    @property
    def age_s(self) -> float:
        """Return the age of the keys in seconds, or the time for which there have been none."""
        return self._now() - self._fetched_at

    # -- fetching

    async def ask(self) -> KeySet:
        """Ask the URL once and keep nothing, for `gateway check`; raises what is wrong, whatever that is."""
        async with self._session() as http:
            return await self._keys(http)

    def _session(self) -> aiohttp.ClientSession:
        options = aiohttp.ClientTimeout(total=self._timeout_s)
        # A compressed answer could be small and grow; this one has to be as large as it is.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return aiohttp.ClientSession(timeout=options, headers=headers, auto_decompress=False)

    async def _run(self) -> None:
        async with self._session() as http:
            while True:
                # Who comes from now on waits for the next request: this one may have been answered already.
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
        except Exception as error:  # noqa: BLE001  # whatever it was, the next request may do better
            self._failed(error)
        else:
            self._succeeded(keys)

    async def _keys(self, http: aiohttp.ClientSession) -> KeySet:
        keys = KeySet(self._algorithm, await self._get(http))
        if not keys.keys:
            raise BadAnswer(f"no key for {self._algorithm} among {keys.unusable}")
        return keys

    async def _get(self, http: aiohttp.ClientSession) -> object:
        async with http.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise BadAnswer(f"status {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise BadAnswer("compressed, although that was not asked for")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BadAnswer(f"more than {MAX_BYTES} bytes")
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
            # Nobody waits for an URL that does not answer, nor for one that is not asked any more.
            served, self._waiting = served + self._waiting, []
        for waiter in served:
            if waiter.done():
                continue
            if self.is_away:
                waiter.set_exception(Unavailable())
            else:
                waiter.set_result(None)


def jwks_of(settings: Settings) -> Jwks | None:
    """Make what fetches the keys, if a URL is configured for them."""
    if not settings.jwks_url:
        return None
    return Jwks(settings.jwks_url, settings.jwt_algorithm, cache_s=settings.jwks_cache_s)


def key_values(jwks: Jwks | None) -> dict[str, Values]:
    """Return the figures for the metrics' page."""
    return {
        "gateway_token_keys": jwks.size if jwks else 0,
        "gateway_token_keys_age_seconds": round(jwks.age_s, 1) if jwks else 0,
        "gateway_jwks_unavailable": int(jwks.is_away) if jwks else 0,
        "gateway_token_keys_fetches_total": jwks.outcomes if jwks else {},
    }
