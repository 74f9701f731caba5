"""HTTP answers: payloads and refusals."""

import gzip
from typing import Final

import msgspec
from aiohttp import web

from gateway.engine.errors import Refusal
from gateway.engine.origins import cors_headers

# The Server header hides the versions of our software.
SERVER: Final = "gateway"
_TEXT: Final = "text/plain; charset=UTF-8"
_GZIP_FROM_BYTES: Final = 1024


def payload(request: web.Request, body: bytes, *, compress: bool) -> web.Response:
    """Return the answer to a poll; `compress` allows gzip above 1 KiB."""
    headers = [*cors_headers(request), ("Content-Type", _TEXT), ("Cache-Control", "no-store")]
    if compress and len(body) >= _GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, compresslevel=6, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    return web.Response(body=body, headers=headers)


def ok(request: web.Request) -> web.Response:
    """Return the answer to a POST; text/html, because some browsers offer text/plain as a download."""
    headers = [*cors_headers(request), ("Content-Type", "text/html"), ("Cache-Control", "no-store")]
    return web.Response(body=b"ok", headers=headers)


def refuse(request: web.BaseRequest, refusal: Refusal, *, cors: bool = True) -> web.Response:
    """Return the HTTP answer for a refusal."""
    headers = [
        *(cors_headers(request) if cors else ()),
        *refusal.headers,
        ("Content-Type", "application/json"),
    ]
    return web.Response(status=refusal.status, body=refusal_body(refusal), headers=headers)


def refusal_body(refusal: Refusal) -> bytes:
    """Return the JSON body of the HTTP answer for a refusal."""
    limit = {"limit": refusal.limit} if refusal.limit else {}
    return msgspec.json.encode({"code": refusal.code, "message": refusal.message} | limit)
