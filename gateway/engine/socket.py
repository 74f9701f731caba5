"""One Engine.IO session, whatever carries it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from msgspec import MsgspecError

from gateway.core.frames import BinaryFrame, Frame
from gateway.engine import payload
from gateway.engine.channel import Candidate, Channel
from gateway.engine.context import EngineContext
from gateway.engine.control_frames import PING
from gateway.engine.errors import CloseCode, CloseReason, ProtocolViolation
from gateway.engine.inbox import Inbox
from gateway.engine.rate_limit import RateLimited
from gateway.engine.wheel import UNSET

# Out of a handler these mean that the peer sent nonsense, not that the handler is broken.
_PEER_ERRORS: Final = (ValueError, MsgspecError)

# What a client sent before it left is still handled, as it would have been had it left a moment later.
_BY_CLIENT: Final = frozenset((CloseReason.CLIENT, CloseReason.TRANSPORT_CLOSE))


def _discard(frame: Frame) -> None:
    """Stand in for the channel of a closed socket."""


class EngineSocket(RateLimited):
    """A session from its handshake to its end; the upper layer's handle of one client.

    `send_frame(frame)` is the hot path: the channel's own method, rebound when the channel changes and to
    nothing when the session ends. It never blocks, raises or calls the upper layer back. `owner` is the upper
    layer's to use, and is released when its closer has returned. `environ` holds the handshake's WSGI-like
    facts until `forget_handshake`, `remote` the client's address. `vouched` says that `vouch` was called.
    `closed` is true from the moment the session ends.

    The upper layer gets messages one at a time and in order; then, once, the end of the session: never out
    of a call that it made itself, and not before the handler that was running has returned.
    """

    __slots__ = (
        "__weakref__",
        "_awaiting_pong",
        "_channel",
        "_end_reason",
        "_inbox",
        "_logged",
        "_muted",
        "_pinged_at",
        "candidate",
        "closed",
        "context",
        "environ",
        "max_bytes",
        "owner",
        "remote",
        "send_frame",
        "session",
        "sid",
        "slot",
        "transport",
        "vouched",
    )

    def __init__(self, context: EngineContext, sid: str, environ: dict[str, Any]) -> None:
        super().__init__()
        self.context = context
        self.sid = sid
        self.environ: dict[str, Any] | None = environ
        self.remote: str = environ.get("REMOTE_ADDR", "")
        self.owner: object | None = None
        self.session: dict[str, Any] | None = None
        self.max_bytes = context.options.max_stranger_bytes or context.options.max_payload_bytes
        self.vouched = False
        self.closed = False
        self.transport: Literal["polling", "websocket"] = "polling"
        self.send_frame: Callable[[Frame], None] = _discard
        self._muted = False
        self.candidate: Candidate | None = None
        self.slot = UNSET
        self._channel: Channel | None = None
        self._inbox: Inbox | None = None
        self._end_reason: str | None = None
        self._logged = False
        self._awaiting_pong = False
        self._pinged_at = 0.0

    # -- for the upper layer

    def send_text(self, text: str) -> None:
        """Send a Socket.IO text packet."""
        self.send_frame(Frame(text.encode()))

    def send_binary(self, data: bytes) -> None:
        """Send bytes: an attachment of the text packet before it."""
        self.send_frame(BinaryFrame(data))

    def send_frames(self, frames: Sequence[Frame]) -> None:
        """Send several at once, as after a reconnect: one system call instead of one for each."""
        if self._channel is not None and not self._muted:
            self._channel.send_all(frames)

    def close(self, reason: str = CloseReason.SERVER, code: int = CloseCode.NORMAL) -> None:
        """End the session and close its transport; what was sent before still goes out.

        May be called at any time and any number of times. No Socket.IO packet is sent: a client whose
        transport closes comes back, one that gets a DISCONNECT does not.
        """
        self._end(reason, code, reason)

    def vouch(self) -> None:
        """Take messages of full size from now on: the client has said who it is."""
        self.vouched = True
        self.max_bytes = self.context.options.max_payload_bytes
        if self._channel is not None:
            self._channel.widen(self.max_bytes)

    def forget_handshake(self) -> None:
        """Release the handshake's facts."""
        self.environ = None

    @property
    def buffered(self) -> int:
        """Bytes sent that the client has not taken yet."""
        return self._channel.buffered if self._channel is not None else 0

    # -- for the channels

    def begin(self) -> None:
        """Begin the session; a channel follows, or the end."""
        self.context.sockets[self.sid] = self
        self.context.stats.opened += 1
        self._pinged_at = self.context.timers.now()
        self._schedule_ping()

    @property
    def channel(self) -> Channel | None:
        """Return the channel that carries the session now."""
        return self._channel

    def carry(self, channel: Channel, transport: Literal["polling", "websocket"]) -> None:
        """Go on with this channel."""
        self._channel = channel
        self.transport = transport
        if not self._muted:
            self.send_frame = channel.send

    def receive(self, message: str | bytes) -> None:
        """Take one Engine.IO packet; raises :class:`ProtocolViolation` if it is none."""
        kind, data = payload.decode(message)
        if kind == payload.MESSAGE:
            self._deliver(data)
        elif kind == payload.CLOSE:
            self._end(CloseReason.CLIENT, CloseCode.NORMAL, "")
        elif self.charge() and kind == payload.PONG and self._awaiting_pong:
            self._awaiting_pong = False
            self._schedule_ping()

    @property
    def full(self) -> bool:
        """Return whether the channel should stop reading until `resume` is called on it."""
        return self._inbox is not None and self._inbox.full and not self.closed

    def mute(self) -> None:
        """Send nothing more, on no channel; the end follows. Unlike `close` this is safe inside a `send_frame`."""
        self._muted = True
        self.send_frame = _discard

    def lost(self, reason: str) -> None:
        """The channel is gone."""
        self._end(reason, CloseCode.NORMAL, "")

    def failed(self, error: Exception) -> None:
        """Judge an exception of a handler or a decoder: close for the peer's fault, log for ours."""
        if self.closed:
            return
        if isinstance(error, ProtocolViolation):
            self._reject(error.code, error.reason)
        elif isinstance(error, _PEER_ERRORS):
            self._reject(CloseCode.PROTOCOL, "malformed message")
        else:
            self.context.stats.handler_errors += 1
            if not self._logged:
                self._logged = True
                self.context.options.log("engine_handler_failed", remote=self.remote, error=type(error).__name__)

    def fire(self, now: float) -> None:
        """Ping, or give up on a client that did not answer the last ping."""
        options = self.context.options
        if self._awaiting_pong and self.full:
            # We do not read what it sends, so its pong may be waiting for us.
            self.context.timers.put(self, now + options.ping_timeout_s)
            return
        if self._awaiting_pong:
            self._end(CloseReason.PING_TIMEOUT, CloseCode.GOING_AWAY, CloseReason.PING_TIMEOUT)
            return
        self._awaiting_pong = True
        # Counted from when the ping was due: a late loop must not stretch the promise to the client.
        self._pinged_at = max(self._pinged_at + options.ping_interval_s, now)
        self.context.timers.put(self, self._pinged_at + options.ping_timeout_s)
        self.send_frame(PING)

    # -- for the inbox

    def handle(self, data: str | bytes) -> Awaitable[object] | None:
        """Return one message to the upper layer; return what is left to wait for."""
        if not self.charge(len(data)):
            return None
        try:
            return self.context.receiver(self, data)
        except Exception as error:  # noqa: BLE001
            self.failed(error)
            return None

    async def guard(self, waiting: Awaitable[object]) -> None:
        """Wait for a handler; what it raises is judged, not passed on."""
        try:
            await waiting
        except Exception as error:  # noqa: BLE001
            self.failed(error)

    def resume(self) -> None:
        """Let the channel read again."""
        if self._channel is not None:
            self._channel.resume()

    # -- inside

    def _schedule_ping(self) -> None:
        self.context.timers.put(self, self._pinged_at + self.context.options.ping_interval_s)

    def _deliver(self, data: str | bytes) -> None:
        if self._inbox is not None:
            self._inbox.put(data)
            return
        waiting = self.handle(data)
        if waiting is not None:
            self._inbox = Inbox(self)
            self.context.spawn(self._work(self._inbox, waiting))

    async def _work(self, inbox: Inbox, waiting: Awaitable[object]) -> None:
        await inbox.drain(waiting)
        self._inbox = None
        if self.closed:
            self._report()
        else:
            self.resume()

    def _flooded(self) -> None:
        self._log_peer(CloseCode.POLICY, CloseReason.FLOOD)
        self._end(CloseReason.FLOOD, CloseCode.POLICY, CloseReason.FLOOD)

    def _reject(self, code: int, text: str) -> None:
        self.context.stats.bad_frames += 1
        if code == CloseCode.TOO_BIG:
            self.context.stats.limited["max_payload_bytes"] += 1
        self._log_peer(code, text)
        self._end(CloseReason.PROTOCOL, code, text)

    def _log_peer(self, code: int, reason: str) -> None:
        self.context.options.log(
            "engine_bad_peer", sid=self.sid, remote=self.remote, code=code, reason=str(reason)
        )

    def _end(self, reason: str, code: int, text: str) -> None:
        if self.closed:
            return
        self.closed = True
        self.mute()
        context = self.context
        context.timers.drop(self)
        context.sockets.pop(self.sid, None)
        context.stats.count_close(reason)
        candidate, self.candidate = self.candidate, None
        if candidate is not None:
            candidate.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.end(reason, code, text)
        if self._inbox is not None and reason not in _BY_CLIENT:
            self._inbox.clear()
        self._end_reason = reason
        # Not here: the caller may be in the middle of a loop over the members of a room.
        asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        """Tell the upper layer, once, that the session ended; after a running handler, not during it."""
        if self._inbox is not None or self._end_reason is None:
            return
        reason, self._end_reason = self._end_reason, None
        try:
            waiting = self.context.closer(self, reason)
        except Exception as error:  # noqa: BLE001
            self._closer_failed(error)
            return
        if waiting is not None:
            self.context.spawn(self._see_off(waiting))
        else:
            # The owner most likely refers to us: no cycle for the garbage collector.
            self.owner = None

    async def _see_off(self, waiting: Awaitable[object]) -> None:
        try:
            await waiting
        except Exception as error:  # noqa: BLE001
            self._closer_failed(error)
        self.owner = None

    def _closer_failed(self, error: Exception) -> None:
        self.context.stats.handler_errors += 1
        self.context.options.log("engine_closer_failed", remote=self.remote, error=type(error).__name__)
