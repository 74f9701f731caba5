from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.errors import CloseCode, ProtocolViolation
from gateway.engine.reader import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, FrameReader, Message
from tests.engine.wire import frame


def messages(reader: FrameReader, data: bytes) -> Iterator[Message]:
    reader.feed(data)
    while (message := reader.next()) is not None:
        yield message


def read(data: bytes, max_bytes: int = 1000) -> list[Message]:
    return list(messages(FrameReader(max_bytes), data))


def violation(data: bytes, max_bytes: int = 1000) -> int:
    with pytest.raises(ProtocolViolation) as caught:
        read(data, max_bytes)
    return caught.value.code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_every_length_encoding(size: int) -> None:
    text = "x" * size
    assert read(frame(TEXT, text.encode()), 100_000) == [(TEXT, text)]


@given(st.lists(st.text() | st.binary(), max_size=8), st.integers(1, 40))
def test_frames_are_found_however_the_bytes_are_cut(sent: list[str | bytes], size: int) -> None:
    data = b"".join(frame(TEXT, item.encode()) if isinstance(item, str) else frame(BINARY, item) for item in sent)
    reader, got = FrameReader(10_000), []
    for start in range(0, len(data), size):
        got += [payload for _, payload in messages(reader, data[start : start + size])]
    assert got == sent


def test_fragments_become_one_message_with_control_frames_between() -> None:
    data = (
        frame(TEXT, "4h€".encode()[:3], fin=False)
        + frame(PING, b"p")
        + frame(CONTINUATION, "4h€".encode()[3:], fin=False)
        + frame(CONTINUATION, b"llo")
        + frame(PONG, b"")
    )
    assert read(data) == [(PING, b"p"), (TEXT, "4h€llo"), (PONG, b"")]


def test_a_close_frame_gives_its_payload() -> None:
    assert read(frame(CLOSE, b"\x03\xe8bye")) == [(CLOSE, b"\x03\xe8bye")]


def test_an_oversized_message_is_refused_from_its_header_on() -> None:
    head = frame(TEXT, b"x" * 1001)[:4]
    assert violation(head) == CloseCode.TOO_BIG
    assert violation(b"\x81\xff" + (2**63 - 1).to_bytes(8, "big")) == CloseCode.TOO_BIG


def test_fragments_are_bounded_together() -> None:
    data = frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401)[:4]
    assert violation(data) == CloseCode.TOO_BIG


def test_endless_empty_fragments_are_refused() -> None:
    data = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 2000
    assert violation(data) == CloseCode.POLICY


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x", masked=False),
        frame(TEXT, b"x", rsv=0x40),
        frame(TEXT, b"x", rsv=0x20),
        frame(TEXT, b"x", rsv=0x10),
        frame(PING, b"x", rsv=0x40),
        frame(0x3, b"x"),
        frame(0xB, b"x"),
        frame(PING, b"x" * 126)[:4],
        b"\x89\xff" + bytes(8) + b"mask",
        b"\x89\xfe\x00\x01maskx",
        b"\x81\xfe\x00\x7dmask" + b"x" * 125,
        b"\x81\xff" + (0xFFFF).to_bytes(8, "big") + b"mask",
        frame(PING, b"x", fin=False),
        frame(CLOSE, b"x", fin=False),
        frame(CONTINUATION, b"x"),
        frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"),
    ],
    ids=map(str, range(99)),
)
def test_what_the_rfc_forbids_is_a_protocol_error(data: bytes) -> None:
    assert violation(data) == CloseCode.PROTOCOL


def test_text_must_be_utf8() -> None:
    assert violation(frame(TEXT, b"4\xff\xfe")) == CloseCode.BAD_TEXT


def test_bytes_need_not_be_utf8() -> None:
    assert read(frame(BINARY, b"\xff\xfe")) == [(BINARY, b"\xff\xfe")]


def test_messages_before_a_violation_are_given() -> None:
    reader = FrameReader(1000)
    reader.feed(frame(TEXT, b"4a") + frame(TEXT, b"4b", masked=False))
    assert reader.next() == (TEXT, "4a")
    with pytest.raises(ProtocolViolation):
        reader.next()
