import random
import zlib
from typing import Any

import pytest

from gateway.core.frames import Frame
from gateway.engine import CloseCode, CloseReason, Compression
from gateway.engine.reader import CONTINUATION, TEXT
from gateway.engine.websocket import WebSocket
from tests.engine.rig import serve
from tests.support.waiting import until
from tests.support.websocket import Peer, frame, opened, packed

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
OF_STRANGERS: dict[str, Any] = {"compression": Compression(), "max_stranger_bytes": 16_384}


async def inflated(peer: Peer) -> tuple[int, bytes]:
    first, payload = await peer.frame()
    return first, zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


async def test_it_is_off_unless_asked_for() -> None:
    async with serve() as rig, opened(rig.port, headers=OFFER) as peer:
        assert "sec-websocket-extensions" not in peer.headers
        peer.raw(frame(TEXT, packed(b"4x"), rsv=0x40))
        assert await peer.close_code() == CloseCode.PROTOCOL


async def test_both_directions_are_compressed_and_a_frame_only_once() -> None:
    async with serve(compression=Compression()) as rig, opened(rig.port, headers=OFFER) as peer:
        assert peer.headers["sec-websocket-extensions"].startswith("permessage-deflate; server_no_context")
        async with opened(rig.port, headers=OFFER) as other, opened(rig.port) as plain:
            shared = Frame(b"some words " * 100)
            for socket in rig.notes.opened:
                socket.send_frame(shared)
            assert await inflated(peer) == (0xC1, shared.packet)
            assert await inflated(other) == (0xC1, shared.packet)
            assert await plain.receive() == shared.packet.decode()
        rig.notes.opened[0].send_frames([shared])
        assert await inflated(peer) == (0xC1, shared.packet)
        peer.raw(frame(TEXT, packed(b"4" + b"echo " * 200), rsv=0x40))
        assert await inflated(peer) == (0xC1, b"4" + b"echo " * 200)
        peer.send("4plain")
        assert await peer.receive() == "4plain"


async def test_a_bomb_does_not_go_off() -> None:
    options: dict[str, Any] = {"compression": Compression(), "max_payload_bytes": 10_000}
    async with serve(**options) as rig, opened(rig.port, headers=OFFER) as peer:
        peer.raw(frame(TEXT, packed(b"4" + bytes(5_000_000)), rsv=0x40))
        assert await peer.close_code() == CloseCode.TOO_BIG


async def test_a_stranger_sends_no_more_packed_than_plain() -> None:
    async with serve(**OF_STRANGERS) as rig, opened(rig.port, headers=OFFER) as peer:
        peer.raw(frame(TEXT, packed(b"4" + b"x" * 16_383), rsv=0x40))
        assert len(await inflated(peer)) == 2
        peer.raw(frame(TEXT, packed(b"4" + b"x" * 900_000), rsv=0x40))
        assert await peer.close_code() == CloseCode.TOO_BIG
        assert [len(message) for message in rig.notes.received] == [16_383]


async def test_a_member_sends_as_much_as_it_may() -> None:
    async with serve(**OF_STRANGERS) as rig, opened(rig.port, headers=OFFER) as peer:
        rig.socket.vouch()
        peer.raw(frame(TEXT, packed(b"4" + b"x" * 900_000), rsv=0x40))
        first, data = await inflated(peer)
        assert (first, len(data)) == (0xC1, 900_001)


@pytest.mark.parametrize("fragments", [1, 4000])
async def test_a_message_that_takes_long_lets_others_have_their_turn(fragments: int) -> None:
    async with serve(compression=Compression()) as rig, opened(rig.port, headers=OFFER) as peer:
        text = b"4" + random.Random(8).randbytes(499_999).hex().encode()
        data = packed(text)
        size = len(data) // fragments + 1
        channel = rig.socket.channel
        assert isinstance(channel, WebSocket)
        channel.data_received(frame(TEXT, data[:size], fin=fragments == 1, rsv=0x40))
        for number in range(1, fragments):
            piece = data[number * size : (number + 1) * size]
            channel.data_received(frame(CONTINUATION, piece, fin=number == fragments - 1))
        assert rig.notes.received == []
        await inflated(peer)
        assert [len(message) for message in rig.notes.received] == [999_998]


async def test_what_it_takes_to_unpack_is_counted() -> None:
    options: dict[str, Any] = {"compression": Compression(), "messages_per_s": 0.001, "messages_burst": 10}
    async with serve(**options) as rig, opened(rig.port, headers=OFFER) as peer:
        # A million bytes of blocks without content: 61 steps, and a message of nothing.
        peer.raw(frame(TEXT, b"\x00\x00\x00\xff\xff" * 199_998 + b"\x00", rsv=0x40))
        assert await peer.close_code() == CloseCode.POLICY
        await until(lambda: rig.reasons == [CloseReason.FLOOD])
