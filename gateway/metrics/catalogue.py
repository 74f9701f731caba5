"""The metrics in one table: name, kind, what it says, and what its values are told apart by.

`gateway/app/metrics.py` gives the values, by these names, and `endpoint.py` makes the page of both. The README's
table is made from it; the dashboard and the alerts (`monitoring`) may ask for nothing else. No label holds a
tenant, a user, a room or anything else that a stranger can choose: there would be no end of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.core.histogram import Histogram

Values = float | Mapping[str, float] | Histogram


class Metric(NamedTuple):
    """One line of the catalogue; `label` names what the values are told apart by, where they are several."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    label: str = ""


CATALOGUE = (
    Metric("gateway_info", "gauge", "the constant 1, labelled with the version that runs", "version"),
    Metric("gateway_draining", "gauge", "1 while sockets are moved away"),
    Metric("gateway_ready", "gauge", "1 while new clients may come"),
    Metric("gateway_sockets", "gauge", "sockets that are connected"),
    Metric("gateway_users", "gauge", "users with a socket here, each once in a tenant; sampled"),
    Metric("gateway_engine_sessions", "gauge", "transports, those that have not authenticated among them"),
    Metric("gateway_rooms", "gauge", "rooms with a member here"),
    Metric("gateway_tenants", "gauge", "tenants with a member here"),
    Metric("gateway_subscriptions", "gauge", "channels subscribed at Redis"),
    Metric(
        "gateway_events_total",
        "counter",
        "events that came from Redis, by name: the first 64, the rest as `other`",
        "event",
    ),
    Metric("gateway_deliveries_total", "counter", "events handed to sockets, by name", "event"),
    Metric(
        "gateway_delivery_latency_seconds",
        "histogram",
        "seconds from Redis' stamp on an event until its last socket here was given it",
    ),
    Metric("gateway_fan_out_sockets", "histogram", "members here of the room that an event came for"),
    Metric(
        "gateway_conflated_total",
        "counter",
        "deliveries spared: a later event under the same key took their place",
    ),
    Metric("gateway_malformed_messages_total", "counter", "messages on the bus that no publisher wrote"),
    Metric(
        "gateway_messages_without_members_total", "counter", "messages for a room that has no member here any more"
    ),
    Metric(
        "gateway_oversized_events_total",
        "counter",
        "events from Redis that are too large for any socket; where they are kept their members are told of a gap",
    ),
    Metric("gateway_repeated_messages_total", "counter", "messages that a resync had handed out already"),
    Metric("gateway_recoveries_total", "counter", "sockets that came back, by outcome", "outcome"),
    Metric("gateway_replayed_total", "counter", "events that returning sockets had missed and were given"),
    Metric("gateway_resyncs_total", "counter", "tenants whose rooms were read again"),
    Metric(
        "gateway_unrecoverable_gaps_total",
        "counter",
        "rooms of which something was gone for good; their members were told",
    ),
    Metric("gateway_gaps_total", "counter", "live messages that showed that one before was never seen"),
    Metric(
        "gateway_tenants_unreadable", "gauge", "tenants whose history Redis refuses to read; it is tried again"
    ),
    Metric("gateway_history_lost_total", "counter", "tenants whose history Redis lost"),
    Metric("gateway_redis_up", "gauge", "1 while Redis, each shard of it, can be asked, and heard", "connection"),
    Metric("gateway_redis_reconnects_total", "counter", "connections to Redis made again", "connection"),
    Metric("gateway_redis_deaf_total", "counter", "times that a probe did not come back"),
    Metric(
        "gateway_redis_round_trip_seconds",
        "histogram",
        "seconds that Redis took to tell the time, asked every 2 seconds, with this process' own waiting",
    ),
    Metric("gateway_redis_clock_error_seconds", "gauge", "seconds by which the delivery latency may be wrong"),
    Metric("gateway_refused_total", "counter", "connects refused, by code", "code"),
    Metric("gateway_event_refused_total", "counter", "events of browsers refused, by code", "code"),
    Metric(
        "gateway_joins_denied_total", "counter", "joins that were not allowed, and rooms kept from returning users"
    ),
    Metric("gateway_token_keys", "gauge", "usable keys that the JWKS URL gave; 0 without one"),
    Metric("gateway_token_keys_age_seconds", "gauge", "age of the keys from the JWKS URL; 0 without one"),
    Metric("gateway_token_keys_fetches_total", "counter", "requests to the JWKS URL, by outcome", "outcome"),
    Metric("gateway_jwks_unavailable", "gauge", "1 while the JWKS URL does not answer"),
    Metric("gateway_certificate_reload_failed", "gauge", "1 while a renewed certificate could not be loaded"),
    Metric("gateway_authorize_total", "counter", "joins that the backend had to be asked about", "outcome"),
    Metric("gateway_authorize_waiting", "gauge", "joins that wait for their tenant's turn to ask the backend"),
    Metric("gateway_authorize_cached", "gauge", "answers of the backend about joins that are cached"),
    Metric(
        "gateway_authorizer_up",
        "gauge",
        "1 while `GATEWAY_AUTHORIZE_URL` answers, or is not set; 0 while its circuit breaker is open",
    ),
    Metric("gateway_limited_total", "counter", "times that a client hit a limit, by limit", "limit"),
    Metric("gateway_closed_total", "counter", "transports that ended, by reason", "reason"),
    Metric("gateway_evicted_total", "counter", "sockets sent away because their user had too many"),
    Metric("gateway_slow_cut_total", "counter", "clients cut because they did not read"),
    Metric("gateway_bad_frames_total", "counter", "transports closed for breaking the protocol"),
    Metric("gateway_handler_errors_total", "counter", "errors of the gateway's own, each with a line in the log"),
    Metric(
        "gateway_log_left_out_total", "counter", "log lines left out as there were too many, by event", "event"
    ),
    Metric("gateway_unsent_bytes", "gauge", "bytes that clients have not taken yet; sampled"),
    Metric("gateway_unsent_max_bytes", "gauge", "unsent bytes of the client that has most; sampled"),
    Metric("gateway_unsent_limit_bytes", "gauge", "unsent bytes that a client may have before it is cut"),
    Metric("gateway_corked_events", "gauge", "events that wait behind an answer or for their turn; sampled"),
    Metric("gateway_corked_max_events", "gauge", "waiting events of the socket that has most; sampled"),
    Metric("gateway_backlog_messages", "gauge", "messages that wait for a resync; sampled"),
    Metric(
        "gateway_loop_lag_seconds", "histogram", "seconds by which a timer came late, measured ten times a second"
    ),
    Metric(
        "gateway_questions_waiting",
        "gauge",
        "joins with history, and questions about presence, that wait for their tenant's turn",
    ),
    Metric(
        "gateway_presence_sweeps_total", "counter", "times that a tenant's presence leases were renewed or swept"
    ),
    Metric("gateway_files_exhausted_total", "counter", "times that no more files could be opened, once a second"),
    Metric("gateway_file_limit", "gauge", "files that may be open; a socket takes one"),
    Metric("gateway_passed_on_total", "counter", "requests of long-polling sessions that another process holds"),
    Metric("gateway_tunnels", "gauge", "websockets that run through this process to one that holds their session"),
    Metric("gateway_api_requests_total", "counter", "requests to the HTTP API, by status", "status"),
    Metric("gateway_http_refused_total", "counter", "requests refused, by status", "status"),
    Metric("process_cpu_seconds_total", "counter", "CPU time used"),
    Metric("process_resident_memory_bytes", "gauge", "memory in use"),
    Metric("process_start_time_seconds", "gauge", "Unix time of the start"),
)
