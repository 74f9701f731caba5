"""Too much of what is allowed."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from gateway.engine.errors import CloseCode
from gateway.engine.reader import TEXT
from gateway.settings import Settings
from publisher import conversation
from tests.hostile.attacker import connecting, end_of, until_closed
from tests.hostile.cases import Stage, case
from tests.support.client import RawClient
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.websocket import Peer, frame

UNLIMITED = {"GATEWAY_EVENTS_PER_S": "0", "GATEWAY_MAX_PENDING_CONNECTS": "0", "GATEWAY_ROOM_LINGER_S": "1"}
EVENTS_PER_S = float(Settings.model_fields["events_per_s"].default)


def _event(name: str, data: object = None) -> bytes:
    return frame(TEXT, b"42" + json.dumps([name, data]).encode())


async def _flood(stage: Stage, peer: Peer, flood: bytes, count: int) -> None:
    began = stage.now()
    peer.raw(flood)
    end = await until_closed(peer)
    assert end.code == CloseCode.POLICY, end
    assert any("rate_limited" in packet for packet in (*end.first, *end.last)), end
    took_s = stage.now() - began
    # What it earns meanwhile is answered: where answers take long, that is much.
    assert end.messages < count / 2 + EVENTS_PER_S * took_s, "it was let through"
    stage.closed = f"closed with {end.code} {end.reason}, after {end.messages:,} answers, {took_s:.1f} s"


@case(
    "250,000 events in a row from one socket", row="14", plain="never closed; Node: neighbours wait 12 s, +1.5 GB"
)
async def events_in_a_row(stage: Stage) -> None:
    count = stage.times(250_000, 20_000)
    async with connecting(stage.port) as peer:
        await _flood(stage, peer, _event("ping") * count, count)


@case("events that are wrong, in a row from one socket", row="14", plain="a traceback each")
async def wrong_events_in_a_row(stage: Stage) -> None:
    count = stage.times(250_000, 20_000)
    async with connecting(stage.port) as peer:
        flood = _event("join_conversation", {"conversation_id": "*"}) + _event("no such thing")
        await _flood(stage, peer, flood * (count // 2), count)


@case("200,000 joins from one socket", row="14", plain="the loop stalls for 4 s, 147 MB", log_kib=20)
async def joins_in_a_row(stage: Stage) -> None:
    count = stage.times(200_000, 10_000)
    async with connecting(stage.port) as peer:
        flood = b"".join(_event("join_conversation", {"conversation_id": new_id()}) for _ in range(count))
        await _flood(stage, peer, flood, count)


@case("a polling body of 200,000 events", row="14")
async def events_in_one_body(stage: Stage) -> None:
    count = stage.times(200_000, 50_000)
    async with stage.client(transport="polling") as client:
        assert client.channel is not None
        client.channel.send("\x1e4".join(['2["ping"]'] * (count // 4)))
        began = stage.now()
        await client.dropped(30)
        stage.closed = f"closed after {len(client.named('pong'))} answers, {stage.now() - began:.1f} s"


@case("typing without end, in a room with 6 neighbours", row="14")
async def typing_in_a_row(stage: Stage) -> None:
    count = stage.times(100_000, 20_000)
    neighbours = stage.arena.neighbours
    async with connecting(stage.port, mint(organization_id=neighbours.tenant)) as peer:
        peer.send("421" + json.dumps(["join_conversation", {"conversation_id": neighbours.conversation}]))
        while not (await peer.packet()).startswith("431["):
            pass
        data = {"conversation_id": neighbours.conversation}
        await _flood(stage, peer, _event("typing_start", data) * count, count)


@case(
    "200,000 rooms of 200 sockets, then 50 others leave",
    row="15",
    plain="the loop is blocked for 2.5-4 s",
    settings=UNLIMITED,
    memory_mib=400,
    log_kib=1000,
)
async def many_rooms(stage: Stage) -> None:
    sockets, rooms = stage.times(200, 10), stage.times(1000, 100)
    hoarders = await _hoard(stage, sockets, rooms)
    others = [RawClient(stage.arena.replica.url, mint()) for _ in range(50)]
    await asyncio.gather(*(other.connect() for other in others))
    stage.note(f"{stage.arena.metric('gateway_rooms'):,} rooms")
    await stage.arena.neighbours.report()
    await asyncio.gather(*(other.close() for other in others))
    seen = await stage.arena.neighbours.report()
    assert seen.unharmed
    stage.closed = f"50 left: a neighbour waited {seen.worst_ms:.0f} ms at most"
    for client in hoarders:
        client.drop()
    await until(lambda: stage.arena.replica.health()["sockets"] == 6, what="the hoarders to be gone")
    seen = await stage.arena.neighbours.report()
    assert seen.unharmed
    stage.note(f"all {sockets} with {rooms} rooms each cut at once: {seen.worst_ms:.0f} ms")
    # Rooms are given up some seconds after their last member has left.
    await until(lambda: stage.arena.metric("gateway_rooms") < 100, what="the rooms to be given up")
    stage.note("giving all these rooms up: see the longest wait")


async def _hoard(stage: Stage, sockets: int, rooms: int) -> list[RawClient]:
    async def hoard() -> RawClient:
        client = RawClient(stage.arena.replica.url, mint())
        await client.connect()
        for _ in range(rooms // 50):
            await asyncio.gather(*(client.join(new_id()) for _ in range(50)))
        assert client.pid
        client.events.clear()
        return client

    hoarders = []
    for _ in range(sockets // 10):
        hoarders += await asyncio.gather(*(hoard() for _ in range(10)))
    return hoarders


@case("a room more than one socket may join", settings=UNLIMITED, log_kib=60, memory_mib=16)
async def one_room_too_many(stage: Stage) -> None:
    async with stage.client() as client:
        for _ in range(99):
            await asyncio.gather(*(client.join(new_id()) for _ in range(10)))
        joined, answer = 990, await client.call("join_conversation", {"conversation_id": new_id()})
        while answer["ok"] and joined < 1010:
            joined, answer = joined + 1, await client.call("join_conversation", {"conversation_id": new_id()})
        assert answer["error"]["code"] == "too_many_rooms"
    stage.closed = f"`too_many_rooms` after {joined}"


HEAVY = {
    "lists": b",".join([b"[]"] * 333_000),
    "objects": b",".join([b"{}"] * 333_000),
    "keys": b"{%s}" % b",".join(b'"%x":1' % i for i in range(90_000)),
    "numbers": b",".join([b"1" * 4000] * 240),
    "texts": b",".join([b'""'] * 333_000),
}


@case("megabytes of JSON that is slow to read: lists, objects, keys, long numbers", row="14", memory_mib=80)
async def heavy_json(stage: Stage) -> None:
    ends = {}
    for name, items in HEAVY.items():
        flood = frame(TEXT, b'42["ping",[' + items + b"]]") * stage.times(120, 60)
        ends[name] = await end_of(connecting(stage.port), flood)
    assert {ends[name].code for name in ("lists", "objects")} == {CloseCode.PROTOCOL}
    assert {end.code for end in ends.values()} == {CloseCode.PROTOCOL, CloseCode.POLICY}
    most = max(end.messages for end in ends.values())
    stage.closed = (
        f"lists and objects without number: closed at the first; others after {most}, counted by their size"
    )


@case("a room's whole history asked for again and again", row="14", memory_mib=40)
async def history_again_and_again(stage: Stage) -> None:
    tenant, ident = new_id(), new_id()
    async with stage.backend() as publisher:
        for _ in range(10):
            data = {"pad": "x" * stage.times(1000, 50)}
            await asyncio.gather(*(publisher.emit(tenant, "e", data, to=conversation(ident)) for _ in range(50)))
    asked = _event("join_conversation", {"conversation_id": ident, "history": 500})
    # A thousand are refused before it is closed; the others are for what it earns meanwhile.
    end = await end_of(connecting(stage.port, mint(organization_id=tenant)), asked * 4000)
    assert end.code == CloseCode.POLICY
    stage.closed = f"closed after {end.messages} answers, {end.after_s:.1f} s"


@case("60 sockets of one user", log_kib=60)
async def sockets_of_one_user(stage: Stage) -> None:
    token = mint(new_id(), new_id())
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stage.client(token)) for _ in range(60)]
        await until(lambda: sum(client.connected for client in clients) <= 50, what="the oldest to be closed")
        assert all(client.connected for client in clients[10:])
    stage.closed = "the oldest 10 closed"
