"""Turns of sockets for questions with large answers, a few at a time for a tenant.

A socket's events are handled one after the other, so it has one such question at a time. Its tenant has two at a
time, and the others wait. After an answer, the turn rests for a multiple of its cost: a tenant whose sockets all
ask at once takes a fifth of the time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.core.model import Member
from gateway.errors import Refused
from gateway.limits.answer_cost import cost
from gateway.limits.turns import TooManyWaiting, Turns

# Most questions at a time, of all tenants and of one tenant.
AT_ONCE: Final = 32
OF_ONE: Final = 2
# Seconds of rest for each token: some eight times as long as the work takes here.
REST_S: Final = 0.0002
# After this time, a socket may ask again that was refused because too many questions wait.
RETRY_MS: Final = 1000


class AnswerTurns:
    """Lets the sockets of a tenant ask in turn for answers that are large."""

    def __init__(self, most_waiting: int, limited: Counter[str]) -> None:
        """`limited` counts questions that are refused because `most_waiting` of their tenant wait already."""
        self._limited = limited
        self._turns = Turns(AT_ONCE, most_waiting, each=OF_ONE)
        self._tokens: dict[Member, float] = {}
        """For each member whose turn it is, the tokens that its answer has cost so far."""

    @property
    def waiting(self) -> int:
        """Return the number of questions that wait."""
        return self._turns.waiting

    @asynccontextmanager
    async def turn(self, member: Member) -> AsyncIterator[None]:
        """Wait for a socket's turn and hold it during the block; raises `Refused`."""
        try:
            await self._turns.acquire(member.tenant.id)
        except TooManyWaiting:
            limit = "max_waiting_questions"
            self._limited[limit] += 1
            raise Refused(
                "rate_limited",
                "too many joins with history and presence questions wait",
                limit=limit,
                retry_after_ms=RETRY_MS,
            ) from None
        self._tokens[member] = 0.0
        try:
            if member.socket.closed:
                raise Refused("unavailable")
            yield
        finally:
            rest_s = self._tokens.pop(member) * REST_S
            asyncio.get_running_loop().call_later(rest_s, self._turns.give_back, member.tenant.id)

    def charge(self, member: Member, *, events: int = 0, names: int = 0, size: int = 0) -> None:
        """Take the tokens of an answer, as `cost` returns them, from a member's rate."""
        tokens = cost(events=events, names=names, size=size)
        self._tokens[member] += tokens
        member.socket.spend(tokens)
