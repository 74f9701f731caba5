"""The hub that traces: a span from publish to fan-out for each event that brings a context."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer

from gateway.core.clock import ServerClock
from gateway.core.limits import LIMITS
from gateway.tracing import TracedHub, trace_ids
from tests.core.parts import World

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = f"00-{TRACE_ID}-{SPAN_ID}-01"
SEQ = 1_790_000_000_000_000


@pytest.fixture
def world(tracer: Tracer) -> World:
    world = World()
    hub = TracedHub(world.troubles, tracer)
    hub.tenants, hub.channels = world.hub.tenants, world.hub.channels
    world.hub = hub
    return world


def traced(world: World, room: Any, seq: int, context: str = CONTEXT, **fields: Any) -> Any:
    """What the script would publish, with a context."""
    header, _, body = world.message(room, seq, **fields).partition(b"\n")
    return world.hub.receive(room.channel, header + f" t={context}".encode() + b"\n" + body)


def test_an_event_with_a_context_gets_a_span_in_its_trace(world: World, spans: InMemorySpanExporter) -> None:
    room = world.room("user:bob")
    _, socket = world.member(room)
    traced(world, room, SEQ, body='["message:new",1]')
    assert socket.data == [1]
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("deliver message:new", SpanKind.CONSUMER)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == SPAN_ID
    assert span.attributes is not None
    assert span.attributes["messaging.destination.name"] == "user:bob"
    assert span.attributes["gateway.tenant"] == world.tenant.id
    assert span.attributes["gateway.members"] == 1


def test_the_span_begins_when_redis_took_the_event(world: World, spans: InMemorySpanExporter) -> None:
    now = [0.0]
    clock = world.hub.delivery_stats.clock = ServerClock(lambda: now[0])
    clock.learn(0.0, 0.0, SEQ)
    now[0] = 2.5
    traced(world, world.room(), SEQ)
    (span,) = spans.get_finished_spans()
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 2_500_000_000


def test_the_span_of_a_large_room_ends_with_its_last_socket(world: World, spans: InMemorySpanExporter) -> None:
    room = world.room()
    for _ in range(LIMITS.fan_out_sockets + 1):
        world.member(room)
    rest = traced(world, room, SEQ)
    assert spans.get_finished_spans() == ()
    assert rest() is None
    assert len(spans.get_finished_spans()) == 1


@pytest.mark.parametrize(
    "context",
    [
        *(f"00-{'0' * 32}-{SPAN_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01"),
        *(CONTEXT[:-1] + "0", CONTEXT.upper(), CONTEXT + "00", "", "nonsense"),
    ],
)
def test_a_context_that_is_none_or_not_recorded_gets_no_span_and_the_event_arrives(
    world: World, spans: InMemorySpanExporter, context: str
) -> None:
    room = world.room()
    _, socket = world.member(room)
    traced(world, room, SEQ, context)
    assert socket.data == [SEQ]
    assert spans.get_finished_spans() == ()


def test_an_event_without_a_context_or_one_that_was_handed_out_before_gets_no_span(
    world: World, spans: InMemorySpanExporter
) -> None:
    room = world.room()
    world.receive(room, SEQ)
    traced(world, room, SEQ)
    assert spans.get_finished_spans() == ()


def test_what_is_logged_about_a_control_message_carries_its_trace(
    world: World, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[Any] = []
    monkeypatch.setattr(
        world.troubles, "control", lambda room, message: lines.append(trace_ids(None, "info", {"event": "said"}))
    )
    traced(world, world.room(), SEQ, flag="c", body="{}")
    (span,) = spans.get_finished_spans()
    assert span.name == "deliver control"
    assert span.context is not None
    assert lines == [{"event": "said", "trace_id": TRACE_ID, "span_id": f"{span.context.span_id:016x}"}]


def test_a_line_outside_of_a_span_is_left_alone() -> None:
    assert trace_ids(structlog.get_logger(), "info", {"event": "said"}) == {"event": "said"}
