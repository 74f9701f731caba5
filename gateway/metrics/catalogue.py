"""The metrics in one table: name, kind, help and label.

`gateway/app/metrics.py` returns the values by these names; `endpoint.py` makes the page from both. REFERENCE.md
has the table, and the dashboard and alerts (`monitoring`) show only these metrics and the publishers'. No label
holds a tenant, a user, a room or anything else that a stranger can choose: it would grow without limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.core.histogram import Histogram

Values = float | Mapping[str, float] | Histogram


class Metric(NamedTuple):
    """One metric of the catalogue; `label` names the label of its values, if there are several."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    label: str = ""


CATALOGUE = (
    Metric("gateway_info", "gauge", "the constant 1, labelled with the version that runs", "version"),
    Metric("gateway_draining", "gauge", "1 while this process moves its sockets away before it ends, else 0"),
    Metric("gateway_ready", "gauge", "1 while this process takes new clients, else 0"),
    Metric("gateway_sockets", "gauge", "sockets that are connected here"),
    Metric("gateway_users", "gauge", "users with a socket here, each counted once in a tenant; sampled"),
    Metric("gateway_engine_sessions", "gauge", "transports here, including those that have not authenticated yet"),
    Metric("gateway_rooms", "gauge", "rooms with a member here, now or a few seconds ago"),
    Metric("gateway_tenants", "gauge", "tenants with a member here, now or a few seconds ago"),
    Metric("gateway_subscriptions", "gauge", "Redis channels that this process is subscribed to"),
    Metric(
        "gateway_events_total",
        "counter",
        "events that came from Redis, by name; after 64 names the rest count as `other`",
        "event",
    ),
    Metric("gateway_deliveries_total", "counter", "events handed to sockets, by name", "event"),
    Metric(
        "gateway_delivery_latency_seconds",
        "histogram",
        "seconds from Redis' stamp on an event until its last socket here was given it",
    ),
    Metric("gateway_fan_out_sockets", "histogram", "members here of an event's room, for each event that came"),
    Metric("gateway_conflated_total", "counter", "deliveries spared, as a later event replaced them"),
    Metric("gateway_malformed_messages_total", "counter", "messages from Redis that no publisher wrote"),
    Metric("gateway_messages_without_members_total", "counter", "messages for a room without a member here"),
    Metric(
        "gateway_oversized_events_total",
        "counter",
        "events from Redis too large for any socket; unless ephemeral, their members are told of a gap",
    ),
    Metric("gateway_repeated_messages_total", "counter", "messages whose event was handed out already"),
    Metric("gateway_recoveries_total", "counter", "sockets that came back with a session, by outcome", "outcome"),
    Metric("gateway_replayed_total", "counter", "events that were replayed to returning sockets"),
    Metric("gateway_resyncs_total", "counter", "times that a tenant's logs were read after a break or a gap"),
    Metric("gateway_unrecoverable_gaps_total", "counter", "rooms that lost events for good; members were told"),
    Metric("gateway_gaps_total", "counter", "live messages that revealed that an earlier one was missed"),
    Metric("gateway_tenants_unreadable", "gauge", "tenants whose logs Redis refuses to read; it is retried"),
    Metric("gateway_history_lost_total", "counter", "times that Redis lost a tenant's history: a new epoch began"),
    Metric(
        "gateway_redis_up",
        "gauge",
        "1 while Redis, every shard of it, can be asked (`commands`) or heard (`subscriber`)",
        "connection",
    ),
    Metric("gateway_redis_reconnects_total", "counter", "connections to Redis that were made again", "connection"),
    Metric("gateway_redis_deaf_total", "counter", "times that this process' probe did not come back from Redis"),
    Metric(
        "gateway_redis_round_trip_seconds",
        "histogram",
        "seconds that Redis took to tell the time, asked every 2 seconds, including this process' delays",
    ),
    Metric("gateway_redis_clock_error_seconds", "gauge", "seconds by which the delivery latency may be wrong"),
    Metric("gateway_refused_total", "counter", "connects that were refused, by code", "code"),
    Metric("gateway_event_refused_total", "counter", "events from browsers that were refused, by code", "code"),
    Metric(
        "gateway_joins_denied_total",
        "counter",
        "joins that were not allowed, and rooms that returning sockets did not get back",
    ),
    Metric("gateway_token_keys", "gauge", "usable keys from the JWKS URL; 0 without a URL"),
    Metric("gateway_token_keys_age_seconds", "gauge", "age of the JWKS URL's keys in seconds; 0 without a URL"),
    Metric("gateway_token_keys_fetches_total", "counter", "requests to the JWKS URL, by outcome", "outcome"),
    Metric("gateway_jwks_unavailable", "gauge", "1 while the JWKS URL does not answer, else 0"),
    Metric("gateway_certificate_reload_failed", "gauge", "1 after a renewed certificate failed to load, else 0"),
    Metric(
        "gateway_authorize_total",
        "counter",
        "questions to the backend about joins, by outcome; `spared` ones were not sent",
        "outcome",
    ),
    Metric("gateway_authorize_waiting", "gauge", "joins that wait for their tenant's turn to ask the backend"),
    Metric("gateway_authorize_cached", "gauge", "answers of the backend about joins that are cached"),
    Metric(
        "gateway_authorizer_up",
        "gauge",
        "1 while `GATEWAY_AUTHORIZE_URL` answers, or is not set; 0 while its circuit breaker is open",
    ),
    Metric("gateway_limited_total", "counter", "times that a client hit a limit, by limit", "limit"),
    Metric("gateway_closed_total", "counter", "transports that ended, by reason", "reason"),
    Metric("gateway_evicted_total", "counter", "sockets closed because their user had too many"),
    Metric("gateway_slow_cut_total", "counter", "clients cut because they did not read what they were sent"),
    Metric("gateway_bad_frames_total", "counter", "transports closed because the client broke the protocol"),
    Metric("gateway_handler_errors_total", "counter", "errors of the gateway itself, each with a line in the log"),
    Metric(
        "gateway_log_left_out_total", "counter", "log lines left out as there were too many, by event", "event"
    ),
    Metric("gateway_unsent_bytes", "gauge", "bytes that wait for clients to read them; sampled"),
    Metric("gateway_unsent_max_bytes", "gauge", "unsent bytes of the client that has most; sampled"),
    Metric("gateway_unsent_limit_bytes", "gauge", "unsent bytes at which a client is cut"),
    Metric("gateway_corked_events", "gauge", "events that sockets get after an answer or at their turn; sampled"),
    Metric("gateway_corked_max_events", "gauge", "waiting events of the socket that has most; sampled"),
    Metric("gateway_backlog_messages", "gauge", "messages that wait for a resync to end; sampled"),
    Metric("gateway_loop_lag_seconds", "histogram", "seconds by which a timer came late, ten times a second"),
    Metric(
        "gateway_questions_waiting",
        "gauge",
        "joins with history, and questions about presence, that wait for their tenant's turn",
    ),
    Metric("gateway_presence_sweeps_total", "counter", "renewals and sweeps of a tenant's presence leases"),
    Metric("gateway_files_exhausted_total", "counter", "checks, one a second, that could not open another file"),
    Metric("gateway_file_limit", "gauge", "files that this process may have open; each socket takes one"),
    Metric("gateway_passed_on_total", "counter", "long-polling requests passed on to their session's process"),
    Metric("gateway_tunnels", "gauge", "websockets tunnelled through this process to their session's process"),
    Metric("gateway_api_requests_total", "counter", "requests to the HTTP API, by status", "status"),
    Metric("gateway_http_refused_total", "counter", "HTTP requests that were refused, by status", "status"),
    Metric("process_cpu_seconds_total", "counter", "CPU time that the process has used, in seconds"),
    Metric("process_resident_memory_bytes", "gauge", "memory that the process uses, in bytes"),
    Metric("process_start_time_seconds", "gauge", "Unix time at which the process started"),
)
