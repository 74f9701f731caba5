"""Up to when a replica has heard everything, after breaks and resyncs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio

from gateway.core.model import Tenant
from tests.rooms.ground import Ground
from tests.support.waiting import until


class Recipients:
    """Takes note of since when each recheck asks, and waits with it where the test says so."""

    def __init__(self, may_go_on: asyncio.Event) -> None:
        self.since: list[int | None] = []
        self.rechecks = 0
        self._may_go_on = may_go_on

    async def recheck(self, tenant: Tenant) -> None:
        self.rechecks += 1
        await self._may_go_on.wait()
        self.since.append(tenant.heard_until)

    async def tell_again(self, tenant: Tenant) -> None:
        assert tenant.backlog is None or self.rechecks > 1


class Hearing:
    """One tenant, of which everything had been heard up to 100 when the connection broke."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        (self.tenant,) = ground.tenants(1)
        self.may_go_on = asyncio.Event()
        self.recipients = Recipients(self.may_go_on)
        recipients: Any = self.recipients
        ground.resync.recipients = recipients
        ground.redis.heard_until = 100

    def waits(self) -> bool:
        """Whether what comes live waits."""
        return self.tenant.backlog is not None

    def break_and_mend(self) -> asyncio.Task[None]:
        """Break; on the new connection a probe comes back before anything is made good."""
        back = self.ground.break_and_mend()
        self.ground.redis.heard_until += 100
        return back

    async def answer_until_recheck(self, count: int) -> None:
        while self.recipients.rechecks < count:
            await self.ground.redis.answer()

    async def end(self, back: asyncio.Future[None]) -> None:
        self.may_go_on.set()
        await self.ground.redis.answer_until(back)
        await until(lambda: not self.ground.resync._under_way)


@pytest_asyncio.fixture
async def hearing(ground: Ground) -> Hearing:
    return Hearing(ground)


async def test_a_resync_that_is_asked_for_in_the_middle_of_one_hides_nothing(hearing: Hearing) -> None:
    back = hearing.break_and_mend()
    await until(lambda: bool(hearing.ground.redis.asked))
    hearing.ground.resync.start(hearing.tenant)
    await hearing.end(back)
    assert hearing.recipients.since == [100]


async def test_nothing_is_handed_out_before_revocations_are_looked_for(hearing: Hearing) -> None:
    """What was published behind a revocation that was missed, too, is not for its user any more."""
    back = hearing.break_and_mend()
    await hearing.answer_until_recheck(1)
    assert hearing.waits()
    hearing.ground.resync.start(hearing.tenant)
    await hearing.end(back)
    assert not hearing.waits()
    assert hearing.recipients.since == [100]


async def test_a_break_while_another_is_looked_back_at_hides_nothing(hearing: Hearing) -> None:
    first = hearing.break_and_mend()
    await hearing.answer_until_recheck(1)
    again = hearing.break_and_mend()
    await asyncio.gather(first, return_exceptions=True)
    await hearing.end(again)
    assert hearing.recipients.since == [100]


async def test_what_was_looked_back_at_is_not_looked_back_at_again(hearing: Hearing) -> None:
    await hearing.end(hearing.break_and_mend())
    await hearing.end(hearing.break_and_mend())
    assert hearing.recipients.since == [100, 200]
