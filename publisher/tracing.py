"""Tracing with OpenTelemetry: what is published says which trace it belongs to, and the gateway goes on with it.

    from publisher import AsyncPublisher, Options
    from publisher.tracing import traceparent

    events = AsyncPublisher.from_url(url, options=Options(traceparent=traceparent))

Needs `opentelemetry-api`, which a program that is traced has. Where no span is current, or its trace is not
recorded, nothing is added to an event.
"""

from __future__ import annotations

from opentelemetry.trace import get_current_span


def traceparent() -> str:
    """Return the current span's context as W3C's `traceparent`; empty where nothing is recorded."""
    context = get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
