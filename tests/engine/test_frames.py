import pytest

from gateway.core.frames import BinaryFrame, Bundle, Frame
from gateway.engine import payload
from gateway.engine.control_frames import PING, close_code, close_frame


@pytest.mark.parametrize("size", [0, 124, 125, 126, 65534, 65535, 65536])
def test_a_frame_is_a_finished_text_message_on_both_transports(size: int) -> None:
    text = b"x" * size
    frame = Frame(text)
    assert frame.wire[0] == 0x81
    assert frame.wire.endswith(b"4" + text)
    assert frame.packet == b"4" + text


def test_lengths_are_encoded_in_the_shortest_form() -> None:
    assert Frame(b"x" * 124).wire[:2] == b"\x81\x7d"
    assert Frame(b"x" * 125).wire[:4] == b"\x81\x7e\x00\x7e"
    assert Frame(b"x" * 65535).wire[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")


def test_bytes_are_binary_on_a_websocket_and_base64_in_a_payload() -> None:
    frame = BinaryFrame(b"\x01\x02\x03\x04")
    assert frame.wire == b"\x82\x04\x01\x02\x03\x04"
    assert frame.packet == b"bAQIDBA=="


def test_a_bundle_is_its_messages_one_after_the_other_on_both_transports() -> None:
    bundle = Bundle([Frame(b"2[1]"), BinaryFrame(b"\x00")])
    assert bundle.wire == bundle.deflated == Frame(b"2[1]").wire + BinaryFrame(b"\x00").wire
    assert [*payload.split(bundle.packet)] == ["42[1]", "bAA=="]


def test_control_packets_carry_no_message_type() -> None:
    assert (PING.wire, PING.packet) == (b"\x81\x012", b"2")


def test_a_close_reason_is_cut_to_fit_and_stays_text() -> None:
    frame = close_frame(1008, "€" * 100)
    assert len(frame) <= 127
    frame[4:].decode()


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        *((b"", 1000), (b"\x03\xe9", 1001), ((4001).to_bytes(2, "big") + b"why", 4001), (b"\x03", 1002)),
        *((code.to_bytes(2, "big"), 1002) for code in (1005, 1006, 999, 2000)),
    ],
)
def test_a_close_frame_is_answered_with_its_code_or_told_off(payload: bytes, answer: int) -> None:
    assert close_code(payload) == answer
