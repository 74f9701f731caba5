"""The body of a request: read it whole, or answer without it."""

import asyncio

from aiohttp import web

from gateway.engine.errors import BAD_REQUEST, ENCODED, TOO_LARGE, TOO_SLOW, Refusal
from gateway.engine.takeover import no_lingering


async def read_body(request: web.Request, max_bytes: int, timeout_s: float) -> bytes | Refusal:
    """Return the whole body, or a refusal.

    Above `max_bytes`, announced or received, it is 413; after `timeout_s` 408. A compressed body is 415, because a
    few bytes may unpack to a gigabyte. If the client breaks off it is 400, which nobody reads.
    """
    if "Content-Encoding" in request.headers:
        return ENCODED
    if request.content_length is not None and request.content_length > max_bytes:
        return TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            # A single read would return one segment, not the body.
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    return TOO_LARGE
    except TimeoutError:
        return TOO_SLOW
    except (ConnectionError, web.RequestPayloadError) as error:
        _let_go(error)
        return BAD_REQUEST
    return bytes(body)


def _let_go(error: BaseException) -> None:
    """Remove the traceback of an error.

    The request refers to the error, the error to its frames, and the frames to the request. The garbage collector
    would free this cycle late, because it counts objects, not bytes; a part of the body may be a megabyte.
    """
    error.__traceback__ = None


async def see_off(request: web.Request, response: web.Response, timeout_s: float) -> None:
    """Answer before the body has arrived, then read and drop its rest for up to `timeout_s`.

    If we closed at once, the connection would be reset and the client might not see the answer. aiohttp would wait
    for the rest longer than that, even if the client has gone.
    """
    no_lingering(request)
    try:
        await response.prepare(request)
        await response.write_eof()
        async with asyncio.timeout(timeout_s):
            async for _ in request.content.iter_any():
                pass
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        _let_go(error)
