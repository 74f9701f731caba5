"""Use of aiohttp's internals, above all to take a connection over from its RequestHandler.

aiohttp's own websocket keeps the request, its headers, a parser, a task and two queues as long as the socket lives
(13 KiB). After :func:`take_over` the transport belongs to another protocol, and aiohttp forgets the connection.
Written for aiohttp 3.14; a test compares the internals used here with the installed version.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web_protocol import RequestHandler

# Private attributes of aiohttp that this module uses.
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
    """The response that a handler returns after `take_over`; it writes nothing."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> "AbstractStreamWriter | None":
        """Write no head: the connection no longer belongs to aiohttp."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: the websocket has the connection now, and no HTTP body is to follow."""


def upgradable(request: web.Request) -> asyncio.Transport | None:
    """Return the transport if it can be taken over now: open, idle, and after an upgrade request. Else None."""
    handler: RequestHandler = request.protocol
    transport = handler.transport
    if transport is None or transport.is_closing():
        return None
    if not handler._upgraded or handler._messages or handler._payload_parser is not None or handler._paused:
        return None
    return transport


def take_over(request: web.Request, head: bytes, protocol: asyncio.Protocol) -> bytes:
    """Write `head`, move the transport to `protocol`, and return the bytes that followed the request.

    :func:`upgradable` must have approved the request in the same turn of the loop. The handler must return
    :class:`Taken`. `protocol.connection_made` is not called. aiohttp's task for the connection ends when the
    handler returns, and the request is freed.
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
    """Make aiohttp forget the connection without closing it."""
    # With this, and without a transport, RequestHandler.start ends its loop and closes nothing.
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
        # Without a task the server forgets the connection at once.
        manager.connection_lost(handler, None)
        handler._manager = None
    handler._request_factory = None
    handler._request_handler = None


@contextmanager
def on_disconnect(request: web.BaseRequest, callback: Callable[[], object]) -> Iterator[None]:
    """Call `callback` if the client disconnects within this block.

    aiohttp calls a request's `_cancel` method on disconnect, which only breaks its body; we replace that method.
    The alternative, to cancel the handler, is a setting of the whole application.
    """

    def cancelled(error: BaseException) -> None:
        callback()

    # Not by __setattr__, which warns in aiohttp's debug mode.
    request.__dict__["_cancel"] = cancelled
    try:
        yield
    finally:
        del request.__dict__["_cancel"]


def no_lingering(request: web.Request) -> None:
    """Make aiohttp close the connection at once, without waiting, if the body is unread when the handler ends."""
    request.protocol._lingering_time = 0.0
