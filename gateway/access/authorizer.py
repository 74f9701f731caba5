"""Access by the backend: its answers are cached, and a circuit breaker pauses questions when it does not answer.

Callers with the same question share one request. An answer that is invalidated while it is requested is not
cached, and the increase of `changes` tells its callers to ask again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import structlog

from gateway.access.answers import Answers
from gateway.access.backend import Away, Backend
from gateway.access.breaker import Breaker
from gateway.core.model import Identity
from gateway.errors import Unavailable
from gateway.limits.turns import TooManyWaiting, Turns
from gateway.metrics.catalogue import Values
from gateway.settings import Settings
from gateway.tasks import cancelled
from publisher.rooms import Room

# Most questions at the same time; one tenant alone gets half. Others wait up to the timeout of a question.
MAX_ASKING = 64
# Most waiting questions of one tenant.
MAX_WAITING = 1000

_log = structlog.get_logger("gateway.access")


class Asking(Protocol):
    """Port to the backend: sends it a question about access, and returns its answer."""

    async def start(self) -> None: ...  # noqa: D102
    async def stop(self) -> None: ...  # noqa: D102
    async def ask(self, identity: Identity, room: Room) -> bool:
        """Return whether the user may join the room; raises `Away` without an answer."""


class _Question(NamedTuple):
    tenant: str
    user_id: str
    role: str
    room: Room


class Authorizer:
    """Asks the backend, at the URL of `GATEWAY_AUTHORIZE_URL`. Needs `start` and `stop`."""

    def __init__(
        self,
        asking: Asking,
        *,
        cache_s: float,
        timeout_s: float,
        when_away: bool = False,
        breaker: Breaker | None = None,
        now: Callable[[], float] = time.monotonic,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """With `when_away` joins are allowed while the backend does not answer, else they raise `Unavailable`."""
        self.outcomes = {"allowed": 0, "denied": 0, "away": 0, "spared": 0}
        """The number of questions without a cached answer, by outcome; `spared` ones were not sent."""
        self.answers = Answers(cache_s)
        self.breaker = breaker or Breaker()
        self.changes = 0
        self._asking = asking
        self._timeout_s = timeout_s
        self._when_away = when_away
        self._now = now
        self._turns = Turns(MAX_ASKING, max_waiting)
        self._under_way: dict[_Question, asyncio.Task[bool]] = {}
        self._tasks: set[asyncio.Task[bool]] = set()

    @property
    def waiting(self) -> int:
        """Return the number of questions that wait for their turn."""
        return self._turns.waiting

    async def start(self) -> None:
        """Open the connections to the backend."""
        await self._asking.start()

    async def stop(self) -> None:
        """Cancel questions under way and close the connections."""
        await cancelled(*self._tasks)
        await self._asking.stop()

    # -- the interface `Access`

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        """Return the cached answer, or an awaitable that asks the backend."""
        user = (identity.tenant, identity.user_id)
        known = self.answers.get(user, identity.role, room, self._now())
        return self._ask(identity, room) if known is None else known

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Drop a user's cached answers, and do not cache those under way; for one room or all."""
        self.changes += 1
        self.answers.invalidate((tenant, user_id), room)
        for question in [*self._under_way]:
            if (question.tenant, question.user_id) == (tenant, user_id) and room in (None, question.room):
                del self._under_way[question]

    # -- asking

    async def _ask(self, identity: Identity, room: Room) -> bool:
        question = _Question(identity.tenant, identity.user_id, identity.role, room)
        task = self._under_way.get(question)
        try:
            if task is None:
                self._check_rest()
                task = self._start(question, identity)
            return await asyncio.shield(task)
        except Away:
            if self._when_away:
                return True
            raise Unavailable from None

    def _check_rest(self) -> None:
        if self.breaker.rests(self._now()):
            self.outcomes["spared"] += 1
            raise Away("the backend did not answer before: it is not asked at present")

    def _start(self, question: _Question, identity: Identity) -> asyncio.Task[bool]:
        task = self._under_way[question] = asyncio.create_task(self._answer(question, identity))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(question, done))
        return task

    def _ended(self, question: _Question, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if self._under_way.get(question) is task:
            del self._under_way[question]
        if not task.cancelled():
            task.exception()

    async def _answer(self, question: _Question, identity: Identity) -> bool:
        await self._take_turn(question.tenant)
        try:
            allowed = await self._ask_now(identity, question.room)
        finally:
            self._turns.give_back(question.tenant)
        self.outcomes["allowed" if allowed else "denied"] += 1
        if self._under_way.get(question) is asyncio.current_task():
            user = (question.tenant, question.user_id)
            self.answers.put(user, question.role, question.room, allowed, self._now())
        return allowed

    async def _take_turn(self, tenant: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._turns.acquire(tenant)
        except (TimeoutError, TooManyWaiting):
            self.outcomes["spared"] += 1
            raise Away("too many questions wait for the backend") from None

    async def _ask_now(self, identity: Identity, room: Room) -> bool:
        # The breaker may have opened while this question waited for its turn.
        self._check_rest()
        self.breaker.asked(self._now())
        try:
            allowed = await self._asking.ask(identity, room)
        except Away as away:
            self.outcomes["away"] += 1
            if self.breaker.failed(self._now()):
                _log.warning("authorizer_unavailable", reason=str(away))
            raise
        away_s = self.breaker.succeeded(self._now())
        if away_s is not None:
            _log.info("authorizer_available", away_s=round(away_s, 1))
        return allowed


def authorizer_of(settings: Settings) -> Authorizer | None:
    """Return the configured authorizer; None without one."""
    if not settings.authorize_url:
        return None
    timeout_s = settings.authorize_timeout_s
    key = settings.authorize_key.get_secret_value().strip()
    return Authorizer(
        Backend(settings.authorize_url, key, timeout_s=timeout_s),
        cache_s=settings.authorize_cache_s,
        timeout_s=timeout_s,
        when_away=settings.authorize_on_failure == "allow",
    )


def access_values(authorizer: Authorizer | None) -> dict[str, Values]:
    """Return the values of the metrics, by name."""
    return {
        "gateway_authorize_total": authorizer.outcomes if authorizer else {},
        "gateway_authorize_waiting": authorizer.waiting if authorizer else 0,
        "gateway_authorize_cached": len(authorizer.answers) if authorizer else 0,
        "gateway_authorizer_up": 0 if authorizer and authorizer.breaker.is_open else 1,
    }
