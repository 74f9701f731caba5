"""Incoming websocket frames (RFC 6455): bytes in, messages out, no I/O.

The owner pulls one message at a time and may stop in between, so that a burst of small frames can be spread over
several turns of the loop.
"""

from codecs import IncrementalDecoder, getincrementaldecoder
from typing import Final

from gateway.engine.deflate import Inflation
from gateway.engine.errors import CloseCode, ProtocolViolation

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
# No opcode: a part of the work for the next message is done, and more is left.
WORKED: Final = -1

_KNOWN: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_FIN: Final = 0x80
_RSV1: Final = 0x40
_RSV23: Final = 0x30
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125
# Empty fragments cost CPU but no memory, so the size limit does not stop them: above this number of fragments each
# must have this size on average.
_MAX_FRAGMENTS: Final = 1024
_LEAST_FRAGMENT_BYTES: Final = 32
# Fragments to read before a `WORKED`.
_FRAGMENTS_AT_ONCE: Final = 256

_TEXT_DECODER: Final = getincrementaldecoder("utf-8")

Message = tuple[int, str | bytes]


def unmask(payload: bytes, key: bytes) -> bytes:
    """Return `payload` without its mask; `key` has 4 bytes.

    One XOR of two big integers is the fastest way on CPython without a C extension (1 MB in about 2 ms).
    """
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


class FrameReader:
    """Turns the bytes of one client into complete messages.

    :meth:`next` returns ``(TEXT, str)``, ``(BINARY, bytes)`` or ``(PING | PONG | CLOSE, bytes)``. It returns
    ``(WORKED, bytes)`` in the middle of a long message: call it again. It returns None if it needs more bytes. It
    raises :class:`ProtocolViolation` as early as possible: for an oversized message before its payload, for
    invalid UTF-8 at its first byte. After that the reader can't be used. `deflated` says that compression was
    negotiated. `fragments` is the number of frames of the last message.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_checked",
        "_compressed",
        "_decoder",
        "_deflated",
        "_inflation",
        "_kind",
        "_parts",
        "fragments",
        "limit",
    )

    def __init__(self, max_bytes: int, *, deflated: bool = False) -> None:
        self.limit = max_bytes
        self._deflated = deflated
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._kind = CONTINUATION
        self._compressed = False
        self._parts: bytearray | None = None
        self._inflation: Inflation | None = None
        # Checks the UTF-8 of an incomplete text; `_checked` counts the checked bytes of the present frame.
        self._decoder: IncrementalDecoder | None = None
        self._checked = 0
        self.fragments = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that arrived."""
        left = len(self._buffer) - self._at
        if not left:
            self._buffer = data
        else:
            if not isinstance(self._buffer, bytearray) or self._at:
                self._buffer = bytearray(memoryview(self._buffer)[self._at :])
            self._buffer += data
        self._at = 0

    def next(self) -> Message | None:
        """Return the next message, `WORKED`, or None; see the class."""
        while True:
            if self._inflation is not None:
                data = self._inflation.step()
                if data is None:
                    return WORKED, b""
                self._inflation = None
                return self._finish(data)
            frame = self._frame()
            if frame is None:
                return None
            first, payload = frame
            if first & 0x08:
                return first & 0x0F, payload
            message = self._join(first, payload)
            if message is not None:
                return message
            if self.fragments % _FRAGMENTS_AT_ONCE == 0:
                return WORKED, b""

    def _frame(self) -> tuple[int, bytes] | None:
        buffer, at = self._buffer, self._at
        have = len(buffer) - at
        if have < 2:
            return None
        first, length = buffer[at], buffer[at + 1] & 0x7F
        if not buffer[at + 1] & _MASKED:
            raise ProtocolViolation(CloseCode.PROTOCOL, "unmasked frame")
        at += 2
        if length > _MAX_CONTROL_BYTES:
            size = 2 if length == 126 else 8
            if have < 2 + size:
                # The length is incomplete, so only a control frame is known to be too large.
                self._check(first, length if first & 0x08 else 0)
                return None
            length = int.from_bytes(buffer[at : at + size], "big")
            if length <= (_MAX_CONTROL_BYTES if size == 2 else 0xFFFF):
                raise ProtocolViolation(CloseCode.PROTOCOL, "length in too many bytes")
            at += size
        self._check(first, length)
        end = at + 4 + length
        if len(buffer) < end:
            self._look_ahead(first, at)
            return None
        key, payload = bytes(buffer[at : at + 4]), bytes(buffer[at + 4 : end])
        if len(buffer) == end:
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return first, unmask(payload, key)

    def _check(self, first: int, length: int) -> None:
        """Raise `ProtocolViolation` for a frame whose header is not allowed here."""
        opcode = first & 0x0F
        if opcode not in _KNOWN:
            raise ProtocolViolation(CloseCode.PROTOCOL, "unknown opcode")
        if first & _RSV23 or (first & _RSV1 and (not self._deflated or opcode not in (TEXT, BINARY))):
            raise ProtocolViolation(CloseCode.PROTOCOL, "reserved bits")
        if opcode & 0x08:
            if not first & _FIN or length > _MAX_CONTROL_BYTES:
                raise ProtocolViolation(CloseCode.PROTOCOL, "bad control frame")
            return
        if (opcode == CONTINUATION) is (self._parts is None):
            raise ProtocolViolation(CloseCode.PROTOCOL, "bad continuation")
        if length + (len(self._parts) if self._parts is not None else 0) > self.limit:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")

    def _look_ahead(self, first: int, at: int) -> None:
        """Check the UTF-8 of an incomplete text frame; its masking key begins at `at`."""
        opcode = first & 0x0F
        if opcode == TEXT:
            if first & _RSV1:
                return
        elif opcode != CONTINUATION or self._kind != TEXT or self._compressed:
            return
        key, begin = bytes(self._buffer[at : at + 4]), at + 4 + self._checked
        if len(self._buffer) > begin:
            turn = self._checked & 3
            self._check_text(unmask(bytes(self._buffer[begin:]), key[turn:] + key[:turn]))
            self._checked = len(self._buffer) - at - 4

    def _check_text(self, data: bytes) -> None:
        if self._decoder is None:
            self._decoder = _TEXT_DECODER()
        try:
            self._decoder.decode(data)
        except UnicodeDecodeError:
            raise _bad_text() from None

    def _join(self, first: int, payload: bytes) -> Message | None:
        """Add a data frame; return the message if it is complete and not compressed, else None."""
        opcode = first & 0x0F
        checked, self._checked = self._checked, 0
        if opcode != CONTINUATION:
            self._kind, self._compressed = opcode, bool(first & _RSV1)
            self.fragments = 1
            if first & _FIN:
                return self._unpack(payload)
            self._parts = bytearray()
        else:
            self.fragments += 1
        assert self._parts is not None
        self._parts += payload
        if self.fragments > _MAX_FRAGMENTS + len(self._parts) // _LEAST_FRAGMENT_BYTES:
            raise ProtocolViolation(CloseCode.POLICY, "too many fragments")
        if not first & _FIN:
            if self._kind == TEXT and not self._compressed:
                self._check_text(payload[checked:])
            return None
        whole, self._parts = bytes(self._parts), None
        return self._unpack(whole)

    def _unpack(self, payload: bytes) -> Message | None:
        if not self._compressed:
            return self._finish(payload)
        self._inflation = Inflation(payload, self.limit)
        return None

    def _finish(self, payload: bytes) -> Message:
        self._decoder = None
        if self._kind == BINARY:
            return BINARY, payload
        try:
            return TEXT, payload.decode()
        except UnicodeDecodeError:
            raise _bad_text() from None


def _bad_text() -> ProtocolViolation:
    return ProtocolViolation(CloseCode.BAD_TEXT, "invalid UTF-8")
