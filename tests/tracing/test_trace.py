"""One trace across a backend, Redis and a replica, all real, with a collector's endpoint."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Options, conversation
from publisher.tracing import traceparent
from tests.support.client import Clients
from tests.support.environment import clean_environment, finished
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant, member
from tests.support.tokens import SECRET
from tests.support.waiting import until
from tests.tracing.conftest import Collector
from tests.tracing.test_hub import CONTEXT

OPTIONS = Options(traceparent=traceparent)


def traced_replica(replicas: Replicas, redis_server: EmbeddedRedis, collector: Collector, **more: str) -> Replica:
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    return replicas(redis_server.url, GATEWAY_TRACING="on", **where, **more)


async def test_one_trace_goes_from_the_backend_to_the_fan_out(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    clients: Clients,
    tenant: Tenant,
    collector: Collector,
    tracer: Tracer,
    spans: InMemorySpanExporter,
) -> None:
    replica = traced_replica(replicas, redis_server, collector)
    client = await member(clients, replica.url, tenant)
    async with AsyncPublisher.from_url(redis_server.url, options=OPTIONS) as events:
        with tracer.start_as_current_span("send_message"):
            await events.message_new(tenant.id, incoming_message(tenant.conversation))
        await events.message_new(tenant.id, incoming_message(tenant.conversation))
    await client.wait_for("message:new", count=2)
    await until(lambda: collector.spans, what="the gateway's span at the collector")
    (sent,) = spans.get_finished_spans()
    (delivered,) = collector.spans
    assert sent.context is not None
    assert delivered.trace_id.hex() == f"{sent.context.trace_id:032x}"
    assert delivered.parent_span_id.hex() == f"{sent.context.span_id:016x}"
    assert delivered.name == "deliver message:new"
    assert delivered.start_time_unix_nano <= delivered.end_time_unix_nano
    assert collector.services == {"gateway"}


async def test_a_log_line_within_a_span_carries_the_trace(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    clients: Clients,
    tenant: Tenant,
    collector: Collector,
    tracer: Tracer,
    spans: InMemorySpanExporter,
) -> None:
    replica = traced_replica(replicas, redis_server, collector)
    client = await clients(replica.url, tenant.token()).connect()
    async with AsyncPublisher.from_url(redis_server.url, options=OPTIONS) as events:
        with tracer.start_as_current_span("log_out"):
            await events.disconnect_user(tenant.id, tenant.alice)
    await client.dropped()
    await until(lambda: replica.log_lines("user_disconnected"))
    (sent,) = spans.get_finished_spans()
    assert sent.context is not None
    (line,) = replica.log_lines("user_disconnected")
    assert line["trace_id"] == f"{sent.context.trace_id:032x}"
    (connected,) = replica.log_lines("socket_connected")
    assert "trace_id" not in connected


async def test_without_tracing_a_context_is_passed_over(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant, tracer: Tracer
) -> None:
    replica = replicas(redis_server.url)
    client = await member(clients, replica.url, tenant)
    async with AsyncPublisher.from_url(redis_server.url, options=OPTIONS) as events:
        with tracer.start_as_current_span("send_message"):
            await events.message_new(tenant.id, incoming_message(tenant.conversation))
            await events.campaign_progress(tenant.id, tenant.conversation, {"progress": 1})
    await client.wait_for("message:new")


async def test_a_collector_that_is_away_neither_delays_events_nor_the_end(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    clients: Clients,
    tenant: Tenant,
    collector: Collector,
    tracer: Tracer,
) -> None:
    collector.url = "http://127.0.0.1:9"
    replica = traced_replica(replicas, redis_server, collector, GATEWAY_LOG_LEVEL="info")
    client = await member(clients, replica.url, tenant)
    async with AsyncPublisher.from_url(redis_server.url, options=OPTIONS) as events:
        with tracer.start_as_current_span("send_message"):
            await events.message_new(tenant.id, incoming_message(tenant.conversation))
    await client.wait_for("message:new")
    replica.may_log = ("span", "opentelemetry")
    replica.terminate()
    assert await replica.ended() == 0


@pytest.mark.parametrize(
    ("context", "carried"), [(CONTEXT, True), ("", False), ("x\n", False), (CONTEXT + " c=x", False)]
)
async def test_only_what_is_a_context_gets_into_the_header(
    redis_server: EmbeddedRedis, redis_client: Any, tenant: Tenant, context: str, carried: bool
) -> None:
    room = conversation(tenant.conversation)
    async with redis_client.pubsub() as hearing:
        await hearing.psubscribe("rt:{*}:room:*")
        options = Options(traceparent=lambda: context)
        async with AsyncPublisher.from_url(redis_server.url, options=options) as events:
            await events.emit(tenant.id, "e", 1, to=room)
            await events.emit(tenant.id, "e", 1, to=room, conflate="k")
            await events.leave_room(tenant.id, tenant.alice, room)
        heard: list[bytes] = []

        async def three() -> bool:
            message = await hearing.get_message(ignore_subscribe_messages=True)
            heard.extend([message["data"]] if message else [])
            return len(heard) == 3

        await until(three)
    headers = [data.partition(b"\n")[0] for data in heard]
    assert [b" t=" + context.encode() in header for header in headers] == [carried] * 3


def test_tracing_without_the_extra_is_one_clear_line(redis_server: EmbeddedRedis) -> None:
    script = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; sys.argv = ['gateway', 'serve', '--port', '0']; "
    )
    script += "from gateway.cli import main; main()"
    environment = clean_environment(REDIS_URL=redis_server.url, JWT_SECRET_KEY=SECRET, GATEWAY_TRACING="on")
    done = finished([sys.executable, "-c", script], env=environment, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: GATEWAY_TRACING=on needs the extra `tracing`")
