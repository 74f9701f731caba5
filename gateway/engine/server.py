"""The Engine.IO server: routes requests, opens and ends sessions."""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from aiohttp import web

from gateway.engine import handshake, origins, replies
from gateway.engine.body import see_off
from gateway.engine.compat import Compat
from gateway.engine.context import EngineContext
from gateway.engine.control_frames import ControlFrame
from gateway.engine.deflate import negotiate
from gateway.engine.drain import batches
from gateway.engine.errors import (
    BAD_METHOD,
    BAD_REQUEST,
    BODY_NOT_ALLOWED,
    FORBIDDEN,
    NO_JSONP,
    UNKNOWN_SID,
    UNKNOWN_TRANSPORT,
    UNSUPPORTED_VERSION,
    CloseCode,
    CloseReason,
    Refusal,
    unavailable,
)
from gateway.engine.options import EngineOptions
from gateway.engine.polling import Polling
from gateway.engine.socket import EngineSocket
from gateway.engine.stats import EngineStats
from gateway.engine.takeover import Taken, take_over, upgradable
from gateway.engine.timers import Call
from gateway.engine.upgrade import Upgrade
from gateway.engine.websocket import WebSocket

_DRAIN_STEP_S: Final = 0.05
_SHUTDOWN_STEP_S: Final = 0.01


class EngineServer(Compat):
    """An Engine.IO v4 server on aiohttp, in the shape that python-socketio's AsyncServer expects.

    python-socketio passes its own keyword arguments, which are ignored; `options` is ours.

    The upper layer registers python-socketio's handlers (`on`), which get sids. Hooks of :class:`EngineOptions`
    get the :class:`EngineSocket` and are cheaper. A hook returns None when its work is done, or an awaitable if it
    has to wait. `opener(socket)` runs before the session is announced to the client; it refuses the session by an
    awaitable with the result False. `receiver(socket, data)` gets the messages of one socket one after the other.
    `closer(socket, reason)` gets the end of every session that `opener` got.
    """

    def __init__(
        self,
        options: EngineOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        **upstream: Any,
    ) -> None:
        self.options = options or EngineOptions()
        super().__init__(
            EngineContext(
                self.options,
                clock,
                self.options.receiver or self._call_message,
                self.options.closer or self._call_disconnect,
            )
        )
        self._opener = self.options.opener or self._call_connect
        self._draining = False

    @property
    def stats(self) -> EngineStats:
        """The counters of the engine, since the start of the process."""
        return self._context.stats

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Call:
        """Call `callback` after `delay_s` seconds; cheaper than a timer of the loop, and up to a tick late."""
        return self._context.timers.call_later(delay_s, callback)

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Serve one HTTP request: open a session, or continue one."""
        allowed = origins.is_allowed(request, self.options.allow_origin)
        body = handshake.unlawful_body(request)
        outcome: web.StreamResponse | Refusal
        if body:
            self.options.log("body_refused", remote=self.options.remote(request), header=body)
            outcome = BODY_NOT_ALLOWED
        elif not allowed:
            outcome = FORBIDDEN
        elif request.method == "OPTIONS":
            return origins.preflight(request)
        else:
            outcome = await self._route(request)
        if not isinstance(outcome, Refusal):
            return outcome
        self.stats.count_refusal(outcome)
        response = replies.refuse(request, outcome, cors=allowed)
        if body or handshake.wants_websocket(request):
            # The bytes that follow are no HTTP request.
            response.force_close()
        if not request.content.is_eof():
            await see_off(request, response, self.options.close_timeout_s)
        return response

    # -- routing

    async def _route(self, request: web.Request) -> web.StreamResponse | Refusal:
        query = request.query
        transport = query.get("transport")
        if transport not in ("polling", "websocket"):
            return UNKNOWN_TRANSPORT
        if query.get("EIO") != "4":
            return UNSUPPORTED_VERSION
        if "j" in query:
            return NO_JSONP
        websocket = handshake.wants_websocket(request)
        if websocket is not (transport == "websocket"):
            return BAD_REQUEST
        sid = query.get("sid")
        if sid is None:
            return await self._open(request, websocket=websocket)
        if websocket:
            return await self._try_upgrade(request, sid)
        return await self._carry_on(request, sid)

    # -- opening

    async def _open(self, request: web.Request, *, websocket: bool) -> web.StreamResponse | Refusal:
        if request.method != "GET":
            return BAD_METHOD
        if not websocket and not self.options.allow_polling:
            return UNKNOWN_TRANSPORT
        remote = self.options.remote(request)
        refused = self._draining_refusal() if self._draining else self.options.admit(remote)
        if refused is not None:
            return refused
        key = handshake.accept_key(request) if websocket else ""
        if isinstance(key, Refusal):
            return key
        socket = EngineSocket(self._context, self.generate_id(), handshake.environ(request, remote))
        refusal = await self._start(socket)
        if refusal is not None:
            return refusal
        if websocket:
            return self._open_websocket(request, socket, key)
        return self._open_polling(request, socket)

    async def _start(self, socket: EngineSocket) -> Refusal | None:
        """Begin the session; return a refusal if the upper layer refuses it or it was closed meanwhile."""
        socket.start()
        try:
            opening = self._opener(socket)
            refused = opening is not None and await opening is False
        except Exception as error:  # noqa: BLE001
            socket.failed(error)
            socket.close()
            return unavailable("try again later", self.options.retry_after_s)
        except BaseException:
            socket.close()
            raise
        if refused:
            socket.close()
            return FORBIDDEN
        return unavailable("try again later", self.options.retry_after_s) if socket.closed else None

    def _open_polling(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        socket.carry(Polling(self._context, socket), "polling")
        upgrades = ["websocket"] if self.options.allow_upgrades else []
        packet = handshake.open_packet(socket.sid, upgrades, self.options)
        return replies.payload(request, packet, compress=False)

    def _open_websocket(
        self, request: web.Request, socket: EngineSocket, key: str
    ) -> web.StreamResponse | Refusal:
        first = ControlFrame(handshake.open_packet(socket.sid, [], self.options)).wire
        switched = self._switch(request, key, first)
        if switched is None:
            socket.lost(CloseReason.TRANSPORT_CLOSE)
            return BAD_REQUEST
        websocket, tail = switched
        websocket.serve(socket)
        socket.carry(websocket, "websocket")
        websocket.start(tail)
        return Taken()

    def _switch(
        self, request: web.Request, key: str, first: bytes, *, vouched: bool = False
    ) -> tuple[WebSocket, bytes] | None:
        """Turn the request into a websocket; `first` is written together with the head. None if that fails."""
        transport = upgradable(request)
        if transport is None:
            return None
        extension = None
        if self.options.compression is not None:
            offers = ",".join(request.headers.getall("Sec-WebSocket-Extensions", ()))
            extension = negotiate(offers, self.options.compression)
        websocket = WebSocket(self._context, transport, deflated=extension is not None)
        head = handshake.switching_protocols(key, extension, vouched=vouched)
        return websocket, take_over(request, head + first, websocket)

    # -- open sessions

    async def _carry_on(self, request: web.Request, sid: str) -> web.StreamResponse | Refusal:
        parting = self._context.parting.get(sid)
        if parting is not None and request.method == "GET":
            last_words = parting.take_payload()
            if parting.empty:
                self._context.parting.pop(sid, None)
            return self._payload(request, last_words)
        socket = self._context.sockets.get(sid)
        if socket is None:
            return await self._not_here(request, sid)
        polling = socket.channel
        if not isinstance(polling, Polling):
            return BAD_REQUEST
        if request.method == "GET":
            body = await polling.poll(request)
            return body if isinstance(body, Refusal) else self._payload(request, body)
        if request.method == "POST":
            refused = await polling.post(request)
            return refused or replies.ok(request)
        return BAD_REQUEST

    async def _not_here(self, request: web.Request, sid: str) -> web.StreamResponse | Refusal:
        answer = await self.options.elsewhere(request, sid)
        if answer is not None:
            return answer
        # A proxy that balances by client address sends us requests of sessions on other replicas. While we drain,
        # a 503 makes it try those.
        return self._draining_refusal() if self._draining else UNKNOWN_SID

    def _draining_refusal(self) -> Refusal:
        return unavailable("draining", self.options.retry_after_s)

    def _payload(self, request: web.Request, body: bytes) -> web.Response:
        return replies.payload(request, body, compress=self.options.http_compression)

    async def _try_upgrade(self, request: web.Request, sid: str) -> web.StreamResponse | Refusal:
        if self._draining:
            return self._draining_refusal()
        if request.method != "GET":
            return BAD_METHOD
        key = handshake.accept_key(request)
        if isinstance(key, Refusal):
            return key
        socket = self._context.sockets.get(sid)
        if socket is None:
            return await self._not_here(request, sid)
        if not self.options.allow_upgrades:
            return BAD_REQUEST
        polling = socket.channel
        is_first = isinstance(polling, Polling) and socket.candidate is None
        if not is_first and (refused := self.options.admit(self.options.remote(request))) is not None:
            return refused
        switched = self._switch(request, key, b"", vouched=socket.vouched)
        if switched is None:
            return BAD_REQUEST
        websocket, tail = switched
        if is_first and isinstance(polling, Polling):
            Upgrade(socket, polling, websocket)
            websocket.start(tail)
        else:
            # The protocol's test suite expects a websocket that closes, not an HTTP error.
            websocket.end(CloseReason.SERVER, CloseCode.POLICY, "the session has a websocket")
        return Taken()

    # -- ending

    async def drain(self, over_s: float, upgrades_s: float = 0.0) -> None:
        """Refuse new sessions and close the open ones, spread evenly over `over_s` seconds.

        Clients get close code 1012 and reconnect, to another replica or to our 503. Upgrades under way get up to
        `upgrades_s` first: if a socket.io-client has stopped polling and then loses the websocket before the
        upgrade is complete, it never polls again and notices that only by a missing heartbeat.
        """
        self._draining = True
        deadline = self._context.timers.now() + upgrades_s
        while self._context.upgrading and self._context.timers.now() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_STEP_S)
        waiting = iter([*self._context.sockets.values()])
        for size in batches(len(self._context.sockets), over_s, _DRAIN_STEP_S):
            for socket in islice(waiting, size):
                socket.close(CloseReason.SHUTDOWN, CloseCode.RESTART)
            await asyncio.sleep(_DRAIN_STEP_S)

    async def shutdown(self, within_s: float | None = None) -> None:
        """Close every session; return when all have ended, or after `within_s` (by default `close_timeout_s`)."""
        self._draining = True
        context = self._context
        for socket in [*context.sockets.values()]:
            socket.close(CloseReason.SHUTDOWN, CloseCode.GOING_AWAY)
        deadline = context.timers.now() + (self.options.close_timeout_s if within_s is None else within_s)
        # Ends are reported in the next turn; wait for the tasks that they start, too.
        await asyncio.sleep(0)
        while (context.closing or context.tasks) and context.timers.now() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_SHUTDOWN_STEP_S)
        for websocket in [*context.closing]:
            websocket.abort()
        await asyncio.sleep(0)
        context.timers.stop()
