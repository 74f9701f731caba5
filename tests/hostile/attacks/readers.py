"""Clients that do not take what they are sent."""

from __future__ import annotations

import asyncio

from publisher import AsyncPublisher, conversation
from tests.hostile.cases import Stage, case
from tests.support.client import RawClient, Transport
from tests.support.tokens import mint, new_id
from tests.support.waiting import until


async def _stop_reading(stage: Stage, transport: Transport) -> None:
    """Publish to a room of two until the one that does not read is gone; the other gets everything."""
    tenant, room = new_id(), new_id()
    slow = RawClient(stage.arena.replica.url, mint(new_id(), tenant), transport=transport)
    other = RawClient(stage.arena.replica.url, mint(new_id(), tenant))
    size, times = (500, 20_000) if stage.full else (50_000, 300)
    publisher = AsyncPublisher.from_url(stage.arena.redis.url)
    cut = stage.arena.metric("gateway_slow_cut_total")
    try:
        for client in (slow, other):
            await client.connect()
            await client.join(room)
        if transport == "websocket":
            slow.pause()
        else:
            slow.drop()
        began = stage.now()
        for i in range(times // 100):
            data = {"n": i, "pad": "x" * size}
            await asyncio.gather(*(publisher.emit(tenant, "big", data, to=conversation(room)) for _ in range(100)))
        await other.wait_for("big", count=times)
        await until(lambda: slow_is_gone(stage, cut, transport), what="the slow one to be gone")
        stage.closed = f"cut within {stage.now() - began:.1f} s; the other lost 0 of {times:,}"
    finally:
        await publisher.aclose()
        for client in (slow, other):
            await client.close()


def slow_is_gone(stage: Stage, cut: int, transport: Transport) -> bool:
    """Whether one more was cut, or whose poll broke off is away."""
    return transport == "polling" or stage.arena.metric("gateway_slow_cut_total") > cut


@case("a reader that stops during 20,000 times 500 B", row="11", plain="+26 MB, never closed")
async def reader_stops(stage: Stage) -> None:
    await _stop_reading(stage, "websocket")
