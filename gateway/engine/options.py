"""The engine's settings and the hooks by which the upper layer joins in."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.engine.deflate import Compression
from gateway.engine.errors import Refusal

if TYPE_CHECKING:
    from gateway.engine.socket import EngineSocket

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
Receiver = Callable[["EngineSocket", "str | bytes"], "Awaitable[object] | None"]
Closer = Callable[["EngineSocket", str], "Awaitable[object] | None"]
Opener = Callable[["EngineSocket"], "Awaitable[object] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The options of one server. Seconds and bytes, as the names say; the defaults are fit for production.

    `ping_interval_s`, `ping_timeout_s`: a ping goes out this long after the last; a session without its pong
    in time is closed. Fractions work.
    `max_payload_bytes`: the largest message or POST body of a client; told to it as `maxPayload`, and kept to
    in our own long-polling answers.
    `max_stranger_bytes`: the same for a session that the upper layer has not vouched for; None for no difference.
    `max_buffer_bytes`, `max_poll_packets`: unsent beyond this, a socket is cut as slow.
    `inbox_messages`, `inbox_bytes`: received and not yet handled beyond this, we stop reading.
    `upgrade_timeout_s`: how long a websocket may take to complete an upgrade from long-polling.
    `close_timeout_s`: how long a closed websocket may take to answer before it is aborted, and how long the
    last packets of a closed long-polling session wait for its next poll.
    `body_timeout_s`: how long the body of a POST may take.
    `messages_per_s`, `messages_burst`: what a session may send, pings and pongs counted, large messages several
    times; beyond the burst the session is `over`, beyond twice the burst it is closed. 0 a second is no limit.
    `http_compression`: gzip long-polling answers above 1 KiB for clients that accept it.
    `compression`: permessage-deflate for websockets; None never negotiates it.

    `allow_origin(origin)`: asked for every request; False answers 403. None stands for no Origin header.
    `admit(remote)`: asked before a session is made; may refuse it, with what :func:`unavailable` gives.
    `remote(request)`: the client's address.
    `name`: what the ids of all sessions begin with.
    `elsewhere(request, sid)`: asked about a session that is not here; its answer is given, None says that there is
    no such session.
    `log(event, **fields)`: at most one line for each offending socket, never a payload.
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
    opener: Opener | None = None
    receiver: Receiver | None = None
    closer: Closer | None = None

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")

    @property
    def tick_s(self) -> float:
        """Return the precision of deadlines: 2 % of the shorter heartbeat time, between 2 and 100 ms."""
        return min(max(min(self.ping_interval_s, self.ping_timeout_s) / 50, 0.002), 0.1)
