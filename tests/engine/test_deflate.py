import itertools
import random
import zlib

import pytest

from gateway.core.frames import BinaryFrame, Frame, payload_offset
from gateway.engine import CloseCode, Compression, ProtocolViolation
from gateway.engine.control_frames import PING
from gateway.engine.deflate import Deflater, Inflation, negotiate
from tests.support.websocket import packed, without_content

TEXT = b'["message:new",' + b'{"a":"some words that come again, some words"}' * 10 + b"]"
PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def inflated(wire: bytes) -> bytes:
    stream = zlib.decompressobj(-15)
    return stream.decompress(wire[payload_offset(wire) :] + b"\x00\x00\xff\xff")


def test_a_frame_is_compressed_once_for_all() -> None:
    deflater, frame = Deflater(Compression()), Frame(TEXT)
    wire = deflater.wire(frame)
    assert wire[0] == 0xC1
    assert len(wire) < len(frame.wire) / 2
    assert inflated(wire) == b"4" + TEXT
    assert deflater.wire(frame) is wire


def test_bytes_are_compressed_too() -> None:
    wire = Deflater(Compression()).wire(BinaryFrame(bytes(1000)))
    assert wire[0] == 0xC2
    assert inflated(wire) == bytes(1000)


@pytest.mark.parametrize("frame", [Frame(b"x" * 100), PING, BinaryFrame(bytes(range(256)) * 1)])
def test_what_is_small_or_does_not_shrink_stays_plain(frame: Frame) -> None:
    assert Deflater(Compression(threshold_bytes=200)).wire(frame) == frame.wire


def unpack(payload: bytes, max_bytes: int = 1000) -> tuple[bytes, int]:
    """Return a message unpacked, and in how many steps."""
    inflation = Inflation(payload, max_bytes)
    steps = 1
    while (data := inflation.step()) is None:
        steps += 1
    return data, steps


def refused(payload: bytes, max_bytes: int = 1000) -> tuple[int, int, int]:
    """Return how a message is refused: code, bytes that were unpacked, steps that it took."""
    inflation = Inflation(payload, max_bytes)
    for steps in itertools.count(1):
        try:
            assert inflation.step() is None
        except ProtocolViolation as violation:
            return violation.code, len(inflation._unpacked), steps
    raise AssertionError


@pytest.mark.parametrize("max_bytes", [1000, 16_384, 1_000_000])
def test_a_bomb_is_unpacked_to_one_byte_more_than_the_limit(max_bytes: int) -> None:
    code, unpacked, _ = refused(packed(bytes(50_000_000))[:16_384], max_bytes)
    assert (code, unpacked) == (CloseCode.TOO_BIG, max_bytes + 1)


def test_a_large_message_is_unpacked_step_by_step() -> None:
    data, steps = unpack(packed(bytes(3_000_000)), 3_000_000)
    assert data == bytes(3_000_000)
    assert steps == 12
    noise = random.Random(8).randbytes(1_000_000)
    data, steps = unpack(packed(noise), 1_000_000)
    assert data == noise
    assert steps == 62


def test_blocks_without_content_are_unpacked_step_by_step() -> None:
    blocks = without_content(20_000)
    assert unpack(blocks) == (b"", -(-(len(blocks) + 9) // 16_384))


def test_a_message_of_exactly_the_limit_passes() -> None:
    assert unpack(packed(bytes(1000))) == (bytes(1000), 1)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", packed(TEXT)[:-9], packed(b"x" * 999)[:2]], ids=len)
def test_garbage_and_what_was_cut_off_do_not_inflate(data: bytes) -> None:
    assert refused(data)[0] == CloseCode.BAD_TEXT


# As in RFC 7692, 7.2.3.
EXAMPLES = {
    "one block": ("f248cdc9c90700", b"Hello"),
    "no compression": ("000500faff48656c6c6f00", b"Hello"),
    "a last block": ("f348cdc9c9070000", b"Hello"),
    "two blocks": ("f248050000 00ffffcac9c90700", b"Hello"),
    "empty": ("00", b""),
}


@pytest.mark.parametrize(("payload", "data"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_the_document(payload: str, data: bytes) -> None:
    assert unpack(bytes.fromhex(payload))[0] == data


def test_what_follows_a_block_that_says_to_be_the_last_is_not_lost() -> None:
    first, second = zlib.compress(TEXT, 9, wbits=-15), packed(TEXT)
    assert unpack(first)[0] == TEXT
    assert unpack(first + second)[0] == TEXT * 2
    # The window goes on as well.
    seen = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=TEXT)
    again = seen.compress(TEXT) + seen.flush(zlib.Z_FINISH)
    assert unpack(first + again + b"\x00")[0] == TEXT * 2


def test_last_blocks_without_end_are_refused() -> None:
    code, _, steps = refused(zlib.compress(b"x", 9, wbits=-15) * 5000, 100_000)
    assert (code, steps) == (CloseCode.POLICY, 64)


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
