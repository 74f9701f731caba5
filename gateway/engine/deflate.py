"""permessage-deflate (RFC 7692) without context takeover, so that one compressed frame serves all sockets."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.core.frames import RSV1, Frame, encode, payload_offset
from gateway.engine.errors import CloseCode, ProtocolViolation

_NAME: Final = "permessage-deflate"
# Every sync flush ends in these four bytes. The sender omits them, and the receiver appends them again.
_TAIL: Final = b"\x00\x00\xff\xff"
# An empty last block: zlib only reports the end of a stream that is complete.
_END: Final = b"\x01\x00\x00\xff\xff"
# Input and output of one step. The worst input (tables without content) takes 2 ms.
_PIECE_BYTES: Final = 1 << 14
_MOST_UNPACKED: Final = 1 << 18
# Most streams of one message: a peer may mark any block as the last, and each new stream costs 10 µs.
_MAX_STREAMS: Final = 64
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
    """Compression of messages of at least `threshold_bytes`: zlib's `level`, a window of 2 ** `window_bits` bytes.

    zlib initializes its whole state for each message, so `window_bits` and `mem_level` determine the cost of a
    small one: 450 bytes take 12 µs here, and 31 µs with zlib's defaults 15 and 8, for the same size. A window
    above 4 KiB only helps larger messages.
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
    """Return a window size in bits (8 to 15, no leading zero, as in the RFC), or None if it is malformed."""
    return int(value) if value is not None and value in _WINDOW_BITS else None


def negotiate(header: str, compression: Compression) -> str | None:
    """Return the extension header that accepts one of a client's offers; None for no compression.

    Offers with a smaller window than ours are skipped, because all sockets share frames of one window size.
    Neither side keeps its context; the RFC (7.1.1) allows the server to demand that without the client's request.
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


class Inflation:
    """Decompression of one received message, piece by piece."""

    __slots__ = ("_at", "_data", "_max_bytes", "_stream", "_streams", "_unpacked")

    def __init__(self, payload: bytes, max_bytes: int) -> None:
        self._data = payload + _TAIL + _END
        self._at = 0
        self._max_bytes = max_bytes
        self._stream = zlib.decompressobj(-_MAX_WINDOW_BITS)
        self._streams = 1
        self._unpacked = bytearray()

    def step(self) -> bytes | None:
        """Unpack the next piece; return the message when it is complete, else None.

        Raises :class:`ProtocolViolation`; a message above the limit is unpacked to at most one byte more.
        """
        piece = self._stream.unconsumed_tail
        if not piece:
            piece = self._data[self._at : self._at + _PIECE_BYTES]
            self._at += len(piece)
        room = self._max_bytes + 1 - len(self._unpacked)
        try:
            self._unpacked += self._stream.decompress(piece, min(room, _MOST_UNPACKED))
        except zlib.error:
            raise _invalid() from None
        if len(self._unpacked) > self._max_bytes:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")
        if self._stream.eof:
            return self._ended()
        if self._at == len(self._data) and not self._stream.unconsumed_tail:
            raise _invalid()
        return None

    def _ended(self) -> bytes | None:
        """Return the message, or None if another stream follows the block marked as the last (RFC 7692, 7.2.1)."""
        self._at -= len(self._stream.unused_data)
        left = len(self._data) - self._at
        if not left or left == len(_TAIL + _END):
            return bytes(self._unpacked)
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise ProtocolViolation(CloseCode.POLICY, "too many compressed streams")
        seen = bytes(self._unpacked[-(1 << _MAX_WINDOW_BITS) :])
        self._stream = zlib.decompressobj(-_MAX_WINDOW_BITS, zdict=seen)
        return None


def _invalid() -> ProtocolViolation:
    return ProtocolViolation(CloseCode.BAD_TEXT, "invalid compressed data")


class Deflater:
    """Compresses each frame once, for all sockets that negotiated compression."""

    __slots__ = ("_compression",)

    def __init__(self, compression: Compression) -> None:
        self._compression = compression

    def wire(self, frame: Frame) -> bytes:
        """Return the compressed frame; the plain one if the message is small or does not get shorter."""
        wire = frame.deflated
        if wire is None:
            wire = frame.deflated = self._compress(frame.wire)
        return wire

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
