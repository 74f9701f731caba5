"""What is shown are the tables' own sizes: right after any number of abrupt ends, and told at no cost."""

from __future__ import annotations

import asyncio
import os
from typing import Any, NoReturn

import redis.asyncio

from gateway.app.metrics import values
from gateway.app.replica import Gateway
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.settings import Settings
from tests.metrics.page import Page, page_of
from tests.support.client import Clients
from tests.support.replica import Replicas
from tests.support.tenant import Tenant
from tests.support.tokens import SECRET
from tests.support.waiting import until

CUTS = int(os.environ.get("ABRUPT_CUTS", "400"))
AT_ONCE = 100
TABLES = (
    *("gateway_sockets", "gateway_engine_sessions", "gateway_rooms"),
    *("gateway_tenants", "gateway_subscriptions", "gateway_users"),
)


def tables(page: Page) -> dict[str, float]:
    return {name: page(name) for name in TABLES}


async def test_gauges_equal_the_tables_after_many_abrupt_cuts(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, redis_client: redis.asyncio.Redis
) -> None:
    limits = {"GATEWAY_CONNECTS_PER_S": "0", "GATEWAY_MAX_SOCKETS_PER_USER": "0", "GATEWAY_ROOM_LINGER_S": "1"}
    replica = replicas(redis_server.url, **limits)
    staying = Tenant()
    first = await clients(replica.url, staying.token()).connect()
    await first.join(staying.conversation)
    tenants = [Tenant() for _ in range(10)]
    for _ in range(CUTS // AT_ONCE):
        whose = [tenants[i % len(tenants)] for i in range(AT_ONCE)]
        crowd = [clients(replica.url, tenant.token()) for tenant in whose]
        await asyncio.gather(*(client.connect() for client in crowd))
        joining = list(zip(crowd, whose, strict=True))[::2]
        await asyncio.gather(*(client.join(tenant.conversation) for client, tenant in joining))
        assert page_of(replica)("gateway_sockets") == AT_ONCE + 1
        for client in crowd:
            client.drop()
        await until(lambda: page_of(replica)("gateway_sockets") == 1, what="the cut sockets to be gone")
    # One socket in three rooms: its user's, its organization's, the conversation.
    left = {"gateway_rooms": 3, "gateway_tenants": 1, "gateway_subscriptions": 3}
    wanted = dict.fromkeys(TABLES, 1) | left
    await until(lambda: tables(page_of(replica)) == wanted, what="the tables to hold what is left")
    heard = await redis_client.pubsub_channels("rt:{*}:room:*")
    assert len(heard) == wanted["gateway_subscriptions"]
    page = page_of(replica)
    assert page("gateway_closed_total") == CUTS
    assert page("gateway_unsent_bytes") == page("gateway_corked_events") == page("gateway_backlog_messages") == 0


class SizeOnly(dict[Any, Any]):
    """A table that may be asked how large it is, and nothing that goes through it."""

    def _refuse(self, *_: object) -> NoReturn:
        raise AssertionError("went through a table to count")

    __iter__ = keys = values = items = copy = _refuse


async def test_counting_is_o_1(redis_server: EmbeddedRedis) -> None:
    given: dict[str, Any] = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": 0}
    given |= {"REDIS_URL": redis_server.url, "JWT_SECRET_KEY": SECRET}
    async with Gateway(Settings(**given)) as gateway:
        hub, members, engine = gateway.subscriptions.hub, gateway.server.members, gateway.server.eio
        kept = hub.tenants, hub.channels, members.by_sid, engine.sockets
        await gateway.vitals.stop()
        many: Any = SizeOnly.fromkeys(range(10_000))
        hub.tenants = hub.channels = members.by_sid = many
        engine._context.sockets = many
        try:
            found = values(gateway)
            counts = gateway._counts()
        finally:
            hub.tenants, hub.channels, members.by_sid, engine._context.sockets = kept
    names = ("gateway_sockets", "gateway_engine_sessions", "gateway_rooms", "gateway_tenants")
    assert [found[name] for name in names] == [10_000] * 4
    assert (counts["sockets"], counts["rooms"], counts["tenants"]) == (10_000,) * 3
