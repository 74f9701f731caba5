"""What comes over Redis and no publisher wrote."""

from __future__ import annotations

import asyncio

import redis.asyncio

from publisher import conversation, parse_offset, wire
from publisher.rooms import Room
from tests.faults.scenarios.bus import garbage
from tests.hostile.cases import Stage, case
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S

EVENTS = 200


@case(
    "malformed messages on the Redis channel among 200 good ones",
    row="5",
    plain="199 good ones lost, a stall of 3.1 s, 7 connections leaked",
)
async def malformed_messages(stage: Stage) -> None:
    tenant, ident = new_id(), new_id()
    room = conversation(ident)
    sent = 0
    async with (
        redis.asyncio.Redis.from_url(stage.arena.redis.url) as bus,
        stage.client(mint(new_id(), tenant)) as client,
        stage.backend(timeout_s=PATIENCE_S) as publisher,
    ):
        await client.join(ident)
        connections = len(await bus.client_list())
        for number in range(EVENTS):
            receipt = await publisher.emit(tenant, "good", {"n": number}, to=room)
            last = parse_offset(receipt.offset)
            for channel in (room, Room(f"organization:{tenant}")):
                messages = garbage(last.epoch, last.seq)
                chosen = messages if stage.full else messages[number % len(messages) :][:2]
                sent += len(chosen)
                for message in chosen:
                    await bus.publish(wire.channel(tenant, channel), message)
        await client.wait_for("good", count=EVENTS)
        await asyncio.sleep(0)
        numbers = [event.data["n"] for event in client.named("good")]
        assert numbers == list(range(EVENTS))
        assert client.connected
        assert len(await bus.client_list()) <= connections + 1
    stage.closed = f"0 lost of {EVENTS} among {sent:,}; nobody disconnected, no connection leaked"
