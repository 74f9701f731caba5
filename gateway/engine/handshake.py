"""The first request of a session: checks, the facts kept of it, and the answer. Pure."""

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
"""Header of a 101 answer: the session's client is authenticated. For the process that tunnels the websocket."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def wants_websocket(request: web.Request) -> bool:
    """Return whether the request asks for an upgrade to a websocket."""
    headers = request.headers
    return (
        headers.get("Upgrade", "").strip().lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
    )


def unlawful_body(request: web.Request) -> str:
    """Return the name of the header that announces a forbidden body; empty without one.

    Only a POST without an upgrade may have a body. For other requests a proxy and this server may disagree on the
    end of the request, and then take the next request, of another client, for the body (request smuggling).
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
    """Return the head of the 101 answer; `key` is the Sec-WebSocket-Accept."""
    extensions = "" if extension is None else f"Sec-WebSocket-Extensions: {extension}\r\n"
    if vouched:
        extensions += f"{VOUCHED}: 1\r\n"
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {key}\r\n{extensions}\r\n"
    ).encode()


def open_packet(sid: str, upgrades: list[str], options: EngineOptions) -> bytes:
    """Return the Engine.IO open packet; its times are whole milliseconds."""
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
        # "X_Forwarded_For" would look like "X-Forwarded-For", which only a proxy may set.
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def environ(request: web.Request, remote: str) -> dict[str, Any]:
    """Return a WSGI-like environ; repeated headers are joined by commas, names with an underscore left out."""
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
