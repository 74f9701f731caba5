"""Packets that no client of Socket.IO sends."""

from __future__ import annotations

import asyncio
import json

import msgspec

from gateway.engine.errors import CloseCode
from gateway.engine.reader import BINARY, TEXT
from tests.hostile.attacker import connecting, end_of, opening, until_closed
from tests.hostile.cases import Stage, case
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.websocket import frame

PLACES = ",".join(f'{{"_placeholder":true,"num":{i}}}' for i in range(10))


@case("100,000 malformed packets from one socket", row="13", plain="189 MB of log, 30 s of CPU, never closed")
async def malformed_packets(stage: Stage) -> None:
    count = stage.times(100_000, 10_000)
    end = await end_of(connecting(stage.port), frame(TEXT, b"42{not json") * count)
    assert end.code == CloseCode.PROTOCOL
    assert end.messages == 0, end.first
    stage.closed = "closed at the first, 1002 " + end.reason


@case(
    "5,000 connections whose first frame is bad",
    plain="stay as sessions for good, 58 MB",
    # Who breaks the protocol is one line in the log, each time.
    log_kib=1000,
)
async def malformed_first_frames(stage: Stage) -> None:
    gone = 0

    async def attack() -> None:
        nonlocal gone
        async with opening(stage.port) as peer:
            peer.raw(frame(TEXT, b"9", masked=gone % 2 == 0))
            await until_closed(peer)
            gone += 1

    sessions = stage.arena.sessions()
    for _ in range(stage.times(100, 4)):
        await asyncio.gather(*(attack() for _ in range(50)))
    await until(lambda: stage.arena.sessions() <= sessions, what="the sessions to be gone")
    stage.closed = f"{gone} of {gone} closed at the first frame, no session left"


@case(
    "binary attachments announced and hoarded, by 20 sockets", row="12", plain="+215 MB", memory_mib=30, log_kib=40
)
async def hoarded_attachments(stage: Stage) -> None:
    # Nine of the ten that were announced, each as large as all together may be.
    size, codes = 900_000, set()

    async def attack() -> None:
        async with connecting(stage.port) as peer:
            peer.send(f'4510-["join_room",{PLACES}]')
            for _ in range(9):
                peer.raw(frame(BINARY, bytes(size)))
            codes.add((await until_closed(peer)).code)

    await asyncio.gather(*(attack() for _ in range(20)))
    assert codes == {CloseCode.TOO_BIG}
    stage.closed = "closed at one message's size together, 1009"


@case("attachments announced before CONNECT", row="12")
async def attachments_before_connect(stage: Stage) -> None:
    end = await end_of(opening(stage.port), f'4510-["join_room",{PLACES}]')
    assert end.code == CloseCode.PROTOCOL
    stage.closed = "closed at the announcement, 1002 " + end.reason


@case("JSON nested 100,000 deep: as an event, in the token's place, with attachments")
async def deep_json(stage: Stage) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    reasons = set()
    for packet in (f'42["ping",{deep}]', f'451-["ping",{deep}]', "42" + "[" * 500_000):
        end = await end_of(connecting(stage.port), packet)
        assert end.code == CloseCode.PROTOCOL
        reasons.add(end.reason)
    for deep in ("[" * 5_000 + "]" * 5_000, '{"a":' * 2_000 + "1" + "}" * 2_000):
        async with opening(stage.port) as peer:
            peer.send(f'40{{"token":{deep}}}')
            first, payload = await peer.frame()
            if first == 0x80 | TEXT:
                # A decoder of Python 3.13 goes deeper than this.
                assert msgspec.json.decode(payload[2:])["data"]["code"] == "token_invalid"
            else:
                assert int.from_bytes(payload[:2], "big") == CloseCode.PROTOCOL
                reasons.add(payload[2:].decode())
    stage.closed = "each closed, 1002 " + ", ".join(sorted(reasons))


@case("JSON nested as deep as is still decoded, where an id belongs")
async def deep_ids(stage: Stage) -> None:
    codes = set()
    async with connecting(stage.port) as peer:
        for depth in (*range(800, 1010, 2), *range(1_100, 40_000, 300)):
            peer.send(f'427["join_conversation",{{"conversation_id":{"[" * depth}{"]" * depth}}}]')
            try:
                codes.add(json.loads((await peer.packet())[3:])[0]["error"]["code"])
            except AssertionError:
                break  # too deep to be decoded: closed
    assert codes == {"bad_request"}
    stage.closed = "`bad_request`, until it is too deep to be decoded: closed"


@case("events that only a server may send, NaN, names that are no names", row="19", plain="run handlers, echoed")
async def forged_events(stage: Stage) -> None:
    forged = [f'42["{name}"]' for name in ("connect", "disconnect", "connect_error", "disconnecting")]
    forged += [
        '42["ping",NaN]',
        '42["ping",Infinity]',
        '42["ping",1e999]',
        "42[null]",
        "42[[]]",
        '4400{"sid":"x"}',
    ]
    for packet in forged:
        assert (await end_of(connecting(stage.port), packet)).code == CloseCode.PROTOCOL, packet
    stage.closed = f"{len(forged)} of {len(forged)} closed, 1002; no handler ran"


@case("a socket that leaves by DISCONNECT, keeps its transport and answers pings", row="16")
async def left_and_stayed(stage: Stage) -> None:
    end = await end_of(connecting(stage.port), "41")
    stage.closed = f"closed after {end.after_s:.1f} s"


@case("a token refused again and again on one socket", log_kib=40)
async def refused_again_and_again(stage: Stage) -> None:
    packet = frame(TEXT, b"40" + json.dumps({"token": mint(secret="x" * 64)}).encode())
    end = await end_of(opening(stage.port), packet * stage.times(20_000, 5_000))
    stage.closed = f"closed after {end.messages} refusals"


@case("namespaces that do not exist, one after the other")
async def unknown_namespaces(stage: Stage) -> None:
    async with connecting(stage.port) as peer:
        for i in range(stage.times(20_000, 5_000)):
            peer.send(f"40/n{i},")
        peer.send("42" + json.dumps(["join_conversation", {"conversation_id": new_id()}]))
        end = await until_closed(peer)
    assert all(packet.startswith("44/n") for packet in end.first)
    stage.closed = f"each refused; closed after {end.messages}"
