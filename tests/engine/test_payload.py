import pytest

from gateway.core.frames import BinaryFrame, Frame
from gateway.engine import CloseCode, ProtocolViolation
from gateway.engine.payload import CLOSE, MESSAGE, NOOP, PONG, decode, join, split


def test_packets_are_split_at_the_record_separator() -> None:
    assert list(split("4h€\x1e3\x1ebAQ==".encode())) == ["4h€", "3", "bAQ=="]


def test_a_body_of_thousands_of_packets_is_split() -> None:
    assert len(list(split(b"\x1e".join([b"4x"] * 5000)))) == 5000


def test_a_body_must_be_utf8() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        list(split(b"4\xff"))
    assert caught.value.code == CloseCode.BAD_TEXT


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        *(("4hello", (MESSAGE, "hello")), ("4", (MESSAGE, ""))),
        *(("3", (PONG, "")), ("1", (CLOSE, "")), ("6", (NOOP, ""))),
        ("bAQIDBA==", (MESSAGE, b"\x01\x02\x03\x04")),
        (b"4abc", (MESSAGE, b"4abc")),
    ],
)
def test_packets_of_a_client(message: str | bytes, packet: tuple[str, str | bytes]) -> None:
    assert decode(message) == packet


@pytest.mark.parametrize("message", ["", "abc", "0{}", "2", "2probe", "5", "7x", "\x1e", "b!", "bAQ", "bé"])
def test_other_packets_are_violations(message: str) -> None:
    with pytest.raises(ProtocolViolation):
        decode(message)


def test_a_payload_keeps_to_the_limit() -> None:
    frames = [Frame(b"x" * 9) for _ in range(10)]
    body, count = join(frames, 32)
    assert (body, count) == (b"\x1e".join([b"4" + b"x" * 9] * 3), 3)
    assert len(body) == 32
    assert join(frames, 31)[1] == 2


def test_a_payload_holds_at_least_one_packet() -> None:
    assert join([Frame(b"x" * 100), Frame(b"y")], 10) == (b"4" + b"x" * 100, 1)


def test_a_payload_mixes_text_and_bytes() -> None:
    assert join([Frame(b"hello"), BinaryFrame(b"\x01\x02\x03\x04")], 100) == (b"4hello\x1ebAQIDBA==", 2)
