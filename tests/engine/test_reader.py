from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.errors import CloseCode, ProtocolViolation
from gateway.engine.reader import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WORKED, FrameReader, Message
from tests.support.websocket import frame


def messages(reader: FrameReader, data: bytes) -> Iterator[Message]:
    reader.feed(data)
    while (message := reader.next()) is not None:
        if message[0] != WORKED:
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


@pytest.mark.parametrize(
    ("opcode", "payload"), [(CLOSE, b"\x03\xe8bye"), (BINARY, b"\xff\xfe")], ids=["close", "bytes"]
)
def test_what_is_no_text_need_not_be_utf8(opcode: int, payload: bytes) -> None:
    assert read(frame(opcode, payload)) == [(opcode, payload)]


BEYOND = {
    "a header that is too large": (frame(TEXT, b"x" * 1001)[:4], CloseCode.TOO_BIG),
    "the largest header": (b"\x81\xff" + (2**63 - 1).to_bytes(8, "big"), CloseCode.TOO_BIG),
    "fragments together": (
        frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401)[:4],
        CloseCode.TOO_BIG,
    ),
    "empty fragments": (
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 2000,
        CloseCode.POLICY,
    ),
    "no UTF-8": (frame(TEXT, b"4\xff\xfe"), CloseCode.BAD_TEXT),
}


@pytest.mark.parametrize(("data", "code"), BEYOND.values(), ids=BEYOND)
def test_what_is_beyond_the_limits_or_no_text_is_refused_with_its_code(data: bytes, code: int) -> None:
    assert violation(data) == code


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x", masked=False),
        *(frame(TEXT, b"x", rsv=bit) for bit in (0x40, 0x20, 0x10)),
        *(frame(PING, b"x", rsv=0x40), frame(0x3, b"x"), frame(0xB, b"x"), frame(PING, b"x" * 126)[:4]),
        *(b"\x89\xff" + bytes(8) + b"mask", b"\x89\xfe\x00\x01maskx"),
        b"\x81\xfe\x00\x7dmask" + b"x" * 125,
        b"\x81\xff" + (0xFFFF).to_bytes(8, "big") + b"mask",
        *(frame(PING, b"x", fin=False), frame(CLOSE, b"x", fin=False), frame(CONTINUATION, b"x")),
        frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"),
    ],
    ids=map(str, range(99)),
)
def test_what_the_rfc_forbids_is_a_protocol_error(data: bytes) -> None:
    assert violation(data) == CloseCode.PROTOCOL


# As Autobahn's cases 6.4: a valid beginning, a code point that there is not, and a valid end.
BEGINNING, BAD, END = "κόσμε".encode(), b"\xf4\x90\x80\x80", b"edited"


def bytes_until_refused(data: bytes, size: int = 1) -> int:
    """Feed a reader piece by piece; return how many bytes it took to see what is wrong."""
    reader = FrameReader(1000)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        try:
            assert reader.next() is None
        except ProtocolViolation as violation:
            return at + size if violation.code == CloseCode.BAD_TEXT else -violation.code
    raise AssertionError("never")


@pytest.mark.parametrize("bad", [BAD, BAD[:2]])
def test_bad_text_is_refused_by_the_fragment_that_it_is_in(bad: bytes) -> None:
    first = frame(TEXT, BEGINNING + bad[:1], fin=False)
    second = frame(CONTINUATION, bad[1:], fin=False)
    assert bytes_until_refused(first + second + frame(CONTINUATION, END)) == len(first) + 8 - 1


def test_bad_text_is_refused_before_its_frame_is_whole() -> None:
    data = frame(TEXT, BEGINNING + BAD + END)
    assert bytes_until_refused(data) == 6 + len(BEGINNING) + 2
    assert bytes_until_refused(data, size=19) == 19
    pieces = frame(TEXT, BEGINNING, fin=False) + frame(CONTINUATION, BAD + END)
    assert bytes_until_refused(pieces) == 6 + len(BEGINNING) + 6 + 2


def test_text_that_came_in_pieces_is_whole() -> None:
    reader, text = FrameReader(10_000), "4" + "κόσμε" * 200
    first, rest = text.encode()[:501], text.encode()[501:]
    data = frame(TEXT, first, fin=False) + frame(PING, b"") + frame(CONTINUATION, rest)
    got = [message for at in range(len(data)) for message in messages(reader, data[at : at + 1])]
    assert got == [(PING, b""), (TEXT, text)]


def test_small_fragments_of_a_large_message_are_taken_step_by_step() -> None:
    count = 16_384
    reader = FrameReader(1 << 20)
    fragment = frame(CONTINUATION, b"x" * 64, fin=False)
    reader.feed(frame(BINARY, b"x" * 64, fin=False) + fragment * (count - 2) + frame(CONTINUATION, b"x" * 64))
    for _ in range(count // 256 - 1):
        assert reader.next() == (WORKED, b"")
    assert reader.next() == (BINARY, b"x" * (1 << 20))
    assert reader.fragments == count


def test_messages_before_a_violation_are_given() -> None:
    reader = FrameReader(1000)
    reader.feed(frame(TEXT, b"4a") + frame(TEXT, b"4b", masked=False))
    assert reader.next() == (TEXT, "4a")
    with pytest.raises(ProtocolViolation):
        reader.next()
