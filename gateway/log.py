"""Logging: structlog, one line an event, JSON for machines and colours for people.

Payloads and tokens are never logged. `EVENTS` is the catalogue: a line whose name is not in it fails the
tests.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

from gateway.log_sampling import Sampler

EVENTS = {
    # name: (level, fields besides the common ones)
    "gateway_started": ("info", "url, replica"),
    "worker_ended": ("error", "worker, status"),
    "file_limit_low": ("warning", "limit, enough"),
    "files_exhausted": ("error", "limit"),
    "gateway_draining": ("info", "sockets, over_s"),
    "gateway_stopped": ("info", ""),
    "peer_unreadable": ("warning", "peer"),
    "announcement_failed": ("error", "error"),
    "certificate_loaded": ("info", ""),
    "nothing_to_reload": ("info", ""),
    "certificate_reload_failed": ("error", "reason"),
    "token_keys_fetched": ("info", "keys, unusable"),
    "jwks_unavailable": ("warning", "reason, keys"),
    "authorizer_unavailable": ("warning", "reason"),
    "authorizer_available": ("info", "away_s"),
    "rooms_not_restored": ("info", "user, tenant, rooms"),
    "socket_connected": ("info", "sid, user, tenant, transport, remote, recovered"),
    "socket_refused": ("warning", "code, remote"),
    "socket_joined": ("info", "sid, user, tenant, room"),
    "socket_left": ("info", "sid, user, tenant, room"),
    "socket_denied": ("warning", "sid, user, tenant, event_name, code"),
    "socket_disconnected": ("info", "sid, user, tenant, reason"),
    "socket_evicted": ("info", "sid, user, tenant"),
    "session_in_doubt": ("warning", "sid, user, tenant"),
    "user_disconnected": ("info", "user, tenant, sockets"),
    "room_access_revoked": ("info", "user, tenant, room, sockets"),
    "connect_limited": ("warning", "limit, remote"),
    "body_refused": ("warning", "remote, header"),
    "api_refused": ("warning", "remote, path"),
    "api_unavailable": ("warning", "path, reason"),
    "http_handler_failed": ("error", "path, error"),
    "engine_bad_peer": ("warning", "sid, remote, code, reason"),
    # Without the sid: the session continues, and a sid in a log would be enough to POST to it.
    "engine_handler_failed": ("error", "remote, error"),
    "engine_closer_failed": ("error", "remote, error"),
    "engine_timer_failed": ("error", "error"),
    "handler_failed": ("error", "sid, event_name, error"),
    "redis_commands_lost": ("warning", ""),
    "redis_commands_back": ("info", ""),
    "redis_subscriber_lost": ("warning", "channels"),
    "redis_subscriber_back": ("info", "channels"),
    "redis_subscribe_refused": ("warning", "reason"),
    "redis_shards_changed": ("warning", "shards"),
    "redis_subscriber_deaf": ("error", "unheard_s"),
    "redis_resync_failed": ("warning", "reason"),
    "tenant_unreadable": ("warning", "tenant, reason"),
    "tenant_resynced": ("info", "tenant, rooms, events, holes"),
    "history_lost": ("error", "tenant, sockets"),
    "sessions_repaired": ("info", "tenant, sockets"),
    "lease_renewal_failed": ("warning", "reason"),
}

# Lines that any client, or a bug, can cause without end: a burst of each, then one line a second.
RARE = (
    *("files_exhausted", "session_in_doubt"),
    *("connect_limited", "socket_refused", "socket_denied", "engine_bad_peer"),
    *("body_refused", "peer_unreadable", "api_refused", "api_unavailable"),
    *("http_handler_failed", "engine_handler_failed", "engine_closer_failed", "handler_failed"),
)
# Lines that normal users cause: for each user a burst, then one in ten seconds; for all together ten a second.
USUAL = (
    *("socket_connected", "socket_disconnected", "socket_joined", "socket_left"),
    *("socket_evicted", "user_disconnected", "room_access_revoked", "rooms_not_restored"),
)

Format = Literal["auto", "json", "pretty"]


def printable(logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Escape control characters, so that a client's text can't control the terminal that shows it."""
    return {name: spelt(value) if isinstance(value, str) else value for name, value in line.items()}


def spelt(text: str) -> str:
    """Return a text with escapes, as in Python, for characters that are not printable."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def configure(level: str, fmt: Format, *extra: Any) -> None:
    """Set up logging for the process; `auto` is pretty on a terminal, else JSON.

    `extra` are further structlog processors.
    """
    pretty = fmt == "pretty" or (fmt == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        Sampler(RARE, USUAL),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *extra,
        *([printable] if pretty else []),
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(sort_keys=False)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Logs of libraries get the same format. aiohttp's tracebacks are dropped: any client can cause them.
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
