"""Engine.IO packets and long-polling payloads. Pure."""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Final

from gateway.core.frames import SEPARATOR, Frame
from gateway.engine.errors import CloseCode, ProtocolViolation

_SEPARATOR: Final = SEPARATOR.decode()

CLOSE: Final = "1"
PONG: Final = "3"
MESSAGE: Final = "4"
NOOP: Final = "6"

# Packet types that a client may send in an open session. "2" and "5" are only valid during an upgrade.
_FROM_CLIENT: Final = frozenset((CLOSE, PONG, MESSAGE, NOOP))

Packet = tuple[str, str | bytes]


def decode(message: str | bytes) -> Packet:
    """Return the type and the data of an Engine.IO packet: a websocket message, or one packet of a payload.

    A binary message is a ``MESSAGE`` with bytes. So is a text that begins with ``b``, which contains base64.
    """
    if isinstance(message, bytes):
        return MESSAGE, message
    kind = message[:1]
    if kind in _FROM_CLIENT:
        return kind, message[1:]
    if kind != "b":
        raise ProtocolViolation(CloseCode.PROTOCOL, "unknown packet type")
    try:
        return MESSAGE, a2b_base64(message[1:].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        raise ProtocolViolation(CloseCode.PROTOCOL, "invalid base64") from None


def split(body: bytes) -> Iterator[str]:
    """Yield the packets of a POST body one by one, so that only one is copied at a time."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.BAD_TEXT, "invalid UTF-8") from None
    start = 0
    while (end := text.find(_SEPARATOR, start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def join(frames: list[Frame], max_bytes: int) -> tuple[bytes, int]:
    """Return a payload of the first packets in `frames`, and the number of packets in it.

    The payload has at most `max_bytes`, but at least one packet, because a packet can't be divided.
    """
    packets: list[bytes] = []
    size = 0
    for frame in frames:
        packet = frame.packet
        size += len(packet) + 1
        if packets and size - 1 > max_bytes:
            break
        packets.append(packet)
    return SEPARATOR.join(packets), len(packets)
