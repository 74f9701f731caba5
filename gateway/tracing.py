"""Tracing with OpenTelemetry: an event with a trace context gets a span, from publish to fan-out.

The backend puts the context into the message's header (`publisher.tracing`). The span here begins when Redis took
the event, and ends when the event was written to the last socket of this replica. Lines that are logged meanwhile
have `trace_id` and `span_id`. The backend decides whether a trace is recorded. An event without a context costs
nothing, and with `GATEWAY_TRACING=off` this module is not used.

OpenTelemetry's own `OTEL_` variables set the receiver of spans, the sampling and the service's name. Replays after
a reconnect are not traced.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway import installed_version
from gateway.core.delivery_stats import name_of
from gateway.core.hub import Hub, Rest, Troubles
from gateway.core.model import RoomState
from gateway.settings import ConfigurationError, Settings
from publisher import wire

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, Tracer

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# Longest time to send the last spans, so that a dead collector does not delay the end of the process.
FLUSH_S = 2.0


class Tracing:
    """The spans of one replica; a thread of OpenTelemetry sends them."""

    def __init__(self, replica: str) -> None:
        """Raise `ConfigurationError` if the extra is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ConfigurationError(
                f"GATEWAY_TRACING=on needs the extra `tracing` (pytake-realtime[tracing]): no module {error.name}"
            ) from None
        about = {"service.instance.id": replica, "service.version": installed_version()}
        resource = Resource.create(about)
        # The name in the environment wins. Without one the SDK uses "unknown_service", which we replace.
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "gateway"}))
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def hub(self, troubles: Troubles, **parts: Any) -> Hub:
        """Return a hub that traces; `parts` are the arguments of `Hub`."""
        return TracedHub(troubles, self.provider.get_tracer("gateway", installed_version()), **parts)

    async def stop(self) -> None:
        """Send the remaining spans; wait at most `FLUSH_S`."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self.provider.shutdown()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=end, name="last spans", daemon=True).start()
        try:
            await asyncio.wait_for(ended.wait(), FLUSH_S)
        except TimeoutError:
            return


class TracedHub(Hub):
    """A hub that makes a span for each event with a context."""

    def __init__(self, troubles: Troubles, tracer: Tracer, **parts: Any) -> None:
        super().__init__(troubles, **parts)
        self._tracer = tracer

    def dispatch(self, room: RoomState, message: wire.Message) -> Rest | None:
        """Dispatch as `Hub` does, inside a span if the event has a context and is not a repetition."""
        parent = _parent(message.trace) if message.trace else None
        if parent is None or _is_repeated(room, message):
            return super().dispatch(room, message)
        from opentelemetry.trace import use_span

        span = self._start_span(parent, room, message)
        with use_span(span):
            rest = super().dispatch(room, message)
        return _ended(span, rest)

    def _start_span(self, parent: SpanContext, room: RoomState, message: wire.Message) -> Span:
        from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

        clock = self.delivery_stats.clock
        age_s = (clock.age_s(message.seq) if clock is not None else None) or 0.0
        name = "control" if message.flag == wire.Flag.CONTROL else name_of(message.body)
        return self._tracer.start_span(
            f"deliver {name}",
            context=set_span_in_context(NonRecordingSpan(parent)),
            kind=SpanKind.CONSUMER,
            start_time=time.time_ns() - int(max(age_s, 0.0) * 1e9),
            attributes={
                "messaging.system": "redis",
                "messaging.operation.name": "deliver",
                "messaging.operation.type": "process",
                "messaging.destination.name": room.name,
                "messaging.message.id": message.offset.decode(),
                "gateway.tenant": room.tenant.id,
                "gateway.event": name,
                "gateway.members": len(room.members),
            },
        )


def trace_ids(logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Add the current span's ids to a line of the log."""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
        line["span_id"] = f"{context.span_id:016x}"
    return line


def tracing_of(settings: Settings, replica: str) -> Tracing | None:
    """Return the tracing if it is configured, else None; raises `ConfigurationError`."""
    return Tracing(replica) if settings.tracing == "on" else None


def _parent(traceparent: bytes) -> SpanContext | None:
    """Return the context in a W3C traceparent; None if it is malformed or the trace is not recorded."""
    from opentelemetry.trace import SpanContext, TraceFlags

    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(group, 16) for group in match.groups())
    if not (trace_id and span_id and flags & TraceFlags.SAMPLED):
        return None
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def _is_repeated(room: RoomState, message: wire.Message) -> bool:
    recoverable = message.flag == wire.Flag.RECOVERABLE
    return recoverable and room.last_seq is not None and message.seq <= room.last_seq


def _ended(span: Span, rest: Rest | None) -> Rest | None:
    """End the span after the last rest of the dispatch; return the next rest, or None."""
    if rest is None:
        span.end()
        return None
    go_on: Callable[[], Rest | None] = rest
    return lambda: _ended(span, go_on())
