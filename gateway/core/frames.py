"""Finished packets: encoded once, written to any number of sockets. Pure."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Final

FIN_TEXT: Final = 0x81
_FIN_BINARY: Final = 0x82
RSV1: Final = 0x40
# Separates the packets of a long-polling payload.
SEPARATOR: Final = b"\x1e"


def encode(first: int, payload: bytes) -> bytes:
    """Return an unmasked websocket frame: the byte `first` (FIN, RSV and opcode), length and payload."""
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def payload_offset(wire: bytes) -> int:
    """Return the index at which the payload of an unmasked frame begins."""
    length = wire[1]
    return 2 if length < 126 else 4 if length == 126 else 10


class Frame:
    """One Engine.IO message that carries a finished Socket.IO text packet.

    All members of a room share the frame of an event, so nobody changes it. `wire` is the websocket frame,
    `packet` the same for long-polling. `deflated` is the compressed websocket frame;
    :class:`gateway.engine.deflate.Deflater` makes it when the first socket needs it.
    """

    __slots__ = ("deflated", "wire")

    def __init__(self, text: bytes) -> None:
        self.wire = encode(FIN_TEXT, b"4" + text)
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
    """Several messages in one write, uncompressed: each is too small to be worth compressing."""

    __slots__ = ("_frames",)

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self.wire = self.deflated = b"".join([frame.wire for frame in frames])

    @property
    def packet(self) -> bytes:
        """The Engine.IO packets as a long-polling payload holds them."""
        return SEPARATOR.join(frame.packet for frame in self._frames)
