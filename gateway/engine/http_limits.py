"""HTTP connections that are bounded in time and size, also while they have not said anything yet.

aiohttp waits as long for the head of a request as it keeps an idle connection, and for an answer to be read it
waits for ever. Like `takeover`, this reaches into aiohttp 3.14, and a test compares what is used here with the
installed version. A connection costs nothing more than it did: aiohttp's own timer is given two meanings.
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

from gateway.engine import kernel, replies
from gateway.engine.errors import BAD_REQUEST, FAILED, HEADERS_TOO_LARGE, TOO_SLOW, Refusal
from gateway.engine.stats import EngineStats
from gateway.engine.takeover import on_disconnect

# What this module touches and aiohttp does not promise, besides what `takeover` does.
INTERNALS: Final = ("_close", "_next_keepalive_close_time", "_request_count", "_waiter")

MAX_HEADERS: Final = 128
# aiohttp would answer others as well, in their own words.
_VERSIONS: Final = (HttpVersion10, HttpVersion11)
# What is still on its way when a request is refused is read and dropped for this long: closing at once would
# reset the connection under the client's hands, and it would not see why.
_SEE_OFF_S: Final = 1.0
# How often to look whether an answer has been taken: nobody says so.
_FIRST_LOOK_S: Final = 0.005
_LAST_LOOK_S: Final = 0.5
# Of a body that nobody asked for.
_LINGER_S: Final = 2.0

# Connections that are looked at for one that may be closed.
_LOOKED_AT: Final = 100

_REFUSALS: Final = {408: TOO_SLOW, 431: HEADERS_TOO_LARGE, 500: FAILED, 504: FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of one connection.

    `request_timeout_s`: time for the head of a request: for the first one from when the connection was made,
    for another from its first byte on. Also the time in which something of an answer must be read.
    `idle_timeout_s`: how long a connection that has served a request may wait for the next.
    `max_header_bytes`: the size of a whole head, and so of its lines.
    `max_connections`: how many there may be, but for those that became websockets; 0 is any number.
    `stats`, `log`: as the engine's.
    """

    request_timeout_s: float
    idle_timeout_s: float
    max_header_bytes: int
    max_connections: int
    stats: EngineStats
    log: Callable[..., Any]


class LimitedRunner(web.AppRunner):
    """Runs an application on such connections; request bodies stay as they come, compressed ones too."""

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
    """aiohttp's server, with connections of ours."""

    def __init__(self, limits: HttpLimits, made: Server) -> None:
        super().__init__(
            made.request_handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs
        )
        self._limits = limits
        self.silent: dict[RequestHandler, None] = {}
        """Connections that have not asked anything yet."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take one more; where there are too many, one that waits for a request goes, or else this one."""
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
        """Forget one that has ended, or is a websocket by now."""
        super().connection_lost(handler, exc)
        self.silent.pop(handler, None)

    def _spare(self, newest: RequestHandler) -> RequestHandler:
        """Find a connection that serves nobody, first the oldest of those that never asked anything.

        Those that serve somebody are looked at last the next time.
        """
        oldest = next(iter(self.silent))
        if oldest is not newest:
            # It may take a moment to go.
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
    """One HTTP connection."""

    __slots__ = ("_head_bytes", "_head_due", "_limits", "_stalled")

    def __init__(self, limits: HttpLimits, manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._head_bytes = 0
        self._head_due = 0.0
        self._stalled: asyncio.TimerHandle | None = None

    # -- requests that do not come to an end

    def data_received(self, data: bytes) -> None:
        """Take bytes, and see whether they end the head of a request."""
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
        """Return whether nothing is handled, and nothing is there to be handled."""
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
        """Refuse a head that is too large although it came at once, or of another HTTP; none before it is."""
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
        """Answer in place of a request, take no more, and close."""
        error = _ErrInfo(refusal.status, BadHttpMessage(refusal.message), refusal.message)
        self._messages.append((error, EMPTY_PAYLOAD))
        if self.is_waiting and self._waiter is not None:
            self._waiter.set_result(None)
        self._close = True

    def _process_keepalive(self) -> None:
        """Do what aiohttp's timer does, for three times: of the first request, of another, and between them."""
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
                kernel.reset(self.transport)
            self.force_close()

    def _call_at(self, when: float) -> None:
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._keepalive_handle = self._loop.call_at(when, self._process_keepalive)

    # -- answers that nobody reads

    def pause_writing(self) -> None:
        """Unsent bytes pile up: watch whether they get fewer."""
        super().pause_writing()
        if self.transport is not None:
            self._watch(self.transport, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that the bytes were read."""
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer with the connection."""
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
            kernel.reset(transport)

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; where it is the last, wait until the client has taken it."""
        response, is_gone = await super().finish_response(request, resp, start_time)
        if not is_gone and (self._close or not response.keep_alive):
            await self._taken()
        return response, is_gone

    async def _taken(self) -> None:
        """Wait until nothing of note is on its way; a client that takes none of it for too long is reset."""
        step_s, left, due = _FIRST_LOOK_S, 0, 0.0
        while self.transport is not None and _is_untaken(self.transport):
            before, left = left, self.transport.get_write_buffer_size() + kernel.untaken_bytes(self.transport)
            if left < before or not before:
                due = self._loop.time() + self._limits.request_timeout_s
            elif self._loop.time() >= due:
                self._limits.stats.limited[TOO_SLOW.limit] += 1
                kernel.reset(self.transport)
                return
            await asyncio.sleep(step_s)
            step_s = min(2 * step_s, _LAST_LOOK_S)

    # -- requests that are no good

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in the engine's words, with what went wrong in a handler in the log, in one line."""
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
    return transport.get_write_buffer_size() + kernel.untaken_bytes(transport) > kernel.SMALL_BYTES


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
    """Return what an exception was and where it came from; not what it says, which may be what a client sent."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    place = f" in {frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _size(message: Any) -> int:
    """Return the size of a head, near enough."""
    return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
