"""Pages against a real gateway whose connections are cut: their diaries hold what they are owed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, conversation
from tests.faults.checker import Connected, Got, Joined, Published, judge
from tests.simulation.client.page import PYTAKE, EagerPage, Page, RejoiningPage, WrapperPage
from tests.simulation.client.recorder import Recorder
from tests.simulation.client.tab import Options
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.waiting import until

pytestmark = pytest.mark.process


class Backend:
    """Publishes to the conversation of a tenant, and remembers it."""

    def __init__(self, publisher: AsyncPublisher, tenant: Tenant) -> None:
        self.published: list[Published] = []
        self._publisher = publisher
        self._tenant = tenant

    async def publish(self, count: int) -> None:
        talk, tenant = self._tenant.conversation, self._tenant.id
        for _ in range(count):
            ident = f"b1-{len(self.published)}"
            data = {"n": ident, "conversation_id": talk}
            receipt = await self._publisher.emit(tenant, "test:event", data, to=conversation(talk))
            room = f"{tenant}/conversation:{talk}"
            self.published.append(Published(ident, (room,), 0.0, receipt.offset))


@pytest_asyncio.fixture
async def backend(stage_redis: EmbeddedRedis, tenant: Tenant) -> AsyncIterator[Backend]:
    publisher = AsyncPublisher.from_url(stage_redis.url)
    yield Backend(publisher, tenant)
    await publisher.aclose()


def _given(recorder: Recorder, tenant: Tenant, user: str, seed: int = 1) -> dict[str, Any]:
    return {
        "rng": random.Random(seed),
        "balancer": lambda: ("127.0.0.1", recorder.port),
        "token": partial(tenant.token, user),
    }


def _got(page: Page) -> list[str]:
    return [entry.ident for entry in page.diary.entries if isinstance(entry, Got)]


def _greetings(page: Page) -> list[bool]:
    return [entry.recovered for entry in page.diary.entries if isinstance(entry, Connected)]


def _have_come_back(pages: list[Page], times: int) -> bool:
    return all(len(_greetings(page)) > times for page in pages)


QUICK = Options(reconnection_delay_ms=20, reconnection_delay_max_ms=100, keep_alive=False)


async def test_all_kinds_are_owed_nothing_after_cuts(replica: Replica, backend: Backend, tenant: Tenant) -> None:
    room = f"conversation:{tenant.conversation}"
    async with Recorder(replica.port) as recorder:
        for_alice, for_bruno = (_given(recorder, tenant, user) for user in (tenant.alice, tenant.bruno))
        wrapper = WrapperPage("wrapper", tenant.id, tenant.alice, rooms=[room], **for_alice)
        rejoining = RejoiningPage("rejoining", tenant.id, tenant.bruno, rooms=[room], options=QUICK, **for_bruno)
        pages: list[Page] = [wrapper, rejoining]
        for page in pages:
            page.start()
        await until(lambda: all(room in page.joined for page in pages))
        for times in (1, 2):
            await backend.publish(5)
            recorder.cut("rst")
            await backend.publish(5)
            await until(partial(_have_come_back, pages, times))
        await backend.publish(5)
        await until(lambda: all(len(_got(page)) == 25 for page in pages))
        for page in pages:
            assert _greetings(page) == [False, True, True]
            assert not page.surprises
        verdict = judge(backend.published, [page.diary for page in pages])
        assert verdict.is_clean, verdict.findings()
        assert verdict.owed == 50
        assert rejoining.shown.online is not None
        assert set(rejoining.shown.online) == {tenant.alice, tenant.bruno}
        assert set(rejoining.shown.viewers[room]) == {tenant.alice, tenant.bruno}
        for page in pages:
            page.close(reset=page is wrapper)
        await until(lambda: not recorder.links)


async def test_a_page_that_rejoins_is_told_what_it_missed(
    replica: Replica, backend: Backend, tenant: Tenant
) -> None:
    room = f"conversation:{tenant.conversation}"
    async with Recorder(replica.port) as recorder:
        page = RejoiningPage(
            "page", tenant.id, tenant.alice, rooms=[room], options=QUICK, **_given(recorder, tenant, tenant.alice)
        )
        page.start()
        await until(lambda: page.is_settled)
        await backend.publish(2)
        await until(lambda: len(_got(page)) == 2)
        page.socket.pid = "a session that nobody knows"
        recorder.cut("rst")
        await backend.publish(3)
        await until(lambda: _greetings(page) == [False, False] and page.is_settled)
        await backend.publish(1)
        await until(lambda: len(_got(page)) == 3)
        (caught_up,) = page.caught_up
        assert caught_up.complete
        assert [event.ident for event in caught_up.events] == ["b1-2", "b1-3", "b1-4"]
        assert any(entry is caught_up.joined for entry in page.diary.entries)
        assert judge(backend.published, [page.diary]).is_clean
        page.close()


async def test_an_eager_page(replica: Replica, backend: Backend, tenant: Tenant) -> None:
    rooms = [f"conversation:{tenant.conversation}", f"conversation:{tenant.alice}"]
    async with Recorder(replica.port) as recorder:
        given = _given(recorder, tenant, tenant.alice, seed=5)
        page = EagerPage("page", tenant.id, tenant.alice, conversations=rooms, per_s=200, options=QUICK, **given)
        page.start()
        await until(lambda: sum(isinstance(entry, Joined) for entry in page.diary.entries) > 5)
        recorder.cut("fin")
        await backend.publish(20)
        await until(lambda: len(_greetings(page)) > 1)
        page.rest()
        await until(lambda: page.is_settled)
        page.open(rooms[0])
        await until(lambda: page.is_settled)
        await backend.publish(1)
        await until(lambda: backend.published[-1].ident in _got(page))
        verdict = judge(backend.published, [page.diary])
        assert verdict.is_clean, verdict.findings()
        assert not page.surprises
        page.close()


async def test_what_is_refused_and_what_gives_up(replica: Replica, tenant: Tenant) -> None:
    async with Recorder(replica.port) as recorder:
        given = _given(recorder, tenant, tenant.alice)
        refused = RejoiningPage(
            "page", tenant.id, tenant.alice, options=QUICK, **given | {"token": lambda: "none"}
        )
        refused.start()
        await until(lambda: refused.surprises)
        assert refused.diary.ended
        recorder.refuse()
        options = replace(PYTAKE, reconnection_delay_ms=5, reconnection_delay_max_ms=5)
        lost = WrapperPage("page", tenant.id, tenant.alice, rooms=[], options=options, **given)
        lost.start()
        await until(lambda: lost.diary.ended)
        refused.close()
        lost.close()
