"""Finished packets: encoded once, written to any number of sockets."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from gateway.engine.errors import CloseCode

_FIN_TEXT: Final = 0x81
_FIN_BINARY: Final = 0x82
_FIN_CLOSE: Final = 0x88
_FIN_PONG: Final = 0x8A
RSV1: Final = 0x40
# Between packets of a long-polling payload.
SEPARATOR: Final = b"\x1e"

_MAX_CONTROL_BYTES: Final = 125


def encode(first: int, payload: bytes) -> bytes:
    """Return an unmasked websocket frame: the byte `first` (FIN, RSV and opcode), length and payload."""
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def payload_offset(wire: bytes) -> int:
    """Return where the payload of an unmasked frame begins."""
    length = wire[1]
    return 2 if length < 126 else 4 if length == 126 else 10


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; a `reason` that is too long for a control frame is cut."""
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return encode(_FIN_CLOSE, code.to_bytes(2, "big") + text)


def close_code(payload: bytes | str) -> int:
    """Return the code by which to answer a peer's close frame: its own, or what is wrong with it."""
    if not payload:
        return CloseCode.NORMAL
    if isinstance(payload, str) or len(payload) < 2:
        return CloseCode.PROTOCOL
    code = int.from_bytes(payload[:2], "big")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return CloseCode.BAD_TEXT
    # 1004 to 1006 and 1015 stand for states that are never sent.
    known = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    return code if known or 3000 <= code <= 4999 else CloseCode.PROTOCOL


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a websocket ping (not Engine.IO's, which is a text message)."""
    return encode(_FIN_PONG, payload)


class Frame:
    """One Engine.IO message that carries a finished Socket.IO text packet.

    Made once for an event and handed to every member of a room; immutable to its users. `wire` is the
    websocket frame, `packet` the same for long-polling, `deflated` the compressed websocket frame, made by
    :class:`gateway.engine.deflate.Deflater` when the first socket needs it.
    """

    __slots__ = ("deflated", "wire")

    def __init__(self, text: bytes) -> None:
        self.wire = encode(_FIN_TEXT, b"4" + text)
        self.deflated: bytes | None = None

    @property
    def packet(self) -> bytes:
        """The Engine.IO packet as a long-polling payload holds it."""
        return self.wire[payload_offset(self.wire) :]


class BinaryFrame(Frame):
    """One Engine.IO message that carries bytes: a binary websocket frame, base64 in long-polling."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        self.wire = encode(_FIN_BINARY, data)
        self.deflated = None

    @property
    def packet(self) -> bytes:
        """The Engine.IO packet as a long-polling payload holds it."""
        return b"b" + b64encode(self.wire[payload_offset(self.wire) :])


class Bundle(Frame):
    """Several messages in one write, as they are: each is too small to be worth compressing."""

    __slots__ = ("_frames",)

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self.wire = self.deflated = b"".join([frame.wire for frame in frames])

    @property
    def packet(self) -> bytes:
        """The Engine.IO packets as a long-polling payload holds them."""
        return SEPARATOR.join(frame.packet for frame in self._frames)


class ControlFrame(Frame):
    """An Engine.IO packet that is not a message; never compressed."""

    __slots__ = ()

    def __init__(self, packet: bytes) -> None:
        self.wire = encode(_FIN_TEXT, packet)
        self.deflated = self.wire


PING: Final = ControlFrame(b"2")
PROBE_PONG: Final = ControlFrame(b"3probe")
CLOSE: Final = ControlFrame(b"1")
NOOP: Final = ControlFrame(b"6")
