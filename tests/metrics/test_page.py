"""The page as it is: all of the catalogue, nothing else, and nobody's name on it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.metrics.catalogue import CATALOGUE
from gateway.metrics.endpoint import merged
from tests.metrics.page import Page, page_of
from tests.support.client import Clients
from tests.support.publisher_process import Publishers
from tests.support.pytake import incoming_message
from tests.support.replica import Replicas
from tests.support.tenant import Tenant, member
from tests.support.waiting import until

ENDS = {"counter": "_total", "gauge": "", "histogram": ""}


def test_the_page_has_each_metric_of_the_catalogue_and_no_other(
    redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    text = replicas(redis_server.url).get("/metrics")[1]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    wanted = {metric.name.removesuffix(ENDS[metric.kind]): metric for metric in CATALOGUE}
    assert set(families) == set(wanted)
    for name, family in families.items():
        assert family.type == wanted[name].kind
        assert family.documentation == wanted[name].help


def test_names_follow_the_conventions() -> None:
    for metric in CATALOGUE:
        assert metric.name.startswith(("gateway_", "process_"))
        assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


async def test_no_label_names_a_tenant_a_user_or_a_room(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    replica, publisher = replicas(redis_server.url), publishers(redis_server.url)
    client = await member(clients, replica.url, tenant)
    await publisher.acall("message_new", tenant.id, incoming_message(tenant.conversation))
    await client.wait_for("message:new")
    text = replica.get("/metrics")[1]
    assert 'event="message:new"' in text
    for secret in (tenant.id, tenant.alice, tenant.conversation, client.sid, client.pid):
        assert secret is not None
        assert secret not in text


async def test_events_and_deliveries_are_counted_and_timed(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    replica, publisher = replicas(redis_server.url), publishers(redis_server.url)
    pages = [await member(clients, replica.url, tenant, who) for who in (tenant.alice, tenant.bruno)]
    for _ in range(10):
        await publisher.acall("message_new", tenant.id, incoming_message(tenant.conversation))
    for page in pages:
        await page.wait_for("message:new", count=10)
    found = page_of(replica)
    assert found("gateway_events_total", event="message:new") == 10
    assert found("gateway_deliveries_total", event="message:new") == 20
    assert found("gateway_delivery_latency_seconds_count") == found("gateway_events_total")
    # Redis is on this machine: what takes a minute would be a clock that is read wrongly.
    assert found("gateway_delivery_latency_seconds_bucket", le="60.0") == found("gateway_events_total")
    assert found("gateway_delivery_latency_seconds_sum") < 60.0
    assert found("gateway_redis_round_trip_seconds_count") >= 1
    assert 0.0 < found("gateway_redis_clock_error_seconds") < 5.0


async def test_refusals_are_counted_by_code(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    replica = replicas(redis_server.url)
    client = await clients(replica.url, tenant.token()).connect()
    await client.call("join_conversation", {"conversation_id": "nonsense"})
    await client.call("no_such_event")
    await client.call("no_such_event")
    found = page_of(replica)
    assert found("gateway_event_refused_total", code="unknown_event") == 2
    assert found("gateway_event_refused_total", code="bad_request") == 1


def test_what_has_not_happened_yet_is_there_as_zero(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    found = page_of(replicas(redis_server.url))
    for name, label, value in (
        ("gateway_event_refused_total", "code", "internal"),
        ("gateway_refused_total", "code", "token_invalid"),
        ("gateway_recoveries_total", "outcome", "trimmed"),
        ("gateway_closed_total", "reason", "slow"),
        ("gateway_limited_total", "limit", "events_per_s"),
    ):
        assert [sample.value for sample in found.of(name) if sample.labels[label] == value] == [0]


async def test_what_was_missed_and_given_is_counted(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    replica, publisher = replicas(redis_server.url), publishers(redis_server.url)
    client = await member(clients, replica.url, tenant)
    client.drop()
    await client.dropped()
    for _ in range(3):
        await publisher.acall("message_new", tenant.id, incoming_message(tenant.conversation))
    await client.reconnect()
    found = page_of(replica)
    assert found("gateway_recoveries_total", outcome="recovered") == 1
    # Of who is there it may have missed something besides.
    assert found("gateway_replayed_total") >= 3


async def test_who_does_not_read_shows_before_being_cut(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    replica, publisher = replicas(redis_server.url), publishers(redis_server.url)
    client = await member(clients, replica.url, tenant)
    client.pause()
    limit = page_of(replica)("gateway_unsent_limit_bytes")
    big = incoming_message(tenant.conversation) | {"content": {"text": "x" * 60_000}}

    async def piled_up() -> bool:
        await publisher.acall("emit", tenant.id, "big", big, to=[f"conversation:{tenant.conversation}"])
        return page_of(replica)("gateway_unsent_max_bytes") > 0 or page_of(replica)("gateway_slow_cut_total") > 0

    await until(piled_up, what="unsent bytes on the page")
    assert limit == 1024 * 1024


async def test_users_are_counted_once_however_many_tabs_they_have(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    replica = replicas(redis_server.url)
    for who in (tenant.alice, tenant.alice, tenant.bruno):
        await clients(replica.url, tenant.token(who)).connect()
    await until(lambda: page_of(replica)("gateway_users") == 2, what="two users")
    assert page_of(replica)("gateway_sockets") == 3


def test_pages_of_several_workers_become_one_with_one_heading_each() -> None:
    heading = b"# HELP a what it is\n# TYPE a gauge\n"
    page = merged([heading + b'a{worker="0"} 1.0\n', heading + b'a{worker="1"} 2.0\n'])
    assert page == heading + b'a{worker="0"} 1.0\na{worker="1"} 2.0\n'
    assert Page(page.decode())("a") == 3.0
