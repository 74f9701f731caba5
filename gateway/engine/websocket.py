"""A websocket after its handshake: an asyncio protocol without a task or a queue."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.core.frames import Frame
from gateway.engine import reader, send_buffer
from gateway.engine.channel import Owner
from gateway.engine.context import EngineContext
from gateway.engine.control_frames import close_code, close_frame, pong_frame
from gateway.engine.errors import CloseReason, ProtocolViolation
from gateway.engine.fairness import TURN, share
from gateway.engine.reader import FrameReader, Message
from gateway.engine.timers import Call


class WebSocket(asyncio.Protocol):
    """Reads, writes and closes one websocket.

    A send writes to the transport directly. A peer that leaves more than `max_buffer_bytes` unread is cut by the
    transport's high-water mark, so that a send needs no check. To close, we send a close frame, wait for the
    peer's answer (not after a violation), and close our side. If the connection is still open after
    `close_timeout_s`, it is reset.
    """

    __slots__ = ("_context", "_deflated", "_held", "_linger", "_owner", "_reader", "_slow", "_transport")

    def __init__(self, context: EngineContext[object], transport: asyncio.Transport, *, deflated: bool) -> None:
        self._context = context
        self._transport = transport
        self._owner: Owner | None = None
        self._deflated = deflated
        # The limit until there is an owner, which has its own.
        max_bytes = context.options.max_stranger_bytes or context.options.max_payload_bytes
        self._reader: FrameReader | None = FrameReader(max_bytes, deflated=deflated)
        self._held = False
        self._slow = False
        self._linger: Call | None = None

    # -- for the session

    def start(self, tail: bytes) -> None:
        """Start reading, after `serve`; `tail` holds the bytes that followed the handshake."""
        self._transport.set_write_buffer_limits(high=self._context.options.max_buffer_bytes)
        if tail:
            self.data_received(tail)

    def serve(self, owner: Owner) -> None:
        """Pass the messages to this owner from now on, with its limit of their size."""
        self._owner = owner
        self.widen(owner.max_bytes)

    def widen(self, max_bytes: int) -> None:
        """Set the size limit of incoming messages, in bytes."""
        if self._reader is not None:
            self._reader.limit = max_bytes

    @property
    def send(self) -> Callable[[Frame], None]:
        """The function that writes a frame, deflated or plain, as client and server have agreed."""
        return self._send_deflated if self._deflated else self._send_plain

    def send_all(self, frames: Sequence[Frame]) -> None:
        """Write several frames with one call."""
        if self._transport.is_closing():
            return  # asyncio of Python 3.12 would register the closed file's number (cpython#136234)
        if self._deflated and self._context.deflater is not None:
            self._transport.writelines([self._context.deflater.wire(frame) for frame in frames])
        else:
            self._transport.writelines([frame.wire for frame in frames])

    @property
    def buffered(self) -> int:
        """The number of bytes that the transport has not passed to the kernel yet."""
        return self._transport.get_write_buffer_size()

    def end(self, reason: str, code: int, text: str) -> None:
        """Send a close frame with `code` and `text`, unless the connection is closing already."""
        self._owner = None
        if self._linger is not None or self._transport.is_closing():
            return
        self._transport.write(close_frame(code, text))
        self._expect_end()
        if self._reader is None:
            # Without a reader we can't recognize the peer's answer, so do not wait for it.
            send_buffer.end(self._transport)
        self.resume()

    def abort(self) -> None:
        """Reset the connection; unsent bytes are dropped."""
        send_buffer.reset(self._transport)

    def resume(self) -> None:
        """Continue to read in the next turn of the loop."""
        if self._held:
            asyncio.get_running_loop().call_soon(self._continue)

    # -- for the transport

    def data_received(self, data: bytes) -> None:
        """Add bytes and handle complete messages, up to one turn's share."""
        if self._reader is not None:
            self._reader.feed(data)
            if not self._held:
                self._pump()

    def pause_writing(self) -> None:
        """Cut the peer: the unsent bytes exceed the limit. `connection_lost` reports the end."""
        if self._owner is not None:
            self._slow = True
            self._owner.mute()
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner of the loss; there is none if we closed the websocket."""
        self._reader = None
        if self._linger is not None:
            self._linger.cancel()
        self._context.closing.pop(self, None)
        owner, self._owner = self._owner, None
        if owner is None:
            return
        if self._slow:
            owner.lost(CloseReason.SLOW)
        else:
            owner.lost(CloseReason.TRANSPORT_CLOSE if exc is None else CloseReason.TRANSPORT_ERROR)

    # -- inside

    def _send_plain(self, frame: Frame) -> None:
        self._transport.write(frame.wire)

    def _send_deflated(self, frame: Frame) -> None:
        deflater = self._context.deflater
        self._transport.write(frame.wire if deflater is None else deflater.wire(frame))

    def _pump(self) -> None:
        taken = 0
        while taken < TURN:
            if self._owner is not None and self._owner.full:
                self._hold()
                return
            message = self._next()
            if message is None:
                return
            if message[0] == reader.WORKED:
                taken += TURN
            else:
                taken += share(message[1], self._reader.fragments if self._reader is not None else 1)
            self._on_message(message)
        self._hold()
        self.resume()

    def _next(self) -> Message | None:
        if self._reader is None:
            return None
        try:
            return self._reader.next()
        except ProtocolViolation as violation:
            # Later frames can't be recognized. They are read and dropped until the peer disconnects.
            self._reader = None
            if self._linger is not None:
                send_buffer.end(self._transport)
            self._failed(violation)
            return None

    def _hold(self) -> None:
        """Stop reading until `resume`; the rest stays in our buffer and in the kernel."""
        self._held = True
        self._transport.pause_reading()

    def _continue(self) -> None:
        if not self._held:
            return
        self._held = False
        self._pump()
        if not self._held:
            self._transport.resume_reading()

    def _on_message(self, message: Message) -> None:
        opcode, data = message
        if opcode == reader.CLOSE:
            self._peer_closed(data)
        elif self._owner is None:
            return
        elif opcode in (reader.TEXT, reader.BINARY):
            try:
                self._owner.receive(data)
            except ProtocolViolation as violation:
                self._failed(violation)
        elif self._owner.charge() and opcode == reader.PING and isinstance(data, bytes):
            self._transport.write(pong_frame(data))

    def _failed(self, violation: ProtocolViolation) -> None:
        if self._owner is not None:
            self._owner.failed(violation)

    def _peer_closed(self, data: str | bytes) -> None:
        """Answer the peer's close frame, unless it is the answer to ours, and close our side."""
        self._reader = None
        if self._linger is None:
            self._transport.write(close_frame(close_code(data)))
            self._expect_end()
        send_buffer.end(self._transport)
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost(CloseReason.TRANSPORT_CLOSE)

    def _expect_end(self) -> None:
        self._context.closing[self] = None
        self._linger = self._context.timers.call_later(self._context.options.close_timeout_s, self.abort)
