"""permessage-deflate (RFC 7692) without context takeover, so that one compressed frame serves all sockets."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.engine.errors import CloseCode, ProtocolViolation
from gateway.engine.frame import RSV1, Frame, encode, payload_offset

_NAME: Final = "permessage-deflate"
# Every sync flush ends in these four bytes; the sender leaves them out and the receiver puts them back.
_TAIL: Final = b"\x00\x00\xff\xff"
_MIN_WINDOW_BITS: Final = 9
_MAX_WINDOW_BITS: Final = 15
_WINDOW_BITS: Final = frozenset(str(bits) for bits in range(8, _MAX_WINDOW_BITS + 1))
_PARAMETERS: Final = frozenset(
    (
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How to compress: messages from `threshold_bytes` on, zlib's `level`, a window of 2 ** `window_bits`.

    zlib sets its whole state up anew for each message, so on small ones `window_bits` and `mem_level` decide:
    450 bytes take 12 µs here and 31 µs with zlib's own 15 and 8, for the same size. More than a window
    of 4 KiB only helps messages that are larger.
    """

    threshold_bytes: int = 256
    level: int = 6
    window_bits: int = 12
    mem_level: int = 5

    def __post_init__(self) -> None:
        if not _MIN_WINDOW_BITS <= self.window_bits <= _MAX_WINDOW_BITS:
            raise ValueError("window_bits must be between 9 and 15")


def _offers(header: str) -> Iterator[dict[str, str | None]]:
    """Yield the parameters of each well-formed permessage-deflate offer, in the client's order."""
    for offer in header.split(","):
        name, *raw = (part.strip() for part in offer.split(";"))
        if name.lower() != _NAME:
            continue
        parameters: dict[str, str | None] = {}
        for part in raw:
            key, separator, value = part.partition("=")
            key = key.strip().lower()
            if key not in _PARAMETERS or key in parameters:
                break
            parameters[key] = value.strip().strip('"') if separator else None
        else:
            yield parameters


def _bits(value: str | None) -> int | None:
    """Return a window size as the RFC writes it (8 to 15, no leading zero), or None."""
    return int(value) if value is not None and value in _WINDOW_BITS else None


def negotiate(header: str, compression: Compression) -> str | None:
    """Return the extension header that accepts one of a client's offers, or None to go without.

    An offer that asks for a smaller window than ours is passed over: the frames are shared, and compressed
    for the one window. Neither side keeps its context, whether the client asked for that or not, which the
    RFC allows us to say (7.1.1).
    """
    for offer in _offers(header):
        answer = [_NAME, "server_no_context_takeover", "client_no_context_takeover"]
        if "client_max_window_bits" in offer:
            value = offer["client_max_window_bits"]
            if value is not None and _bits(value) is None:
                continue
        if "server_max_window_bits" in offer:
            bits = _bits(offer["server_max_window_bits"])
            if bits is None or bits < compression.window_bits:
                continue
            answer.append(f"server_max_window_bits={compression.window_bits}")
        return "; ".join(answer)
    return None


class Deflater:
    """Compresses frames, each once for all sockets that negotiated it, and inflates what they send."""

    __slots__ = ("_compression", "_max_bytes")

    def __init__(self, compression: Compression, max_bytes: int) -> None:
        self._compression = compression
        self._max_bytes = max_bytes

    def wire(self, frame: Frame) -> bytes:
        """Return the frame's compressed form, or its plain one where that is shorter or it is small."""
        wire = frame.deflated
        if wire is None:
            wire = frame.deflated = self._compress(frame.wire)
        return wire

    def inflate(self, payload: bytes) -> bytes:
        """Return a received message decompressed; one that would pass the limit is not unpacked further."""
        stream = zlib.decompressobj(-_MAX_WINDOW_BITS)
        try:
            data = stream.decompress(payload + _TAIL, self._max_bytes + 1)
        except zlib.error:
            raise ProtocolViolation(CloseCode.BAD_TEXT, "invalid compressed data") from None
        if len(data) > self._max_bytes:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")
        return data

    def _compress(self, wire: bytes) -> bytes:
        settings = self._compression
        payload = memoryview(wire)[payload_offset(wire) :]
        if len(payload) < settings.threshold_bytes:
            return wire
        stream = zlib.compressobj(settings.level, zlib.DEFLATED, -settings.window_bits, settings.mem_level)
        deflated = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
        if len(deflated) - len(_TAIL) >= len(payload):
            return wire
        return encode(wire[0] | RSV1, deflated[: -len(_TAIL)])
