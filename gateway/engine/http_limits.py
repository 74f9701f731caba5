"""HTTP connections with limits of time and size, also before their first request.

aiohttp has one timeout for idle connections and for the head of a request, and no timeout for a client that does
not read its answer. Like `takeover`, this module uses internals of aiohttp 3.14; a test compares them with the
installed version. A connection needs no additional timer: aiohttp's own keep-alive timer serves all deadlines.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from gateway.engine import replies, send_buffer
from gateway.engine.errors import BAD_REQUEST, FAILED, HEADERS_TOO_LARGE, TOO_SLOW, Refusal
from gateway.engine.stats import EngineStats
from gateway.engine.takeover import on_disconnect

# Private attributes of aiohttp that this module uses, besides those in `takeover`.
INTERNALS: Final = ("_close", "_next_keepalive_close_time", "_request_count", "_waiter")

MAX_HEADERS: Final = 128
# aiohttp would accept other versions as well.
_VERSIONS: Final = (HttpVersion10, HttpVersion11)
# After a refusal we read and drop input for this long. If we closed at once, the connection would be reset, and
# the client might not see the answer.
_SEE_OFF_S: Final = 1.0
# Intervals of polling the kernel for unread bytes of an answer: there is no notification. They double.
_FIRST_LOOK_S: Final = 0.005
_LAST_LOOK_S: Final = 0.5
# Longest time to read the rest of a body that no handler has read.
_LINGER_S: Final = 2.0

# Most connections to examine in a search for an idle one.
_LOOKED_AT: Final = 100

_REFUSALS: Final = {408: TOO_SLOW, 431: HEADERS_TOO_LARGE, 500: FAILED, 504: FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of one connection.

    `request_timeout_s`: time for the head of a request, from the start of the connection, or from the first byte
    of a later request. Also the time in which the client must read some of an answer.
    `idle_timeout_s`: time that a connection may wait for its next request.
    `max_header_bytes`: size of the head of a request.
    `max_connections`: number of connections, without websockets; 0 is no limit.
    `stats`, `log`: those of the engine.
    """

    request_timeout_s: float
    idle_timeout_s: float
    max_header_bytes: int
    max_connections: int
    stats: EngineStats
    log: Callable[..., Any]


class LimitedRunner(web.AppRunner):
    """Runs an application on limited connections; does not decompress request bodies."""

    def __init__(self, app: web.Application, limits: HttpLimits, **options: Any) -> None:
        super().__init__(
            app,
            keepalive_timeout=limits.request_timeout_s,
            lingering_time=_LINGER_S,
            max_line_size=limits.max_header_bytes,
            max_field_size=limits.max_header_bytes,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
            **options,
        )
        self._limits = limits

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        return _Connections(self._limits, made)


class _Connections(Server):
    """aiohttp's server with `Connection` as its connection class."""

    def __init__(self, limits: HttpLimits, made: Server) -> None:
        super().__init__(
            made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs
        )
        self._limits = limits
        self.silent: dict[RequestHandler, None] = {}
        """Connections without a request so far, oldest first."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Add a connection; above `max_connections` close a spare one."""
        super().connection_made(handler, transport)
        self.silent[handler] = None
        most = self._limits.max_connections
        if not most or len(self._connections) <= most:
            return
        self._limits.stats.limited["max_http_connections"] += 1
        remote = str((transport.get_extra_info("peername") or ("",))[0])
        self._limits.log("connect_limited", limit="max_http_connections", remote=remote)
        self._spare(handler).force_close()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Remove a connection that has ended or became a websocket."""
        super().connection_lost(handler, exc)
        self.silent.pop(handler, None)

    def _spare(self, newest: RequestHandler) -> RequestHandler:
        """Return a connection to close: the oldest without any request, else an idle one, else the newest.

        Busy connections move to the end of the table, so that the next search examines others first.
        """
        oldest = next(iter(self.silent))
        if oldest is not newest:
            # Its connection_lost comes later; it must not be chosen twice.
            del self.silent[oldest]
            return oldest
        for other in [*islice(self._connections, _LOOKED_AT)]:
            if isinstance(other, Connection) and other.is_waiting:
                return other
            self._connections[other] = self._connections.pop(other)
        return newest

    def __call__(self) -> RequestHandler:
        return Connection(self._limits, self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """One HTTP connection, with limits for its headers, for slow requests, and for answers that are not read."""

    __slots__ = ("_head_bytes", "_head_due", "_limits", "_stalled")

    def __init__(self, limits: HttpLimits, manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._head_bytes = 0
        self._head_due = 0.0
        self._stalled: asyncio.TimerHandle | None = None

    # -- requests that stay incomplete

    def data_received(self, data: bytes) -> None:
        """Pass bytes to aiohttp, then check the size and the deadline of the head."""
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            if not count and isinstance(self._manager, _Connections):
                self._manager.silent.pop(self, None)
            self._check_heads(are_large=self._head_bytes + len(data) > self._limits.max_header_bytes)
            self._head_bytes = 0
        elif self.is_waiting and not self._upgraded:
            self._expect_more(len(data))

    @property
    def is_waiting(self) -> bool:
        """Return whether the connection is idle: no request is handled or queued."""
        return self._waiter is not None and not self._waiter.done()

    def _expect_more(self, size: int) -> None:
        if not self._head_bytes:
            self._head_due = self._next_keepalive_close_time
            if self._request_count:
                self._head_due = self._loop.time() + self._limits.request_timeout_s
                self._call_at(self._head_due)
        self._head_bytes += size
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse(HEADERS_TOO_LARGE)

    def _check_heads(self, *, are_large: bool) -> None:
        """Refuse the first queued request with a bad HTTP version or a large head, and drop all behind it."""
        for number, (message, _) in enumerate(self._messages):
            if isinstance(message, _ErrInfo):
                continue
            if message.version not in _VERSIONS:
                refusal = BAD_REQUEST
            elif are_large and _size(message) > self._limits.max_header_bytes:
                refusal = HEADERS_TOO_LARGE
            else:
                continue
            while len(self._messages) > number:
                self._messages.pop()
            self._refuse(refusal)
            return

    def _refuse(self, refusal: Refusal) -> None:
        """Queue an error answer in place of a request, and close after it."""
        error = _ErrInfo(refusal.status, BadHttpMessage(refusal.message), refusal.message)
        self._messages.append((error, EMPTY_PAYLOAD))
        if self.is_waiting and self._waiter is not None:
            self._waiter.set_result(None)
        self._close = True

    def _process_keepalive(self) -> None:
        """Check the deadlines of the first head, of later heads, and of an idle connection; replaces aiohttp's."""
        self._keepalive_handle = None
        if self._force_close or not self.is_waiting:
            return
        due = self._next_keepalive_close_time
        if self._head_bytes:
            due = self._head_due
        elif self._request_count:
            due += self._limits.idle_timeout_s - self._limits.request_timeout_s
        if self._loop.time() < due:
            self._call_at(due)
        elif self._head_bytes:
            self._refuse(TOO_SLOW)
        else:
            if not self._request_count:
                self._limits.stats.limited[TOO_SLOW.limit] += 1
            if self.transport is not None and _is_untaken(self.transport):
                send_buffer.reset(self.transport)
            self.force_close()

    def _call_at(self, when: float) -> None:
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._keepalive_handle = self._loop.call_at(when, self._process_keepalive)

    # -- answers that the client does not read

    def pause_writing(self) -> None:
        """Start a timer: the unsent bytes must decrease before it ends."""
        super().pause_writing()
        if self.transport is not None:
            self._watch(self.transport, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop the timer of a client that does not read: the bytes were sent."""
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the timer of a client that does not read: the connection has ended."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self, transport: asyncio.Transport, before: int) -> None:
        self._stalled = self._loop.call_later(self._limits.request_timeout_s, self._judge, transport, before)

    def _judge(self, transport: asyncio.Transport, before: int) -> None:
        left = transport.get_write_buffer_size()
        if left < before:
            self._watch(transport, left)
        else:
            self._limits.stats.limited[TOO_SLOW.limit] += 1
            send_buffer.reset(transport)

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; if the connection is to be closed, wait until the client has read it.

        Otherwise an early refusal is lost: what the client still sends makes the kernel reset the connection.
        A client that reads nothing for `request_timeout_s` is reset.
        """
        response, is_gone = await super().finish_response(request, resp, start_time)
        if not is_gone and (self._close or not response.keep_alive):
            await self._taken()
        return response, is_gone

    async def _taken(self) -> None:
        """Wait until the client has acknowledged nearly all bytes; reset it if it makes no progress."""
        step_s, left, due = _FIRST_LOOK_S, 0, 0.0
        while self.transport is not None and _is_untaken(self.transport):
            before, left = left, self.transport.get_write_buffer_size() + send_buffer.untaken_bytes(self.transport)
            if left < before or not before:
                due = self._loop.time() + self._limits.request_timeout_s
            elif self._loop.time() >= due:
                self._limits.stats.limited[TOO_SLOW.limit] += 1
                send_buffer.reset(self.transport)
                return
            await asyncio.sleep(step_s)
            step_s = min(2 * step_s, _LAST_LOOK_S)

    # -- invalid requests

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return an error answer in the engine's format; log an exception of a handler in one line."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        refusal = HEADERS_TOO_LARGE if _is_too_large(exc) else _REFUSALS.get(status, BAD_REQUEST)
        if refusal is FAILED:
            self._limits.log("http_handler_failed", path=request.path[:64], error=_described(exc))
        self._limits.stats.count_refusal(refusal)
        response = replies.refuse(request, refusal, cors=False)
        response.headers["Server"] = replies.SERVER
        response.force_close()
        return response

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        answer = super()._make_error_handler(err_info)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = await answer(request)
            if response.status == HEADERS_TOO_LARGE.status:
                self._close = True
                await _see_off(request, response)
            return response

        return handler


def _is_untaken(transport: asyncio.Transport) -> bool:
    return transport.get_write_buffer_size() + send_buffer.untaken_bytes(transport) > send_buffer.SMALL_BYTES


async def _see_off(request: web.BaseRequest, response: web.StreamResponse) -> None:
    gone = asyncio.Event()
    with on_disconnect(request, gone.set):
        await response.prepare(request)
        await response.write_eof()
        try:
            async with asyncio.timeout(_SEE_OFF_S):
                await gone.wait()
        except TimeoutError:
            pass


def _is_too_large(error: BaseException | None) -> bool:
    return isinstance(error, LineTooLong) or "Too many headers" in str(error)


def _described(error: BaseException | None) -> str:
    """Return the type and place of an exception. Its text may quote a client's data, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    place = f" in {frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _size(message: Any) -> int:
    """Return the approximate size of a head in bytes."""
    return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
