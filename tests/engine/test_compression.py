import zlib
from typing import Any

from gateway.engine import CloseCode, Compression, Frame
from gateway.engine.reader import TEXT
from tests.engine.rig import serve
from tests.engine.wire import Peer, frame, opened

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def inflated(peer: Peer) -> tuple[int, bytes]:
    first, payload = await peer.frame()
    return first, zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


async def test_it_is_off_unless_asked_for() -> None:
    async with serve() as rig, opened(rig.port, headers=OFFER) as peer:
        assert "sec-websocket-extensions" not in peer.headers
        peer.raw(frame(TEXT, deflate(b"4x"), rsv=0x40))
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
        peer.raw(frame(TEXT, deflate(b"4" + b"echo " * 200), rsv=0x40))
        assert await inflated(peer) == (0xC1, b"4" + b"echo " * 200)
        peer.send("4plain")
        assert await peer.receive() == "4plain"


async def test_a_bomb_does_not_go_off() -> None:
    options: dict[str, Any] = {"compression": Compression(), "max_payload_bytes": 10_000}
    async with serve(**options) as rig, opened(rig.port, headers=OFFER) as peer:
        peer.raw(frame(TEXT, deflate(b"4" + bytes(5_000_000)), rsv=0x40))
        assert await peer.close_code() == CloseCode.TOO_BIG
