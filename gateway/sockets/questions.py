"""Questions with large answers: what they cost the socket that asks, and how many a tenant may ask at a time.

An event counts by what a client sends, and `history: 500` is as short as `ping`. So what answering has cost is
taken from the socket's rate afterwards. A socket's events are handled one after the other, so it has one such
question at a time; its tenant has two, and the others wait. After an answer its turn rests for a multiple of what
it has cost: a tenant whose sockets all ask at once takes a fifth of the time that there is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.core.model import Member
from gateway.errors import Refused
from gateway.limits.turns import TooManyWaiting, Turns

# Of all tenants, and of one.
AT_ONCE: Final = 32
OF_ONE: Final = 2
# For each token: some eight times what it takes here.
REST_S: Final = 0.0002
# A socket that is refused for want of room may ask again after this time.
RETRY_MS: Final = 1000

# Tokens of `GATEWAY_EVENTS_PER_S`. A `ping` takes one. To read an event from Redis and to write it into an answer
# takes half its time, here and in Redis, 16 KiB take as much, a user's name a fiftieth.
_AN_EVENT: Final = 1 / 2
_A_NAME: Final = 1 / 50
_A_BYTE: Final = 1 / (1 << 14)


def cost(*, events: int = 0, names: int = 0, size: int = 0) -> float:
    """Return the tokens that an answer costs which took one look into Redis, beside the question's own."""
    return 1 + events * _AN_EVENT + names * _A_NAME + size * _A_BYTE


class Questions:
    """Lets sockets ask in turns."""

    def __init__(self, most_waiting: int, limited: Counter[str]) -> None:
        """`limited` counts those that are refused because too many of their tenant wait."""
        self._limited = limited
        self._turns = Turns(AT_ONCE, most_waiting, each=OF_ONE)
        self._tokens: dict[Member, float] = {}
        """For each member whose turn it is, what its answer has cost so far."""

    @property
    def waiting(self) -> int:
        """Return the number of questions that wait."""
        return self._turns.waiting

    @asynccontextmanager
    async def turn(self, member: Member) -> AsyncIterator[None]:
        """Wait for a socket's turn and have it for the block. Raises `Refused`."""
        try:
            await self._turns.acquire(member.tenant.id)
        except TooManyWaiting:
            limit = "max_waiting_questions"
            self._limited[limit] += 1
            raise Refused("rate_limited", "too many questions", limit=limit, retry_after_ms=RETRY_MS) from None
        self._tokens[member] = 0.0
        try:
            if member.socket.closed:
                raise Refused("unavailable")
            yield
        finally:
            rest_s = self._tokens.pop(member) * REST_S
            asyncio.get_running_loop().call_later(rest_s, self._turns.give_back, member.tenant.id)

    def charge(self, member: Member, *, events: int = 0, names: int = 0, size: int = 0) -> None:
        """Take from a member's rate what its answer costs, as `cost` says."""
        tokens = cost(events=events, names=names, size=size)
        self._tokens[member] += tokens
        member.socket.spend(tokens)
