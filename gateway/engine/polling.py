"""HTTP long-polling: a GET (poll) fetches packets, a POST delivers them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from aiohttp import web

from gateway.core.frames import Frame
from gateway.engine import payload
from gateway.engine.body import read_body
from gateway.engine.context import EngineContext
from gateway.engine.control_frames import CLOSE, NOOP
from gateway.engine.errors import (
    BAD_PAYLOAD,
    OVERLAP,
    UNKNOWN_SID,
    CloseCode,
    CloseReason,
    ProtocolViolation,
    Refusal,
)
from gateway.engine.fairness import TURN, share
from gateway.engine.socket import EngineSocket
from gateway.engine.takeover import on_disconnect

# Longest `t` parameter that is compared; a client's own have a dozen characters.
_MAX_STAMP: Final = 64
# After these reasons the remaining packets are dropped: the client has gone or broke the rules.
_NO_FAREWELL: Final = frozenset(
    (
        CloseReason.CLIENT,
        CloseReason.PING_TIMEOUT,
        CloseReason.PROTOCOL,
        CloseReason.SLOW,
        CloseReason.TRANSPORT_CLOSE,
    )
)


class Polling:
    """The packets that wait for a poll, and the poll that waits for packets.

    A session is closed, as the protocol document demands, if its client breaks off a poll, or has two polls or two
    posts open at a time. It is closed, too, if a request is repeated: a proxy may have lost the first answer with
    its packets and sent the request again. Requests are told apart by their parameter `t`, if the client sets one.
    The queue is bounded in bytes and packets; above that the session is cut as slow. When we close a session, a
    waiting poll gets the remaining packets. Without such a poll they wait `close_timeout_s` for the next one.
    """

    __slots__ = (
        "_answered",
        "_bytes",
        "_context",
        "_frames",
        "_hurried",
        "_max_bytes",
        "_poll",
        "_posting",
        "_room",
        "_socket",
    )

    def __init__(self, context: EngineContext[object], socket: EngineSocket) -> None:
        self._context = context
        self._socket: EngineSocket | None = socket
        self._frames: list[Frame] = []
        self._bytes = 0
        self._max_bytes = socket.max_bytes
        self._hurried = False
        self._posting = False
        self._poll: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        # By HTTP method, the `t` of the last request.
        self._answered: dict[str, str] = {}

    # -- for the session

    @property
    def send(self) -> Callable[[Frame], None]:
        """The function that queues a packet until the client polls."""
        return self._send

    def send_all(self, frames: Sequence[Frame]) -> None:
        """Queue several packets until the client polls."""
        for frame in frames:
            self._send(frame)

    @property
    def buffered(self) -> int:
        """The number of bytes that wait for a poll."""
        return self._bytes

    def end(self, reason: str, code: int, text: str) -> None:
        """Queue a close packet and answer the waiting poll; keep the remaining packets for later polls."""
        socket, self._socket = self._socket, None
        self.resume()
        self._queue(NOOP if reason == CloseReason.CLIENT else CLOSE)
        if self._poll is not None:
            self._wake()
        if len(self._frames) > 1 and reason not in _NO_FAREWELL and socket is not None:
            parting = self._context.parting
            parting[socket.sid] = self
            self._context.timers.call_later(
                self._context.options.close_timeout_s, partial(parting.pop, socket.sid, None)
            )

    @property
    def empty(self) -> bool:
        """Return whether no packet waits for a poll."""
        return not self._frames

    def widen(self, max_bytes: int) -> None:
        """Set the size limit of a POST body, in bytes."""
        self._max_bytes = max_bytes

    def resume(self) -> None:
        """Continue the POST that waits for room in the inbox."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # -- for an upgrade

    def hurry(self, *, on: bool) -> None:
        """Set whether polls are answered at once (`on`) or wait for packets."""
        self._hurried = on
        if on and self._poll is not None:
            self._wake()

    def retire(self) -> list[Frame]:
        """End long-polling and return the packets that wait; an open poll is answered with a noop."""
        self._socket = None
        self.resume()
        frames, self._frames = self._frames, []
        self._bytes = 0
        if self._poll is not None:
            self._wake()
        return frames

    # -- for requests

    async def poll(self, request: web.Request) -> bytes | Refusal:
        """Wait for packets and return them as a payload; refuse a poll that overlaps or is repeated."""
        if self._poll is not None:
            self._violated("overlapping polls")
            return OVERLAP
        if self._comes_again(request):
            return UNKNOWN_SID
        if not self._frames and not self._hurried:
            await self._wait(request)
        return self.take_payload()

    def take_payload(self) -> bytes:
        """Remove waiting packets and return them as a payload; it is a noop if there are none.

        A close packet is sent alone: socket.io-client handles it before other packets of the same payload, so it
        would report a DISCONNECT in that payload to the page as a second end.
        """
        if not self._frames:
            return NOOP.packet
        waiting = self._frames[:-1] if self._frames[-1] is CLOSE and len(self._frames) > 1 else self._frames
        body, count = payload.join(waiting, self._context.options.max_payload_bytes)
        self._bytes -= sum(len(frame.wire) for frame in self._frames[:count])
        del self._frames[:count]
        return body

    async def post(self, request: web.Request) -> Refusal | None:
        """Handle all packets of a POST in order; wait while the inbox is full."""
        if self._posting:
            self._violated("overlapping posts")
            return OVERLAP
        if self._comes_again(request):
            return UNKNOWN_SID
        self._posting = True
        try:
            options = self._context.options
            body = await read_body(request, self._max_bytes, options.body_timeout_s)
            if isinstance(body, Refusal):
                return body
            return await self._deliver(body)
        except ProtocolViolation as violation:
            if self._socket is not None:
                self._socket.failed(violation)
            return BAD_PAYLOAD
        finally:
            self._posting = False

    # -- inside

    def _comes_again(self, request: web.Request) -> bool:
        """Return whether the request repeats the last one of its method; if so, end the session."""
        stamp = request.query.get("t")
        if stamp is None or len(stamp) > _MAX_STAMP:
            return False
        if self._answered.get(request.method) != stamp:
            self._answered[request.method] = stamp
            return False
        if self._socket is not None:
            self._socket.lost(CloseReason.TRANSPORT_ERROR)
        return True

    async def _wait(self, request: web.Request) -> None:
        self._poll = asyncio.get_running_loop().create_future()
        try:
            with on_disconnect(request, self._gone):
                await self._poll
        except asyncio.CancelledError:
            self._gone()
            raise
        finally:
            self._poll = None

    async def _deliver(self, body: bytes) -> Refusal | None:
        socket = self._socket
        if socket is None:
            return UNKNOWN_SID
        in_a_row = 0
        for packet in payload.split(body):
            if socket.closed:
                break
            socket.receive(packet)
            in_a_row += share(packet)
            # `retire` and `end` clear `_socket` and resume us: nothing else would after them.
            while self._socket is not None and socket.full:
                self._room = asyncio.get_running_loop().create_future()
                await self._room
                in_a_row = 0
            if in_a_row >= TURN:
                await asyncio.sleep(0)
                in_a_row = 0
        return None

    def _send(self, frame: Frame) -> None:
        self._queue(frame)
        if self._poll is not None:
            self._wake()
            return
        options = self._context.options
        if self._bytes > options.max_buffer_bytes or len(self._frames) > options.max_poll_packets:
            self._cut()

    def _queue(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._bytes += len(frame.wire)

    def _wake(self) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def _cut(self) -> None:
        """End a session that does not poll, in the next turn: the caller may be in a loop over a room."""
        if self._socket is not None:
            self._socket.mute()
            asyncio.get_running_loop().call_soon(self._socket.lost, CloseReason.SLOW)

    def _gone(self) -> None:
        self._wake()
        if self._socket is not None:
            self._socket.lost(CloseReason.TRANSPORT_CLOSE)

    def _violated(self, text: str) -> None:
        if self._socket is not None:
            self._socket.failed(ProtocolViolation(CloseCode.PROTOCOL, text))
