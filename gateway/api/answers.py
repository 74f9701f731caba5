"""Answers of the API and the console: JSON, and a refusal for every error."""

from __future__ import annotations

import msgspec
import structlog
from aiohttp import web

from gateway.errors import Refused
from gateway.redis.connection import RedisUnavailable, ReplyError
from publisher import InvalidEvent

RETRY_AFTER_S = 1

STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "bad_method": 405,
    "too_slow": 408,
    "too_large": 413,
    "bad_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}

_log = structlog.get_logger("gateway.api")


def answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer that must not be cached."""
    usual = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=body, headers=usual | (headers or {}))


def refusal(request: web.Request, error: Exception) -> web.Response:
    """Return the answer to a request that failed with this error; log an unexpected error."""
    refused, headers = _as_refused(request, error), {}
    status = STATUS[refused.code]
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    return answer(status, msgspec.json.encode(refused.as_error()), headers)


def _as_refused(request: web.Request, error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case InvalidEvent():
            return Refused("bad_request", str(error))
        case web.HTTPNotFound():
            return Refused("not_found")
        case web.HTTPMethodNotAllowed():
            return Refused("bad_method")
        case RedisUnavailable() | ReplyError() | TimeoutError():
            reason = str(error)[:200] or "no answer in time"
            _log.warning("api_unavailable", path=request.path[:64], reason=reason)
            return Refused("unavailable")
        case _:
            _log.error("http_handler_failed", path=request.path[:64], error=repr(error)[:200])
            return Refused("internal")
