"""The status of a process, which it announces in Redis every few seconds for `gateway top` and the console."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway import installed_version
from gateway.app.metrics import Measured, values
from gateway.core.histogram import Histogram
from gateway.metrics.catalogue import Values

# The metrics that the console shows as charts. They take a few kilobytes at most, as label values are our own.
FIGURES = (
    "gateway_users",
    "gateway_tenants",
    "gateway_delivery_latency_seconds",
    "gateway_redis_round_trip_seconds",
    "gateway_loop_lag_seconds",
    "gateway_recoveries_total",
    "gateway_replayed_total",
    "gateway_resyncs_total",
    "gateway_unrecoverable_gaps_total",
    "gateway_refused_total",
    "gateway_event_refused_total",
    "gateway_limited_total",
    "gateway_slow_cut_total",
    "gateway_unsent_bytes",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)


def announcement(gateway: Measured) -> dict[str, Any]:
    """Return the status, ready for JSON. `at` is the process' monotonic clock in seconds, only for differences."""
    hub = gateway.subscriptions.hub
    found = values(gateway)
    return {
        "replica": gateway.replica,
        "version": installed_version(),
        "ready": not gateway.findings(),
        "findings": gateway.findings(),
        "draining": gateway.draining,
        "sockets": len(gateway.server.members.by_sid),
        "rooms": len(hub.channels),
        "events": hub.delivery_stats.events,
        "deliveries": hub.delivery_stats.deliveries,
        "lag_s": gateway.vitals.lag.total,
        "lag_n": sum(gateway.vitals.lag.counts),
        "at": time.monotonic(),
        "figures": {name: _plain(found[name]) for name in FIGURES},
    }


def bounds(gateway: Measured) -> dict[str, tuple[float, ...]]:
    """Return the upper bounds of each announced histogram's buckets; the last bucket has none."""
    found = values(gateway)
    return {name: value.bounds for name in FIGURES if isinstance(value := found[name], Histogram)}


def _plain(value: Values) -> float | list[int] | dict[str, float]:
    """Return a value for JSON: a histogram as its buckets' counts, and counts by name without zeros."""
    if isinstance(value, Histogram):
        return value.counts
    if isinstance(value, Mapping):
        return {name: count for name, count in value.items() if count}
    return value
