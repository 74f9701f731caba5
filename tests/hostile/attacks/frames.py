"""Websocket frames that no browser sends, and ones that it sends and does not take back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from gateway.app.replica import STRANGER_BYTES
from gateway.engine.errors import CloseCode
from gateway.engine.reader import BINARY, CONTINUATION, PING, TEXT
from tests.hostile.attacker import connecting, end_of, opening, until_closed
from tests.hostile.cases import Stage, case
from tests.support.tokens import mint
from tests.support.waiting import until
from tests.support.websocket import Peer, frame, packed, without_content

BROKEN = {
    "unmasked": (frame(TEXT, b"42", masked=False), CloseCode.PROTOCOL),
    "reserved bits": (frame(TEXT, b"42", rsv=0x70), CloseCode.PROTOCOL),
    "unknown opcode": (frame(0x7, b""), CloseCode.PROTOCOL),
    "continuation of nothing": (frame(CONTINUATION, b"x"), CloseCode.PROTOCOL),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), CloseCode.PROTOCOL),
    "a length of 2 ** 63": (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), CloseCode.TOO_BIG),
    "endless fragments": (
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 5000,
        CloseCode.POLICY,
    ),
    "invalid UTF-8": (frame(TEXT, b'42["ping","\xff\xfe"]'), CloseCode.BAD_TEXT),
    "half a surrogate pair": (frame(TEXT, b'42["ping","\xed\xa0\x80"]'), CloseCode.BAD_TEXT),
    "compressed, which nobody agreed to": (frame(TEXT, b"\xca\x49", rsv=0x40), CloseCode.PROTOCOL),
    "an Engine.IO open": (frame(TEXT, b'0{"sid":"x"}'), CloseCode.PROTOCOL),
    "an Engine.IO packet of nothing": (frame(TEXT, b""), CloseCode.PROTOCOL),
    "broken base64": (frame(TEXT, b"b*"), CloseCode.PROTOCOL),
    "bytes out of the blue": (frame(BINARY, bytes(1000)), CloseCode.PROTOCOL),
}


@case("unmasked frames, invalid UTF-8, reserved bits, endless fragments, lengths of 2⁶³ …", log_kib=40)
async def broken_frames(stage: Stage) -> None:
    for name, (data, code) in BROKEN.items():
        for enter in (connecting, opening):
            end = await end_of(enter(stage.port), data)
            assert end.code == code, f"{name}: {end}"
    stage.closed = f"{len(BROKEN) * 2} of {len(BROKEN) * 2} closed with their code"


@case("websocket pings without end, whose answers nobody reads")
async def unread_pongs(stage: Stage) -> None:
    sessions = stage.arena.sessions()
    async with connecting(stage.port) as peer:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        began = stage.now()
        peer.raw(frame(PING, bytes(125)) * stage.times(200_000, 20_000))
        await until(lambda: stage.arena.sessions() == sessions, what="the attacker to be closed")
    stage.closed = f"closed after {stage.now() - began:.1f} s"


COMPRESSION = {"GATEWAY_COMPRESSION": "shared"}
COMPRESSING = {"Sec-WebSocket-Extensions": "permessage-deflate"}


def _bomb(size: int) -> bytes:
    return packed(b"6" + b" " * size)


@case("compressed frames that unpack to 100 MB each, by 10 sockets", settings=COMPRESSION, memory_mib=24)
async def deflate_bombs(stage: Stage) -> None:
    bomb = frame(TEXT, _bomb(100_000_000), rsv=0x40)

    async def attack() -> int:
        async with connecting(stage.port, headers=COMPRESSING) as peer:
            assert "permessage-deflate" in peer.headers["sec-websocket-extensions"]
            peer.raw(bomb * 10)
            return (await until_closed(peer)).code

    codes = await asyncio.gather(*(attack() for _ in range(10)))
    assert set(codes) == {CloseCode.TOO_BIG}
    stage.closed = "closed at the first, unpacked to 1 MB at most, 1009"


@case("compressed frames of strangers, 10 KB that unpack to 10 MB each", settings=COMPRESSION, log_kib=40)
async def deflate_bombs_of_strangers(stage: Stage) -> None:
    bomb = frame(TEXT, _bomb(10_000_000), rsv=0x40)
    assert len(bomb) < STRANGER_BYTES
    count = stage.times(500, 50)

    async def cpu_ms(data: bytes, code: int) -> float:
        began = stage.arena.cpu_s()
        assert {(await end_of(opening(stage.port, COMPRESSING), data)).code for _ in range(count)} == {code}
        return (stage.arena.cpu_s() - began) / count * 1e3

    plain_ms = await cpu_ms(frame(TEXT, bytes(len(bomb) - 8)), CloseCode.PROTOCOL)
    bomb_ms = await cpu_ms(bomb, CloseCode.TOO_BIG)
    stage.note(f"{bomb_ms:.2f} ms of CPU each with its connect; {plain_ms:.2f} of one that is plain nonsense")
    stage.closed = "closed at the first, unpacked to 16 KiB and one byte, 1009"


@case(
    "a megabyte of compressed blocks without content from each of 5 sockets", settings=COMPRESSION, memory_mib=24
)
async def deflate_without_content(stage: Stage) -> None:
    data = frame(TEXT, without_content(stage.times(80_000, 20_000)), rsv=0x40)
    ends = await asyncio.gather(*(end_of(connecting(stage.port, headers=COMPRESSING), data) for _ in range(5)))
    assert {end.code for end in ends} == {CloseCode.PROTOCOL}
    stage.closed = f"{len(data):,} bytes of nothing, unpacked in turns of 16 KiB; 1002"


@case("compressed frames that unpack to just what is allowed, 200 in a row", settings=COMPRESSION, memory_mib=24)
async def deflate_charges(stage: Stage) -> None:
    charge = frame(TEXT, _bomb(999_000), rsv=0x40)
    async with connecting(stage.port, headers=COMPRESSING) as peer:
        peer.raw(charge * 200)
        await peer.pong()
    stage.closed = f"taken: {len(charge)} bytes become 1 MB, in turns"


async def _send_half(stage: Stage, enter: Callable[[int], AbstractAsyncContextManager[Peer]], count: int) -> None:
    """Have sockets announce 900 KB and send half of it, and keep them as long as they may stay."""

    async def attack() -> None:
        async with enter(stage.port) as peer:
            peer.raw(frame(TEXT, bytes(900_000))[:450_000])
            with contextlib.suppress(ConnectionError):
                await peer.writer.drain()
            await peer.eof()

    attackers = [asyncio.ensure_future(attack()) for _ in range(count)]
    await asyncio.wait(attackers, timeout=stage.times(5, 1))
    stage.closed = f"{sum(attacker.done() for attacker in attackers)} of {count} closed"
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)


@case("half a large message from each of 500 strangers", memory_mib=16)
async def half_messages_of_strangers(stage: Stage) -> None:
    await _send_half(stage, opening, stage.times(500, 100))


@case("half a large message from each of 40 sockets of one user", memory_mib=60, log_kib=60)
async def half_messages_of_a_user(stage: Stage) -> None:
    token = mint()
    await _send_half(stage, lambda port: connecting(port, token), 40)


@case("250,000 packets that are no events: NOOP, PONG, ACK", row="14")
async def other_packets(stage: Stage) -> None:
    count = stage.times(250_000, 20_000)
    reasons = set()
    for packet in (b"6", b"3", b"431[]"):
        end = await end_of(connecting(stage.port), frame(TEXT, packet) * (count // 3))
        assert end.code == CloseCode.POLICY, packet
        reasons.add(end.reason)
    stage.closed = f"closed, 1008 {', '.join(reasons)}"
