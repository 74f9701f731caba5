"""The body of a request: read whole, or seen off."""

import asyncio

from aiohttp import web

from gateway.engine.errors import BAD_REQUEST, ENCODED, TOO_LARGE, TOO_SLOW, Refusal
from gateway.engine.takeover import no_lingering


async def read_body(request: web.Request, max_bytes: int, timeout_s: float) -> bytes | Refusal:
    """Return the body once its end has come.

    One that is announced or turns out larger than `max_bytes` is refused with 413, one that takes longer than
    `timeout_s` with 408, one that is compressed (a few bytes may be a gigabyte) with 415, one that breaks off with
    400 (which nobody reads).
    """
    if "Content-Encoding" in request.headers:
        return ENCODED
    if request.content_length is not None and request.content_length > max_bytes:
        return TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            # A read returns what has arrived: one segment, not the body.
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
    """Take an error's frames from it.

    The request keeps the error, the error its frames, and these the request: what has come of the body would be
    held until the garbage collector comes by, which goes by numbers of objects, and a megabyte is one.
    """
    error.__traceback__ = None


async def see_off(request: web.Request, response: web.Response, timeout_s: float) -> None:
    """Answer before the body has come, then drop what still comes of it for up to `timeout_s`.

    Closing at once would reset the connection under the client's hands, and it would not see the answer. Left
    to aiohttp the rest would be waited for, for 10 s, also when the client has gone.
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
