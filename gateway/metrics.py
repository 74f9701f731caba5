"""`GET /metrics`, for Prometheus: the catalogue, and the collector that reads it.

Nothing is counted for this page's sake: everything that it shows is an integer that the gateway keeps anyway,
read when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Values = float | Mapping[str, float]


class Metric(NamedTuple):
    """One line of the catalogue; `label` names what the values are told apart by, where they are several."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    label: str = ""


CATALOGUE = (
    Metric("gateway_info", "gauge", "1, with the version that runs", "version"),
    Metric("gateway_draining", "gauge", "1 while sockets are moved away"),
    Metric("gateway_ready", "gauge", "1 while new clients may come"),
    Metric("gateway_sockets", "gauge", "sockets that are connected"),
    Metric("gateway_engine_sessions", "gauge", "transports, those that have not authenticated among them"),
    Metric("gateway_rooms", "gauge", "rooms with a member here"),
    Metric("gateway_tenants", "gauge", "tenants with a member here"),
    Metric("gateway_subscriptions", "gauge", "channels subscribed at Redis"),
    Metric("gateway_events_total", "counter", "events that came from Redis"),
    Metric("gateway_deliveries_total", "counter", "events handed to sockets"),
    Metric("gateway_malformed_messages_total", "counter", "messages on the bus that no publisher wrote"),
    Metric("gateway_repeated_messages_total", "counter", "messages that a resync had handed out already"),
    Metric("gateway_recoveries_total", "counter", "sockets that came back, by outcome", "outcome"),
    Metric("gateway_resyncs_total", "counter", "tenants whose rooms were read again"),
    Metric(
        "gateway_holes_total", "counter", "rooms of which something was gone for good; their members were told"
    ),
    Metric("gateway_gaps_total", "counter", "live messages that showed that one before was never seen"),
    Metric("gateway_history_lost_total", "counter", "tenants whose history Redis lost"),
    Metric("gateway_redis_reconnects_total", "counter", "connections to Redis made again", "connection"),
    Metric("gateway_redis_deaf_total", "counter", "times that a probe did not come back"),
    Metric("gateway_refused_total", "counter", "connects refused, by code", "code"),
    Metric(
        "gateway_joins_denied_total", "counter", "joins that were not allowed, and rooms kept from returning users"
    ),
    Metric("gateway_token_keys", "gauge", "usable keys that the JWKS URL gave; 0 without one"),
    Metric("gateway_token_keys_age_seconds", "gauge", "how old they are; 0 without a URL"),
    Metric("gateway_token_keys_fetches_total", "counter", "requests to the JWKS URL, by outcome", "outcome"),
    Metric("gateway_authorize_total", "counter", "joins that the backend had to be asked about", "outcome"),
    Metric("gateway_authorize_cached", "gauge", "its answers that are kept"),
    Metric("gateway_authorize_away", "gauge", "1 while it is left alone because it did not answer"),
    Metric("gateway_limited_total", "counter", "times that a client hit a limit, by limit", "limit"),
    Metric("gateway_closed_total", "counter", "transports that ended, by reason", "reason"),
    Metric("gateway_evicted_total", "counter", "sockets sent away because their user had too many"),
    Metric("gateway_slow_cut_total", "counter", "clients cut because they did not read"),
    Metric("gateway_bad_frames_total", "counter", "transports closed for breaking the protocol"),
    Metric("gateway_api_requests_total", "counter", "requests to the HTTP API, by status", "status"),
    Metric("gateway_http_refused_total", "counter", "requests refused, by status", "status"),
)


class Metrics:
    """The page; `read` gives the value of every metric of the catalogue, by name."""

    def __init__(self, read: Callable[[], Mapping[str, Values]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(read))

    def attach(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/metrics", self._page)

    async def _page(self, request: web.Request) -> web.Response:
        body = exposition.generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})


class _Collector(Collector):
    def __init__(self, read: Callable[[], Mapping[str, Values]]) -> None:
        self._read = read

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        values = self._read()
        for metric in CATALOGUE:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=[metric.label] if metric.label else [])
            value = values[metric.name]
            if isinstance(value, Mapping):
                for label, number in value.items():
                    family.add_metric([str(label)], number)
            else:
                family.add_metric([], value)
            yield family

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Say nothing at registration, when there is nothing to read yet."""
        return ()
