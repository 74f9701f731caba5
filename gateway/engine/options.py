"""The settings of the engine, and the hooks for the upper layer."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from gateway.engine.deflate import Compression
from gateway.engine.errors import Refusal

_logger = logging.getLogger("gateway.engine")


def _no_foreign_origin(origin: str | None) -> bool:
    return origin is None


def _admit_all(remote: str) -> Refusal | None:
    return None


async def _nowhere(request: web.Request, sid: str) -> None:
    return None


def _remote(request: web.Request) -> str:
    return request.remote or ""


def _log(event: str, **fields: object) -> None:
    _logger.warning("%s %s", event, " ".join(f"{key}={value}" for key, value in fields.items()))


_POSITIVE: Final = (
    *("ping_interval_s", "ping_timeout_s", "upgrade_timeout_s", "close_timeout_s", "body_timeout_s"),
    *("max_payload_bytes", "max_buffer_bytes", "max_poll_packets", "inbox_messages", "inbox_bytes"),
    "messages_burst",
)

Elsewhere = Callable[[web.Request, str], Awaitable["web.StreamResponse | Refusal | None"]]
# The first argument is an `EngineSocket`, which is above this module.
Hook = Callable[..., Awaitable[object] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The options of one server; names end in their unit. The defaults are suitable for production.

    `ping_interval_s`, `ping_timeout_s`: time between two pings; time for a pong, or the session is closed.
    `max_payload_bytes`: limit of a client's message or POST body (its `maxPayload`), and of a long-polling answer.
    `max_stranger_bytes`: the same for a session before `vouch`; None for no difference.
    `max_buffer_bytes`, `max_poll_packets`: limits of unsent data; a socket above them is cut as slow.
    `inbox_messages`, `inbox_bytes`: limits of unhandled messages; above them we stop reading.
    `upgrade_timeout_s`: time for an upgrade from long-polling to a websocket.
    `close_timeout_s`: time for the answer to a websocket's close frame, and time that the last packets of a closed
    long-polling session wait for a poll.
    `body_timeout_s`: time for the body of a POST.
    `messages_per_s`, `messages_burst`: rate limit of a session; pings and pongs count, large messages count
    several times. Above the burst the session is `over`, above twice the burst it is closed. 0 is no limit.
    `http_compression`: gzip long-polling answers above 1 KiB for clients that accept it.
    `compression`: permessage-deflate for websockets; None never negotiates it.

    `allow_origin(origin)`: called for every request; False refuses it with 403. None means no Origin header.
    `admit(remote)`: called before a new session; returns a :func:`unavailable` to refuse it, else None.
    `remote(request)`: returns the client's address.
    `name`: the prefix of all session ids.
    `elsewhere(request, sid)`: called for an unknown session; returns the answer, or None if no process has it.
    `log(event, **fields)`: called at most once for each offending socket, never with a payload.
    `opener(socket)`, `receiver(socket, data)`, `closer(socket, reason)`: see :class:`EngineServer`.
    """

    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    max_payload_bytes: int = 1_000_000
    max_stranger_bytes: int | None = None
    max_buffer_bytes: int = 1 << 20
    max_poll_packets: int = 4096
    inbox_messages: int = 64
    inbox_bytes: int = 1_000_000
    upgrade_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    body_timeout_s: float = 20.0
    messages_per_s: float = 0.0
    messages_burst: int = 500
    retry_after_s: int = 5
    allow_polling: bool = True
    allow_upgrades: bool = True
    http_compression: bool = False
    compression: Compression | None = None
    allow_origin: Callable[[str | None], bool] = _no_foreign_origin
    admit: Callable[[str], Refusal | None] = _admit_all
    remote: Callable[[web.Request], str] = _remote
    name: str = ""
    elsewhere: Elsewhere = _nowhere
    log: Callable[..., Any] = _log
    opener: Hook | None = None
    receiver: Hook | None = None
    closer: Hook | None = None

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")

    @property
    def tick_s(self) -> float:
        """Return the precision of deadlines: 2 % of the shorter heartbeat time, between 2 and 100 ms."""
        return min(max(min(self.ping_interval_s, self.ping_timeout_s) / 50, 0.002), 0.1)
