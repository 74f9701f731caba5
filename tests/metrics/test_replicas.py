"""Work follows the sockets: by their own metrics, replicas hear what theirs are in, and nothing else."""

from __future__ import annotations

import asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.metrics.page import page_of
from tests.support.client import Clients
from tests.support.publisher_process import Publishers
from tests.support.pytake import incoming_message
from tests.support.replica import Replicas
from tests.support.tenant import Tenant
from tests.support.tokens import new_id
from tests.support.waiting import until

EVENTS = 200


async def test_four_replicas_with_disjoint_rooms_each_handle_a_quarter(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    publisher = publishers(redis_server.url)
    four = [replicas(redis_server.url) for _ in range(4)]
    conversations = [new_id() for _ in four]
    watching = []
    for replica, conversation in zip(four, conversations, strict=True):
        client = await clients(replica.url, tenant.token(new_id())).connect()
        await client.join(conversation)
        watching.append(client)
    messages = [incoming_message(conversations[i % 4]) for i in range(EVENTS)]
    sent = [publisher.send("message_new", tenant.id, message) for message in messages]
    await asyncio.gather(*map(asyncio.wrap_future, sent))
    for client in watching:
        await client.wait_for("message:new", count=EVENTS // 4)
    pages = [page_of(replica) for replica in four]
    assert [page("gateway_events_total", event="message:new") for page in pages] == [EVENTS / 4] * 4
    assert [page("gateway_deliveries_total", event="message:new") for page in pages] == [EVENTS / 4] * 4
    # Nor is anything heard that is thrown away.
    assert [page("gateway_messages_without_members_total") for page in pages] == [0] * 4


async def test_workers_on_one_port_are_all_on_the_page_whichever_is_asked(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    replica = replicas(redis_server.url, GATEWAY_WORKERS="2")
    await until(lambda: {s.labels["worker"] for s in page_of(replica).of("gateway_info")} == {"0", "1"})
    for _ in range(8):
        await clients(replica.url, tenant.token()).connect()
    for _ in range(8):
        found = page_of(replica)
        assert found("gateway_sockets") == 8
        assert len(found.of("gateway_sockets")) == 2
