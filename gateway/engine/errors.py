"""The reasons for which a session ends, websocket close codes, and HTTP refusals."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class CloseReason(StrEnum):
    """The reason for which a session ended, for handlers and metrics.

    The first five are python-socketio's own. A caller of :meth:`EngineSocket.close` may pass any other text;
    metrics count it as ``other``, so that the set of labels stays bounded.
    """

    SERVER = "server disconnect"
    CLIENT = "client disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    PROTOCOL = "protocol error"
    SLOW = "slow"
    FLOOD = "too many messages"
    LATE = "not authenticated in time"
    SHUTDOWN = "server shutting down"


class CloseCode(IntEnum):
    """Websocket close codes (RFC 6455, section 7.4.1, and IANA's registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL = 1002
    BAD_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    RESTART = 1012
    TRY_LATER = 1013


class ProtocolViolation(ValueError):
    """The peer broke the protocol: its session is closed, and a websocket gets `code` in its close frame.

    Decoders and the upper layer's message handler raise it. `reason` is sent to the peer, so it names the fault
    and quotes no data.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error answer: its status, and its body ``{"code":…,"message":…}``.

    Codes 0 to 5 are those of the reference implementation; the others are ours. `limit` names the limit that the
    request exceeded, if any; it is part of the body, too.
    """

    status: int
    code: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    limit: str = ""


UNKNOWN_TRANSPORT = Refusal(400, 0, "Transport unknown")
UNKNOWN_SID = Refusal(400, 1, "Session ID unknown")
BAD_METHOD = Refusal(400, 2, "Bad handshake method")
BAD_REQUEST = Refusal(400, 3, "Bad request")
FORBIDDEN = Refusal(403, 4, "Forbidden")
UNSUPPORTED_VERSION = Refusal(400, 5, "Unsupported protocol version")
OVERLAP = Refusal(400, 3, "Only one request at a time")
NO_JSONP = Refusal(400, 3, "JSONP is not supported")
BAD_PAYLOAD = Refusal(400, 3, "Malformed payload")
BAD_WEBSOCKET_VERSION = Refusal(426, 3, "Unsupported websocket version", (("Sec-WebSocket-Version", "13"),))
TOO_LARGE = Refusal(413, 6, "Payload too large", limit="max_payload_bytes")
TOO_SLOW = Refusal(408, 7, "The request did not arrive in time", limit="request_timeout_s")
HEADERS_TOO_LARGE = Refusal(431, 9, "Request line or headers too large", limit="max_header_bytes")
BODY_NOT_ALLOWED = Refusal(400, 3, "A body is not allowed here")
ENCODED = Refusal(415, 10, "Compressed request bodies are not supported")
FAILED = Refusal(500, 11, "Something went wrong here")


def unavailable(reason: str, retry_after_s: int, limit: str = "") -> Refusal:
    """Return a 503 for a new session, with a `reason` and Retry-After in seconds."""
    return Refusal(503, 8, reason, (("Retry-After", str(retry_after_s)),), limit)
