"""Clients that do not take what they are sent."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from publisher import conversation, user
from tests.hostile.attacker import connecting
from tests.hostile.cases import Stage, case
from tests.support.client import Transport
from tests.support.kernel import kept_bytes, tcp_mib
from tests.support.tokens import mint, new_id
from tests.support.waiting import until


async def _stop_reading(stage: Stage, transport: Transport) -> None:
    """Publish to a room of two until the one that does not read is gone; the other gets everything."""
    tenant, room = new_id(), new_id()
    # At once no more than a healthy reader's buffer takes.
    size, times, at_once = (500, 20_000, 100) if stage.full else (50_000, 300, 10)
    cut = stage.arena.metric("gateway_slow_cut_total")
    async with (
        stage.client(mint(new_id(), tenant), transport=transport) as slow,
        stage.client(mint(new_id(), tenant)) as other,
        stage.backend() as publisher,
    ):
        for client in (slow, other):
            await client.join(room)
        if transport == "websocket":
            slow.pause()
        else:
            slow.drop()
        began = stage.now()
        for i in range(times // at_once):
            data = {"n": i, "pad": "x" * size}
            publishing = (publisher.emit(tenant, "big", data, to=conversation(room)) for _ in range(at_once))
            await asyncio.gather(*publishing)
            await other.wait_for("big", count=(i + 1) * at_once)
        await until(lambda: slow_is_gone(stage, cut, transport), what="the slow one to be gone")
        stage.closed = f"cut within {stage.now() - began:.1f} s; the other lost 0 of {times:,}"


def slow_is_gone(stage: Stage, cut: int, transport: Transport) -> bool:
    """Whether one more was cut, or whose poll broke off is away."""
    return transport == "polling" or stage.arena.metric("gateway_slow_cut_total") > cut


@case("a reader that stops during 20,000 times 500 B", row="11", plain="+26 MB, never closed")
async def reader_stops(stage: Stage) -> None:
    await _stop_reading(stage, "websocket")


@case(
    "200 readers of one user that are cut, and whose kernels go on answering",
    plain="562 MB in the kernel, for ever",
    log_kib=150,
)
async def readers_that_stay(stage: Stage) -> None:
    """They hold their ends open: what the kernel keeps for them is what is looked at, not what the process has."""
    tenant, agent = new_id(), new_id()
    sessions, before_mib, highest = stage.arena.sessions(), tcp_mib(), 0
    total, at_once = stage.times(200, 20), stage.times(40, 20)
    began = stage.now()
    async with stage.backend() as publisher, AsyncExitStack() as stack:
        for _ in range(0, total, at_once):
            for _ in range(at_once):
                peer = await stack.enter_async_context(connecting(stage.port, mint(agent, tenant)))
                peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
            while stage.arena.sessions() > sessions:
                await publisher.emit(tenant, "big", {"pad": "x" * 100_000}, to=user(agent))
                highest = max(highest, kept_bytes(stage.port))
        await until(lambda: kept_bytes(stage.port) < 1 << 20, what="the kernel to let go")
        stage.note(f"kernel {kept_bytes(stage.port) >> 10} KiB of {highest / 2**20:.1f} MiB at the most")
        stage.note(f"sockstat {tcp_mib() - before_mib:+.1f} MiB, what the readers have not read among it")
    stage.closed = f"{total} cut and reset within {stage.now() - began:.1f} s"
