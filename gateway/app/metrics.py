"""The values behind `GET /metrics`: a replica's counters and current sizes, by the catalogue's names.

Every value is a number that is kept anyway, or the size of a table. Values that would have to be added up over all
sockets come from the sampler, `Gateway.vitals`.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Protocol

from gateway import installed_version, log_sampling
from gateway.access import Authorizer, access_values
from gateway.api import Api
from gateway.app.sampler import Vitals
from gateway.auth import Jwks, key_values
from gateway.engine import CloseReason
from gateway.errors import CODES
from gateway.limits.catalogue import totals
from gateway.metrics.catalogue import Values
from gateway.peers import Forwarding
from gateway.redis.commands import Commands
from gateway.rooms.subscriptions import RoomSubscriptions
from gateway.settings import Settings
from gateway.sockets.server import GatewayServer
from publisher.events import CONNECT_CODES, LOSS_REASONS

STARTED_AT = time.time()
OUTCOMES = ("recovered", *LOSS_REASONS)


class Measured(Protocol):
    """Port: a replica, as far as it is measured: `Gateway`."""

    settings: Settings
    replica: str
    commands: Commands
    subscriptions: RoomSubscriptions
    server: GatewayServer
    forwarding: Forwarding
    vitals: Vitals
    api: Api | None
    jwks: Jwks | None
    authorizer: Authorizer | None
    draining: bool
    certificate_reload_failed: bool

    def findings(self) -> list[str]:
        """Return the reasons for which the replica is not ready; none if it is."""


def values(gateway: Measured) -> dict[str, Values]:
    """Return the value of every metric of the catalogue."""
    return (
        _state(gateway)
        | _traffic(gateway)
        | _redis(gateway)
        | _strangers(gateway)
        | _sampled(gateway)
        | _process()
    )


def _state(gateway: Measured) -> dict[str, Values]:
    hub, server = gateway.subscriptions.hub, gateway.server
    return {
        "gateway_info": {installed_version(): 1},
        "gateway_draining": int(gateway.draining),
        "gateway_ready": int(not gateway.findings()),
        "gateway_sockets": len(server.members.by_sid),
        "gateway_engine_sessions": len(server.eio.sockets),
        "gateway_rooms": len(hub.channels),
        "gateway_tenants": len(hub.tenants),
        "gateway_subscriptions": len(gateway.subscriptions.subscriber),
        "gateway_passed_on_total": gateway.forwarding.passed_on,
        "gateway_tunnels": len(gateway.forwarding.tunnels.open),
        "gateway_certificate_reload_failed": int(gateway.certificate_reload_failed),
        **key_values(gateway.jwks),
        **access_values(gateway.authorizer),
    }


def _traffic(gateway: Measured) -> dict[str, Values]:
    hub, server = gateway.subscriptions.hub, gateway.server
    delivered = hub.delivery_stats
    return {
        "gateway_events_total": {name: counted.events for name, counted in delivered.names.items()},
        "gateway_deliveries_total": {name: counted.deliveries for name, counted in delivered.names.items()},
        "gateway_delivery_latency_seconds": delivered.latency,
        "gateway_fan_out_sockets": delivered.fan_out,
        "gateway_conflated_total": hub.stats.conflated,
        "gateway_malformed_messages_total": hub.stats.malformed,
        "gateway_messages_without_members_total": hub.stats.unheard,
        "gateway_oversized_events_total": hub.stats.oversized,
        "gateway_repeated_messages_total": hub.stats.repeated,
        "gateway_recoveries_total": _from_zero(OUTCOMES, server.connector.outcomes),
        "gateway_replayed_total": server.connector.recovery.replayed,
        "gateway_questions_waiting": server.members.answer_turns.waiting,
        "gateway_presence_sweeps_total": server.members.sweeper.sweeps,
    }


def _redis(gateway: Measured) -> dict[str, Values]:
    rooms = gateway.subscriptions
    hub, resync, subscriber = rooms.hub, rooms.resync, rooms.subscriber
    return {
        "gateway_resyncs_total": resync.count,
        "gateway_unrecoverable_gaps_total": resync.holes,
        "gateway_gaps_total": hub.stats.gaps,
        "gateway_tenants_unreadable": len(resync.unreadable),
        "gateway_history_lost_total": resync.restarts,
        "gateway_redis_up": {"commands": int(gateway.commands.all_up), "subscriber": int(subscriber.hears_all)},
        "gateway_redis_reconnects_total": {
            "commands": gateway.commands.reconnects,
            "subscriber": subscriber.reconnects,
        },
        "gateway_redis_deaf_total": subscriber.deaf,
        "gateway_redis_round_trip_seconds": subscriber.round_trip,
        "gateway_redis_clock_error_seconds": subscriber.clock.error_s,
    }


def _strangers(gateway: Measured) -> dict[str, Values]:
    server, stats = gateway.server, gateway.server.eio.stats
    api = gateway.api.requests if gateway.api else {}
    return {
        "gateway_refused_total": _from_zero(CONNECT_CODES, server.connector.refused),
        "gateway_event_refused_total": _from_zero(CODES, server.members.refused),
        "gateway_joins_denied_total": server.room_access.denied,
        "gateway_limited_total": totals(stats.limited, server.members.limited),
        "gateway_closed_total": _from_zero(CloseReason, stats.closed),
        "gateway_evicted_total": server.control.evicted,
        "gateway_slow_cut_total": stats.slow_cut,
        "gateway_bad_frames_total": stats.bad_frames,
        "gateway_handler_errors_total": stats.handler_errors,
        "gateway_log_left_out_total": dict(log_sampling.left_out),
        "gateway_api_requests_total": {str(status): n for status, n in api.items()},
        "gateway_http_refused_total": {str(status): n for status, n in stats.refused.items()},
    }


def _sampled(gateway: Measured) -> dict[str, Values]:
    seen = gateway.vitals.seen
    return {
        "gateway_users": seen.users,
        "gateway_unsent_bytes": seen.unsent,
        "gateway_unsent_max_bytes": seen.unsent_most,
        "gateway_unsent_limit_bytes": gateway.settings.max_buffer_bytes,
        "gateway_corked_events": seen.corked,
        "gateway_corked_max_events": seen.corked_most,
        "gateway_backlog_messages": seen.backlog,
        "gateway_loop_lag_seconds": gateway.vitals.lag,
        "gateway_files_exhausted_total": gateway.vitals.files_exhausted,
    }


def _process() -> dict[str, Values]:
    """Return the process' values, with the usual names; Prometheus' own collector would list every open file."""
    return {
        "gateway_file_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "process_cpu_seconds_total": time.process_time(),
        "process_resident_memory_bytes": _resident_bytes(),
        "process_start_time_seconds": STARTED_AT,
    }


def _from_zero(names: Iterable[str], counts: Mapping[str, int]) -> dict[str, float]:
    """Return the counts with 0 for missing names: Prometheus sees no increase in a count that starts at 1."""
    return {**dict.fromkeys(map(str, names), 0), **counts}


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * _page_size()
    except OSError:
        return 0


@cache
def _page_size() -> int:
    return resource.getpagesize()
