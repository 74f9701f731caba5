"""Who is recovered asks the REST API for nothing; it hears from those alone who have missed something."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.client.conftest import OpenPage
from tests.client.pages import Page
from tests.client.test_rooms import assert_shown, gone, publish
from tests.support.proxy import Proxy
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.waiting import until
from tests.support.web import WebServer

PAGES = 12
DROPS = 3


async def test_pages_that_are_recovered_make_no_rest_calls(
    pages: OpenPage,
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    publishers: Publishers,
    web_server: WebServer,
    redis_client: Redis,
    tenant: Tenant,
) -> None:
    three = [replicas(redis_server.url, may_log=("history_lost",)) for _ in range(3)]
    backend = publishers(redis_server.url)
    async with Proxy(*(replica.port for replica in three)) as balancer:
        crowd = await _opened(pages, balancer, web_server, tenant)
        shown = await publish(backend, tenant, 3)
        for drop in range(DROPS):
            await balancer.refuse()
            await asyncio.gather(*map(gone, crowd))
            shown += await publish(backend, tenant, 10)
            await balancer.start()
            await _connected(crowd, times=drop + 2)
        for replica in three:
            restarted = asyncio.create_task(_restarted(replica))
            while not restarted.done():
                shown += await publish(backend, tenant, 1)
                await asyncio.wait((restarted,), timeout=0.02)
            await restarted
        for page in crowd:
            await assert_shown(page, backend, tenant, shown)
        recoveries = [greeting["recovered"] for page in crowd for greeting in page.seen("connected")[1:]]
        assert len(recoveries) >= PAGES * (DROPS + 1)
        assert all(recoveries)
        assert web_server.asked == []

        # Once the history is gone they do: it is no silence of theirs.
        await redis_client.flushall()
        balancer.cut()
        for page in crowd:
            await page.wait("gap")
        await until(lambda: len(web_server.asked) >= PAGES, what="everybody to load what they missed")


async def _opened(pages: OpenPage, balancer: Proxy, rest: WebServer, tenant: Tenant) -> list[Page]:
    crowd = []
    for number in range(PAGES):
        page = pages(balancer.http_url, **({"transports": ["polling"]} if number % 3 == 0 else {}))
        # However slow the machine is, no outage is so long that a page without a connection has to ask.
        page.load(rest.url, every_ms=3_600_000)
        page.connect(tenant.token())
        await page.call("joinConversation", tenant.conversation)
        crowd.append(page)
    return crowd


async def _connected(crowd: list[Page], times: int) -> None:
    for page in crowd:
        await page.wait("connected", times=times)


async def _restarted(replica: Replica) -> None:
    replica.terminate()
    assert await replica.ended() == 0
    await replica.restarted()
