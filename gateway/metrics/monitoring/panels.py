"""The panels of the dashboard, row by row: effects on users come first, then possible causes."""

from __future__ import annotations

from typing import NamedTuple

# Every query selects the replicas that are chosen at the top of the dashboard.
AT = '{instance=~"$instance"}'
RATE = "[$__rate_interval]"


class Query(NamedTuple):
    """One query, and the legend of its lines."""

    expr: str
    legend: str = "{{instance}}"


class Panel(NamedTuple):
    """One graph; `unit` is Grafana's name of a unit. Without a `note`, the helps of the metrics are shown."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    note: str = ""


class Row(NamedTuple):
    """Panels that belong together, under one title."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


def gauge(name: str, by: str = "instance") -> str:
    """Return the query of a gauge, added up by labels."""
    return f"sum by ({by}) ({name}{AT})"


def rate(name: str, by: str = "instance", where: str = "") -> str:
    """Return the query of a counter's rate per second, added up by labels."""
    at = AT.replace("}", f",{where}}}") if where else AT
    return f"sum by ({by}) (rate({name}{at}{RATE}))"


def quantiles(name: str, *shares: float) -> tuple[Query, ...]:
    """Return the queries of a histogram's quantiles, over all replicas."""
    buckets = f"sum by (le) (rate({name}_bucket{AT}{RATE}))"
    return tuple(Query(f"histogram_quantile({share}, {buckets})", f"{share:.1%}") for share in shares)


ROWS = (
    Row(
        "Users",
        (
            Panel("Sockets", "short", (Query(gauge("gateway_sockets")),)),
            Panel("Users", "short", (Query(gauge("gateway_users")),)),
            Panel("Ready", "short", (Query(gauge("gateway_ready")),), "1 while a replica takes new clients"),
            Panel("Delivery latency", "s", quantiles("gateway_delivery_latency_seconds", 0.5, 0.95, 0.99)),
            Panel(
                "Recoveries by outcome",
                "ops",
                (Query(rate("gateway_recoveries_total", "outcome"), "{{outcome}}"),),
            ),
            Panel(
                "Connects refused by code",
                "ops",
                (Query(rate("gateway_refused_total", "code"), "{{code}}"),),
                "the codes token_… and tenant_missing mean that authentication failed",
            ),
        ),
    ),
    Row(
        "Traffic",
        (
            Panel("Events in", "ops", (Query(rate("gateway_events_total", "event"), "{{event}}"),)),
            Panel("Deliveries out", "ops", (Query(rate("gateway_deliveries_total", "event"), "{{event}}"),)),
            Panel("Deliveries by replica", "ops", (Query(rate("gateway_deliveries_total")),)),
            Panel(
                "Members of an event's room",
                "short",
                quantiles("gateway_fan_out_sockets", 0.5, 0.99),
            ),
            Panel(
                "Rooms and subscriptions",
                "short",
                (
                    Query(gauge("gateway_rooms"), "rooms {{instance}}"),
                    Query(gauge("gateway_subscriptions"), "subscriptions {{instance}}"),
                ),
            ),
            Panel(
                "Events of browsers refused",
                "ops",
                (Query(rate("gateway_event_refused_total", "code"), "{{code}}"),),
            ),
        ),
    ),
    Row(
        "Redis",
        (
            Panel(
                "Up",
                "short",
                (Query(gauge("gateway_redis_up", "instance, connection"), "{{connection}} {{instance}}"),),
            ),
            Panel("Round trip", "s", quantiles("gateway_redis_round_trip_seconds", 0.5, 0.99)),
            Panel(
                "Reconnects",
                "ops",
                (
                    Query(
                        rate("gateway_redis_reconnects_total", "instance, connection"),
                        "{{connection}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Resyncs, gaps and lost events",
                "ops",
                (
                    Query(rate("gateway_resyncs_total"), "resyncs {{instance}}"),
                    Query(rate("gateway_gaps_total"), "gaps {{instance}}"),
                    Query(rate("gateway_unrecoverable_gaps_total"), "unrecoverable gaps {{instance}}"),
                    Query(rate("gateway_oversized_events_total"), "oversized events {{instance}}"),
                    Query(rate("gateway_history_lost_total"), "history lost {{instance}}"),
                ),
            ),
            Panel("Messages that wait for a resync", "short", (Query(gauge("gateway_backlog_messages")),)),
            Panel(
                "Organizations whose history can't be read", "short", (Query(gauge("gateway_tenants_unreadable")),)
            ),
            Panel(
                "Error of Redis' clock",
                "s",
                (Query(f"max by (instance) (gateway_redis_clock_error_seconds{AT})"),),
            ),
        ),
    ),
    Row(
        "The process",
        (
            Panel(
                "CPU",
                "percentunit",
                (Query(rate("process_cpu_seconds_total")),),
                "1 is one core, which is all that a process can use",
            ),
            Panel("Memory", "bytes", (Query(gauge("process_resident_memory_bytes")),)),
            Panel("Lag of the event loop", "s", quantiles("gateway_loop_lag_seconds", 0.5, 0.99)),
            Panel(
                "Sockets as a share of the file limit",
                "percentunit",
                (Query(f"max by (instance) (gateway_engine_sessions{AT} / gateway_file_limit{AT})"),),
            ),
            Panel(
                "Unsent bytes",
                "bytes",
                (
                    Query(gauge("gateway_unsent_bytes"), "all {{instance}}"),
                    Query(f"max by (instance) (gateway_unsent_max_bytes{AT})", "most {{instance}}"),
                    Query(f"max(gateway_unsent_limit_bytes{AT})", "limit of one"),
                ),
            ),
            Panel("Draining", "short", (Query(gauge("gateway_draining")),)),
            Panel(
                "Passed on to other processes",
                "short",
                (
                    Query(rate("gateway_passed_on_total"), "requests a second {{instance}}"),
                    Query(gauge("gateway_tunnels"), "websockets {{instance}}"),
                ),
                "traffic that the balancer brought to this process, for sessions that another process holds",
            ),
        ),
    ),
    Row(
        "Clients, limits and refusals",
        (
            Panel("Transports that ended", "ops", (Query(rate("gateway_closed_total", "reason"), "{{reason}}"),)),
            Panel("Slow clients cut", "ops", (Query(rate("gateway_slow_cut_total")),)),
            Panel("Limits hit", "ops", (Query(rate("gateway_limited_total", "limit"), "{{limit}}"),)),
            Panel("HTTP refused", "ops", (Query(rate("gateway_http_refused_total", "status"), "{{status}}"),)),
            Panel("HTTP API", "ops", (Query(rate("gateway_api_requests_total", "status"), "{{status}}"),)),
            Panel(
                "Questions to the backend",
                "ops",
                (Query(rate("gateway_authorize_total", "outcome"), "{{outcome}}"),),
            ),
        ),
    ),
    Row(
        "Publishers",
        (
            Panel(
                "Sent",
                "ops",
                (
                    Query(f"sum by (publisher) (rate(publisher_sent_total{RATE}))", "sent {{publisher}}"),
                    Query(f"sum by (publisher) (rate(publisher_duplicates_total{RATE}))", "known {{publisher}}"),
                    Query(f"sum by (publisher) (rate(publisher_queued_total{RATE}))", "queued {{publisher}}"),
                ),
                "events of all publishers that are scraped; known: not published, as Redis knew their key",
            ),
            Panel(
                "Waiting",
                "short",
                (Query("sum by (publisher) (publisher_unsent)", "{{publisher}}"),),
                "events that wait in publishers' buffers",
            ),
            Panel(
                "Lost, refused, sent again",
                "ops",
                (
                    Query(f"sum by (publisher) (rate(publisher_dropped_total{RATE}))", "dropped {{publisher}}"),
                    Query(f"sum by (publisher) (rate(publisher_failed_total{RATE}))", "failed {{publisher}}"),
                    Query(f"sum by (publisher) (rate(publisher_retries_total{RATE}))", "retries {{publisher}}"),
                    Query(
                        f"sum by (publisher) (rate(publisher_uncertain_total{RATE}))", "uncertain {{publisher}}"
                    ),
                ),
                "dropped: the buffer was full; failed: Redis refused it; uncertain: given up, Redis may have it",
            ),
        ),
    ),
)
