"""One Engine.IO session, over any transport."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Literal

from msgspec import MsgspecError

from gateway.core.frames import BinaryFrame, Frame
from gateway.engine import payload
from gateway.engine.channel import Candidate, Channel
from gateway.engine.context import EngineContext
from gateway.engine.errors import CloseCode, CloseReason, ProtocolViolation
from gateway.engine.heartbeat import Heartbeat
from gateway.engine.inbox import Inbox

# If a handler raises one of these, the peer's message was malformed.
_PEER_ERRORS: Final = (ValueError, MsgspecError)

# After these reasons queued messages are still handled: the client sent them before it left.
_BY_CLIENT: Final = frozenset((CloseReason.CLIENT, CloseReason.TRANSPORT_CLOSE))


def _discard(frame: Frame) -> None:
    """Drop a frame; replaces `send` of the channel when a socket is closed."""


class EngineSocket(Heartbeat):
    """A session from its handshake to its end; the upper layer's handle for one client.

    `send_frame(frame)` is the hot path. It is the `send` of the present channel, and drops frames after the end.
    It never blocks, raises or calls the upper layer. `owner` is free for the upper layer, and is cleared after
    `closer`. `environ` holds the WSGI-like facts of the handshake until `forget_handshake`. `remote` is the
    client's address. `vouched` says that `vouch` was called. `closed` is true from the moment the session ends.

    The upper layer gets messages one at a time and in order, then the end of the session, once. It gets the end
    after a running handler has returned, and never within one of its own calls.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_end_reason",
        "_inbox",
        "_logged",
        "_muted",
        "candidate",
        "closed",
        "environ",
        "max_bytes",
        "owner",
        "remote",
        "session",
        "sid",
        "transport",
        "vouched",
    )

    context: "EngineContext[EngineSocket]"

    def __init__(self, context: "EngineContext[EngineSocket]", sid: str, environ: dict[str, Any]) -> None:
        super().__init__(context, _discard)
        self.sid = sid
        self.environ: dict[str, Any] | None = environ
        self.remote: str = environ.get("REMOTE_ADDR", "")
        self.owner: object | None = None
        self.session: dict[str, Any] | None = None
        self.max_bytes = context.options.max_stranger_bytes or context.options.max_payload_bytes
        self.vouched = False
        self.closed = False
        self.transport: Literal["polling", "websocket"] = "polling"
        self._muted = False
        self.candidate: Candidate | None = None
        self._channel: Channel | None = None
        self._inbox: Inbox | None = None
        self._end_reason: str | None = None
        self._logged = False

    # -- for the upper layer

    def send_text(self, text: str) -> None:
        """Send a Socket.IO text packet."""
        self.send_frame(Frame(text.encode()))

    def send_binary(self, data: bytes) -> None:
        """Send bytes: an attachment of the previous text packet."""
        self.send_frame(BinaryFrame(data))

    def send_frames(self, frames: Sequence[Frame]) -> None:
        """Send several packets with one system call, as after a reconnect."""
        if self._channel is not None and not self._muted:
            self._channel.send_all(frames)

    def close(self, reason: str = CloseReason.SERVER, code: int = CloseCode.NORMAL) -> None:
        """End the session and close its transport; earlier packets are still sent.

        May be called at any time, and repeatedly. Sends no Socket.IO DISCONNECT, which would stop reconnects.
        """
        self._end(reason, code, reason)

    def vouch(self) -> None:
        """Note that the client is authenticated: its messages may have the full size from now on."""
        self.vouched = True
        self.max_bytes = self.context.options.max_payload_bytes
        if self._channel is not None:
            self._channel.widen(self.max_bytes)

    def forget_handshake(self) -> None:
        """Release the headers of the handshake, which nobody asks for after CONNECT."""
        self.environ = None

    @property
    def buffered(self) -> int:
        """The number of sent bytes that the client has not read yet."""
        return self._channel.buffered if self._channel is not None else 0

    # -- for the channels

    def start(self) -> None:
        """Add the session to the tables and start its heartbeat; `carry` or the end follows."""
        self.context.sockets[self.sid] = self
        self.context.stats.opened += 1
        self._start_heartbeat()

    @property
    def channel(self) -> Channel | None:
        """Return the present channel; None before the first one and after the end."""
        return self._channel

    def carry(self, channel: Channel, transport: Literal["polling", "websocket"]) -> None:
        """Send and receive on this channel from now on, as after an upgrade."""
        self._channel = channel
        self.transport = transport
        if not self._muted:
            self.send_frame = channel.send

    def receive(self, message: str | bytes) -> None:
        """Handle one Engine.IO packet; raises :class:`ProtocolViolation` if it is malformed."""
        kind, data = payload.decode(message)
        if kind == payload.MESSAGE:
            self._deliver(data)
        elif kind == payload.CLOSE:
            self._end(CloseReason.CLIENT, CloseCode.NORMAL, "")
        elif self.charge() and kind == payload.PONG:
            self._ponged()

    @property
    def full(self) -> bool:
        """Return whether the channel should stop reading until `resume` is called on it."""
        return self._inbox is not None and self._inbox.full and not self.closed

    def mute(self) -> None:
        """Drop all later sends; the caller ends the session soon. Unlike `close`, safe inside `send_frame`."""
        self._muted = True
        self.send_frame = _discard

    def lost(self, reason: str) -> None:
        """End the session, because the connection of its channel is lost."""
        self._end(reason, CloseCode.NORMAL, "")

    def failed(self, error: Exception) -> None:
        """Handle an exception of a handler or decoder: close the session for a peer's fault, else log it."""
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

    # -- for the inbox

    def handle(self, data: str | bytes) -> Awaitable[object] | None:
        """Pass one message to the upper layer; return an awaitable if its handler waits, else None."""
        if not self.charge(len(data)):
            return None
        try:
            return self.context.receiver(self, data)
        except Exception as error:  # noqa: BLE001
            self.failed(error)
            return None

    async def guard(self, waiting: Awaitable[object]) -> None:
        """Await a handler; its exception goes to `failed` and is not raised."""
        try:
            await waiting
        except Exception as error:  # noqa: BLE001
            self.failed(error)

    def resume(self) -> None:
        """Let the channel read again: the client's messages are handled."""
        if self._channel is not None:
            self._channel.resume()

    # -- inside

    def _deliver(self, data: str | bytes) -> None:
        if self._inbox is not None:
            self._inbox.put(data)
            return
        waiting = self.handle(data)
        if waiting is not None:
            self._inbox = Inbox(self, self.context.options)
            self.context.spawn(self._work(self._inbox, waiting))

    async def _work(self, inbox: Inbox, waiting: Awaitable[object]) -> None:
        await inbox.drain(waiting)
        self._inbox = None
        if self.closed:
            self._report()
        else:
            self.resume()

    def _timed_out(self) -> None:
        self._end(CloseReason.PING_TIMEOUT, CloseCode.GOING_AWAY, CloseReason.PING_TIMEOUT)

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
        # Deferred, because the caller may be in a loop over the members of a room.
        asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        """Tell the upper layer once that the session has ended, but not while its message handler still runs."""
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
            # Break the reference cycle with the owner.
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
