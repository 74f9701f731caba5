from typing import Any

import pytest

from gateway.core.frames import Frame
from gateway.engine import CloseCode, CloseReason
from gateway.engine.reader import CLOSE, CONTINUATION, PING, TEXT
from tests.engine.rig import serve
from tests.support.waiting import until
from tests.support.websocket import frame, opened, websocket


async def test_a_session_opens_with_the_facts_of_the_protocol() -> None:
    async with serve(ping_interval_s=0.5, ping_timeout_s=0.25) as rig, opened(rig.port) as peer:
        assert peer.session == {
            "sid": rig.socket.sid,
            "upgrades": [],
            "pingInterval": 500,
            "pingTimeout": 250,
            "maxPayload": 1_000_000,
        }
        assert len(rig.socket.sid) == 20
        assert rig.socket.transport == "websocket"


async def test_text_and_bytes_go_both_ways_in_order() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        sent: list[str | bytes] = ["4a", b"\x00\xff", "4" + "€" * 40_000, b"x" * 70_000, "4z"]
        for message in sent:
            peer.send(message)
        assert [await peer.receive() for _ in sent] == sent


async def test_several_frames_go_out_in_one_go() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        rig.socket.send_frames([Frame(b"%d" % number) for number in range(100)])
        assert [await peer.receive() for _ in range(100)] == [f"4{number}" for number in range(100)]
        rig.socket.close()
        rig.socket.send_frames([Frame(b"late")])
        await peer.close_code()


async def test_base64_in_text_is_bytes() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.send("bAQIDBA==")
        assert await peer.receive() == b"\x01\x02\x03\x04"


async def test_what_arrives_with_the_handshake_is_not_lost() -> None:
    tail = frame(TEXT, b"4first") + frame(TEXT, b"4second")
    async with serve() as rig, opened(rig.port, tail=tail) as peer:
        assert [await peer.receive(), await peer.receive()] == ["4first", "4second"]


async def test_a_large_message_behind_the_handshake_is_not_lost() -> None:
    text = "4" + "x" * 500_000
    async with serve() as rig, opened(rig.port, tail=frame(TEXT, text.encode())) as peer:
        assert await peer.receive() == text


async def test_fragments_and_pings_between_them() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, b"4he", fin=False) + frame(PING, b"?") + frame(CONTINUATION, b"llo"))
        assert await peer.frame() == (0x8A, b"?")
        assert await peer.receive() == "4hello"


async def test_environ_tells_of_the_handshake_until_it_is_forgotten() -> None:
    headers = {"Authorization": "Bearer x", "User-Agent": "me", "X_Forwarded_For": "spoofed"}
    async with serve() as rig, opened(rig.port, headers=headers):
        environ = rig.socket.environ
        assert environ is not None
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["REQUEST_METHOD"] == "GET"
        assert environ["QUERY_STRING"] == "EIO=4&transport=websocket"
        assert (environ["HTTP_AUTHORIZATION"], environ["HTTP_USER_AGENT"]) == ("Bearer x", "me")
        assert "HTTP_X_FORWARDED_FOR" not in environ
        rig.socket.forget_handshake()
        assert rig.socket.environ is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        *((frame(TEXT, data), CloseCode.PROTOCOL) for data in (b"abc", b"", b"2", b"5")),
        (frame(TEXT, b"4x", masked=False), CloseCode.PROTOCOL),
        (frame(TEXT, b"4x", rsv=0x40), CloseCode.PROTOCOL),
        (frame(TEXT, b"4\xff"), CloseCode.BAD_TEXT),
        (frame(TEXT, b"4" + b"x" * 2000), CloseCode.TOO_BIG),
        (frame(TEXT, b"4" + b"x" * 2000)[:4], CloseCode.TOO_BIG),
    ],
    ids=map(str, range(99)),
)
async def test_a_violation_closes_with_its_code_and_one_line(data: bytes, code: int) -> None:
    async with serve(max_payload_bytes=1000) as rig, opened(rig.port) as peer:
        peer.raw(data)
        assert await peer.close_code() == code
        assert peer.reason
        await peer.eof()
        await until(rig.idle)
        assert rig.reasons == [CloseReason.PROTOCOL]
        assert [event for event, _ in rig.notes.logged] == ["engine_bad_peer"]
        assert rig.engine.stats.bad_frames == 1


async def test_a_message_of_exactly_the_limit_passes() -> None:
    async with serve(max_payload_bytes=1000) as rig, opened(rig.port) as peer:
        peer.send("4" + "x" * 999)
        assert await peer.receive() == "4" + "x" * 999


async def test_the_reason_is_seen_even_while_the_oversized_message_is_still_being_sent() -> None:
    async with serve(max_payload_bytes=1000, close_timeout_s=5.0) as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, b"4" + b"x" * 2_000_000))
        assert await peer.close_code() == CloseCode.TOO_BIG
        assert peer.reason == "message too big"


async def test_nothing_after_a_violation_is_handled() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, b"4a") + frame(TEXT, b"x") + frame(TEXT, b"4b"))
        await peer.close_code()
        assert rig.notes.received == ["a"]


async def test_the_clients_close_frame_is_answered_and_its_messages_handled() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, b"4last") + frame(CLOSE, (1001).to_bytes(2, "big")))
        assert await peer.receive() == "4last"
        assert await peer.close_code() == 1001
        await peer.eof()
        await until(rig.idle)
        assert rig.reasons == [CloseReason.TRANSPORT_CLOSE]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        *((b"", 1000), (b"\x03", 1002), (b"\x03\xe8", 1000), (b"\x03\xed", 1002), (b"\x13\x88", 1002)),
        (b"\x03\xe8" + "so long €".encode(), 1000),
        (b"\x03\xe8" + b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 1007),
        (b"\x03\xe8" + "€".encode()[:2], 1007),
    ],
    ids=map(str, range(99)),
)
async def test_a_close_frame_is_answered_with_its_code_or_what_is_wrong_with_it(payload: bytes, code: int) -> None:
    async with serve(close_timeout_s=60.0) as rig, opened(rig.port) as peer:
        peer.raw(frame(CLOSE, payload))
        assert await peer.close_code() == code
        await peer.eof()
        assert rig.reasons == [CloseReason.TRANSPORT_CLOSE]


async def test_after_a_violation_our_side_closes_at_once_whatever_the_peer_does() -> None:
    async with serve(close_timeout_s=60.0) as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, b"4x", rsv=0x20) + b"what follows is nothing")
        assert await peer.close_code() == CloseCode.PROTOCOL
        await peer.eof()
        assert rig.engine._context.closing
        peer.abort()
        await until(rig.idle)


async def test_after_our_close_our_side_closes_with_the_answer_and_not_before() -> None:
    async with serve(close_timeout_s=60.0) as rig, opened(rig.port) as peer:
        rig.socket.close("bye")
        assert await peer.close_code() == CloseCode.NORMAL
        # What was under way when the close came is no answer.
        peer.raw(frame(TEXT, b"4late") + frame(PING, b""))
        assert not peer.reader.at_eof()
        peer.raw(frame(CLOSE, b"\x03\xe8"))
        await peer.eof()
        peer.writer.close()
        await until(rig.idle)
        assert rig.notes.received == []


async def test_a_peer_that_answers_our_close_with_nonsense_is_not_waited_for() -> None:
    async with serve(close_timeout_s=60.0) as rig, opened(rig.port) as peer:
        rig.socket.close("bye")
        await peer.close_code()
        peer.raw(b"\xff\xff nonsense")
        await peer.eof()


async def test_engine_io_close_ends_the_session() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.send("1")
        assert await peer.close_code() == CloseCode.NORMAL
        await until(lambda: rig.reasons == [CloseReason.CLIENT])


async def test_an_abrupt_end_is_noticed() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.abort()
        await until(rig.idle)
        assert rig.reasons in ([CloseReason.TRANSPORT_CLOSE], [CloseReason.TRANSPORT_ERROR])


async def test_a_half_close_ends_the_session_too() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.writer.write_eof()
        await peer.eof()
        await until(rig.idle)


async def test_closing_sends_what_was_sent_before_then_the_code() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        rig.socket.send_text("bye")
        rig.socket.close("token expired", 1008)
        rig.socket.close()
        rig.socket.send_text("too late")
        assert rig.socket.closed
        assert await peer.receive() == "4bye"
        assert await peer.close_code() == 1008
        assert peer.reason == "token expired"
        peer.raw(frame(CLOSE, (1008).to_bytes(2, "big")))
        await peer.eof()
        await until(rig.idle)
        assert rig.reasons == ["token expired"]
        assert rig.engine.stats.closed == {"other": 1}


async def test_a_peer_that_does_not_answer_a_close_is_dropped_after_a_while() -> None:
    async with serve(close_timeout_s=0.1) as rig, opened(rig.port) as peer:
        rig.socket.close()
        await peer.close_code()
        await peer.eof()
        await until(rig.idle)


async def test_a_peer_that_does_not_read_is_dropped_after_a_while() -> None:
    options: dict[str, Any] = {"close_timeout_s": 0.1, "max_buffer_bytes": 1 << 28}
    async with serve(**options) as rig, opened(rig.port, limit=1024):
        for _ in range(40):
            rig.socket.send_text("x" * 1_000_000)
        assert rig.socket.buffered > 0
        rig.socket.close()
        await until(rig.idle)
        assert rig.socket.buffered == 0


async def test_sending_on_a_closed_socket_does_nothing() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.abort()
        await until(rig.idle)
        rig.socket.send_text("x")
        rig.socket.send_binary(b"x")
        rig.socket.close()
        assert (rig.socket.buffered, rig.reasons.count("server disconnect")) == (0, 0)


async def test_a_bad_handshake_gets_an_http_status() -> None:
    async with serve() as rig:
        for headers, status in [
            ({"Sec-WebSocket-Version": "8"}, 426),
            ({"Sec-WebSocket-Key": "short"}, 400),
            ({"Sec-WebSocket-Key": "not base64 at all!!!!!"}, 400),
        ]:
            async with websocket(rig.port, headers=headers) as peer:
                assert peer.status == status
        assert rig.idle()


async def test_a_second_websocket_of_a_session_is_closed_and_the_first_goes_on() -> None:
    async with serve() as rig, opened(rig.port) as first:
        async with websocket(rig.port, sid=rig.socket.sid) as second:
            assert second.status == 101
            assert await second.close_code() == CloseCode.POLICY
        first.send("4still here")
        assert await first.receive() == "4still here"
