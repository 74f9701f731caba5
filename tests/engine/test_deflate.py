import zlib

import pytest

from gateway.engine import BinaryFrame, CloseCode, Compression, Frame, ProtocolViolation
from gateway.engine.deflate import Deflater, negotiate
from gateway.engine.frame import PING, payload_offset

TEXT = b'["message:new",' + b'{"a":"some words that come again, some words"}' * 10 + b"]"
PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def inflated(wire: bytes) -> bytes:
    stream = zlib.decompressobj(-15)
    return stream.decompress(wire[payload_offset(wire) :] + b"\x00\x00\xff\xff")


def test_a_frame_is_compressed_once_for_all() -> None:
    deflater, frame = Deflater(Compression(), 1000), Frame(TEXT)
    wire = deflater.wire(frame)
    assert wire[0] == 0xC1
    assert len(wire) < len(frame.wire) / 2
    assert inflated(wire) == b"4" + TEXT
    assert deflater.wire(frame) is wire


def test_bytes_are_compressed_too() -> None:
    wire = Deflater(Compression(), 1000).wire(BinaryFrame(bytes(1000)))
    assert wire[0] == 0xC2
    assert inflated(wire) == bytes(1000)


@pytest.mark.parametrize("frame", [Frame(b"x" * 100), PING, BinaryFrame(bytes(range(256)) * 1)])
def test_what_is_small_or_does_not_shrink_stays_plain(frame: Frame) -> None:
    assert Deflater(Compression(threshold_bytes=200), 1000).wire(frame) == frame.wire


def test_inflating_stops_at_the_limit() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(bytes(50_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(ProtocolViolation) as caught:
        Deflater(Compression(), 1000).inflate(bomb[:-4])
    assert caught.value.code == CloseCode.TOO_BIG


def test_a_message_of_exactly_the_limit_passes() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = stream.compress(bytes(1000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert Deflater(Compression(), 1000).inflate(data[:-4]) == bytes(1000)


def test_garbage_does_not_inflate() -> None:
    with pytest.raises(ProtocolViolation):
        Deflater(Compression(), 1000).inflate(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate; client_max_window_bits", PLAIN),
        ("permessage-deflate", PLAIN),
        ("x-webkit-deflate-frame, Permessage-Deflate", PLAIN),
        ("permessage-deflate; server_max_window_bits=15", PLAIN + "; server_max_window_bits=12"),
        ('permessage-deflate; server_max_window_bits="12"', PLAIN + "; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", PLAIN),
        ("permessage-deflate; server_max_window_bits=9", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=016", None),
        ("permessage-deflate; client_max_window_bits=99", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("", None),
        (";;,,=", None),
    ],
)
def test_offers_are_answered_without_context(offer: str, answer: str | None) -> None:
    assert negotiate(offer, Compression(window_bits=12)) == answer


def test_a_window_that_zlib_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="window_bits"):
        Compression(window_bits=8)
