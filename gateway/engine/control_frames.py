"""Control frames of the websocket protocol, and Engine.IO packets without a message. Pure."""

from typing import Final

from gateway.core.frames import FIN_TEXT, Frame, encode
from gateway.engine.errors import CloseCode

_FIN_CLOSE: Final = 0x88
_FIN_PONG: Final = 0x8A

_MAX_CONTROL_BYTES: Final = 125


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; `reason` is truncated to fit into a control frame."""
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return encode(_FIN_CLOSE, code.to_bytes(2, "big") + text)


def close_code(payload: bytes | str) -> int:
    """Return the code that answers a peer's close frame: its own code, or an error code if that is invalid."""
    if not payload:
        return CloseCode.NORMAL
    if isinstance(payload, str) or len(payload) < 2:
        return CloseCode.PROTOCOL
    code = int.from_bytes(payload[:2], "big")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return CloseCode.BAD_TEXT
    # 1004 to 1006 and 1015 are reserved: they must not be sent.
    known = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    return code if known or 3000 <= code <= 4999 else CloseCode.PROTOCOL


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a websocket ping. (An Engine.IO ping is a text message.)"""
    return encode(_FIN_PONG, payload)


class ControlFrame(Frame):
    """An Engine.IO packet without a message; never compressed."""

    __slots__ = ()

    def __init__(self, packet: bytes) -> None:
        self.wire = encode(FIN_TEXT, packet)
        self.deflated = self.wire


PING: Final = ControlFrame(b"2")
PROBE_PONG: Final = ControlFrame(b"3probe")
CLOSE: Final = ControlFrame(b"1")
NOOP: Final = ControlFrame(b"6")
