"""The first request of a session: what it must be, what is kept of it, what it is told. Pure."""

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.engine.errors import BAD_REQUEST, BAD_WEBSOCKET_VERSION, Refusal
from gateway.engine.options import EngineOptions

VOUCHED: Final = "X-Gateway-Authenticated"
"""Says in a 101 that the session's client has authenticated: to another process that passes the websocket on."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def wants_websocket(request: web.Request) -> bool:
    """Return whether the request asks to become a websocket."""
    headers = request.headers
    return (
        headers.get("Upgrade", "").strip().lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
    )


def unlawful_body(request: web.Request) -> str:
    """Return the header by which a request announces a body that it may not have; empty if there is none.

    Only a POST that stays HTTP may have one. Elsewhere two readers of one connection (a proxy, another process)
    may disagree on where the request ends, and take the next one, which is somebody else's, for the body.
    """
    if request.method == "POST" and not wants_websocket(request):
        return ""
    if "Transfer-Encoding" in request.headers:
        return "Transfer-Encoding"
    lengths = request.headers.getall("Content-Length", ())
    return "Content-Length" if any(length.strip() != "0" for length in lengths) else ""


def accept_key(request: web.Request) -> str | Refusal:
    """Return the Sec-WebSocket-Accept for a websocket request (RFC 6455, section 4.2)."""
    if request.headers.get("Sec-WebSocket-Version") != "13":
        return BAD_WEBSOCKET_VERSION
    key = request.headers.get("Sec-WebSocket-Key", "")
    try:
        if len(a2b_base64(key, strict_mode=True)) != 16:
            return BAD_REQUEST
    except (Base64Error, ValueError):
        return BAD_REQUEST
    return b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def switching_protocols(key: str, extension: str | None, *, vouched: bool = False) -> bytes:
    """Return the head of the 101 response."""
    extensions = "" if extension is None else f"Sec-WebSocket-Extensions: {extension}\r\n"
    if vouched:
        extensions += f"{VOUCHED}: 1\r\n"
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {key}\r\n{extensions}\r\n"
    ).encode()


def open_packet(sid: str, upgrades: list[str], options: EngineOptions) -> bytes:
    """Return the packet that tells the client its session; times in whole milliseconds."""
    facts = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(options.ping_interval_s * 1000),
        "pingTimeout": round(options.ping_timeout_s * 1000),
        "maxPayload": options.max_payload_bytes,
    }
    return b"0" + msgspec.json.encode(facts)


@lru_cache(maxsize=256)
def _environ_key(name: str) -> str | None:
    if "_" in name:
        # "X_Forwarded_For" would pass for the "X-Forwarded-For" that a proxy guards.
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def environ(request: web.Request, remote: str) -> dict[str, Any]:
    """Return the WSGI-like facts of a handshake.

    Of a header sent twice both values, with a comma; of one with an underscore in its name nothing.
    """
    facts: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "REMOTE_ADDR": remote,
        "SERVER_PROTOCOL": f"HTTP/{request.version.major}.{request.version.minor}",
    }
    for name, value in request.headers.items():
        key = _environ_key(name)
        if key is not None:
            facts[key] = f"{facts[key]},{value}" if key in facts else value
    return facts
