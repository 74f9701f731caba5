"""Tracing with OpenTelemetry: an event names the trace that it was published in, and the gateway continues it.

    from publisher import AsyncPublisher, Options
    from publisher.tracing import traceparent

    events = AsyncPublisher.from_url(url, options=Options(traceparent=traceparent))

This needs `opentelemetry-api`, which every traced program has. Nothing is added to an event without a current
span, or if the span's trace is not sampled.
"""

from __future__ import annotations

from opentelemetry.trace import get_current_span


def traceparent() -> str:
    """Return the current span's context as W3C's `traceparent`; empty without a span or if it is not sampled."""
    context = get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
