"""The one place that reaches into aiohttp, above all to take a connection away from its RequestHandler.

aiohttp's own websocket keeps the request, its headers, a parser, a task and two queues alive for as long as
the socket lives (13 KiB). After :func:`take_over` the transport belongs to another protocol and aiohttp
forgets the connection. Written against aiohttp 3.14; a test compares the internals used here with the
installed version.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web_protocol import RequestHandler

# What this module touches and aiohttp does not promise.
HANDLER_INTERNALS: Final = (
    "_buffer_paused",
    "_force_close",
    "_keepalive_handle",
    "_lingering_time",
    "_manager",
    "_message_tail",
    "_messages",
    "_parser",
    "_paused",
    "_payload_parser",
    "_reading_paused",
    "_request_factory",
    "_request_handler",
    "_task_handler",
    "_upgraded",
    "transport",
)


class Taken(web.StreamResponse):
    """The response that a handler returns after `take_over`: it writes nothing."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> "AbstractStreamWriter | None":
        """Write no head: the connection is not aiohttp's any more."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write no body."""


def upgradable(request: web.Request) -> asyncio.Transport | None:
    """Return the transport if it can be taken over now: alive, quiet, and past an upgrade request."""
    handler: RequestHandler = request.protocol
    transport = handler.transport
    if transport is None or transport.is_closing():
        return None
    if not handler._upgraded or handler._messages or handler._payload_parser is not None or handler._paused:
        return None
    return transport


def take_over(request: web.Request, head: bytes, protocol: asyncio.Protocol) -> bytes:
    """Write `head`, give the transport to `protocol` and return the bytes that came behind the request.

    Call it with a request that :func:`upgradable` approved in the same turn of the loop, and return
    :class:`Taken` from the handler. `protocol.connection_made` is not called. aiohttp's task for the
    connection ends when the handler returns; nothing of the request stays behind.
    """
    handler: RequestHandler = request.protocol
    transport = handler.transport
    assert transport is not None
    tail = bytes(handler._message_tail)
    reading_paused = handler._buffer_paused or handler._reading_paused
    _detach(handler)
    transport.set_protocol(protocol)
    transport.write(head)
    if reading_paused:
        transport.resume_reading()
    return tail


def _detach(handler: "RequestHandler") -> None:
    """Let aiohttp forget the connection without closing it."""
    # The end of RequestHandler.start: with this set it leaves its loop, and leaves the transport alone.
    handler._force_close = True
    handler.transport = None
    handler._message_tail = b""
    # The parser and the handler refer to each other.
    handler._parser = None
    if handler._keepalive_handle is not None:
        handler._keepalive_handle.cancel()
        handler._keepalive_handle = None
    manager = handler._manager
    handler._task_handler = None
    if manager is not None:
        # With no task on record the server forgets the connection at once.
        manager.connection_lost(handler, None)
        handler._manager = None
    handler._request_factory = None
    handler._request_handler = None


@contextmanager
def on_disconnect(request: web.BaseRequest, callback: Callable[[], object]) -> Iterator[None]:
    """Call `callback` if the client goes away within this block.

    aiohttp tells a request by its `_cancel` method, which breaks the request's body; a GET has none, and
    cancelling handlers is a setting of the whole application.
    """

    def cancelled(error: BaseException) -> None:
        callback()

    # Past __setattr__, which warns in aiohttp's debug mode.
    request.__dict__["_cancel"] = cancelled
    try:
        yield
    finally:
        del request.__dict__["_cancel"]


def no_lingering(request: web.Request) -> None:
    """Have aiohttp close the connection, not wait, if the request's body is unread when the handler ends."""
    request.protocol._lingering_time = 0.0
