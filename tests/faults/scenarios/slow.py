"""Clients that stop taking what they are sent."""

from __future__ import annotations

from tests.faults.rows import row
from tests.faults.scenarios.sessions import has
from tests.faults.stage import Stage
from tests.support.client import Transport
from tests.support.waiting import until

EVENT_BYTES = 500
# A busy machine takes more than a minute for 20,000 events: a client that is cut early must not be late for that.
WINDOW = {"GATEWAY_RECOVERY_WINDOW_S": "600"}
KEEPS_ALL = WINDOW | {"GATEWAY_HISTORY_SIZE": "30000"}


@row("a client that stops reading during 20,000 events: told", settings=WINDOW, tells=("trimmed",))
async def reader_stops(stage: Stage) -> None:
    await _stop_reading(stage, "websocket")


@row("a client that stops polling during 20,000 events: told", settings=WINDOW, tells=("trimmed",))
async def poller_stops(stage: Stage) -> None:
    await _stop_reading(stage, "polling")


@row("a client that stops reading during 20,000 events: recovers", settings=KEEPS_ALL, real=True)
async def reader_recovers(stage: Stage) -> None:
    await _stop_reading(stage, "websocket")


@row("a client that stops polling during 20,000 events: recovers", settings=KEEPS_ALL, long=True)
async def poller_recovers(stage: Stage) -> None:
    await _stop_reading(stage, "polling")


async def _stop_reading(stage: Stage, transport: Transport) -> None:
    await stage.open(rate=40.0)
    replica = stage.ground.replicas[0]
    room = "conversation:" + stage.cast.conversations[0]
    slow = stage.add(replica.url, transport=transport)
    await slow.arrive()
    await slow.enter([room])
    near = [watcher for watcher in stage.natives if room in watcher.wanted and watcher is not slow]
    assert near
    stage.ground.sample()
    before = replica.memory_kib()
    slow.grow_deaf()
    began = stage.now()
    # The reader's and the kernel's own buffers take some megabytes before the gateway notices anything.
    times, pad = stage.scale.times(20_000, 20_000), EVENT_BYTES
    idents = await stage.backends[0].burst(stage.cast.tenant, room, times=times, pad=pad)
    stage.notes.append(f"{times} events in {stage.now() - began:.1f} s")
    await until(lambda: replica.health()["slow_cut"] >= 1, what="the slow client to be cut")
    stage.notes.append(f"resident memory grew by {(replica.memory_kib() - before) / 1024:.1f} MiB")
    await until(lambda: all(has(watcher, idents[-1]) for watcher in near), what="the others to have it all")
    slow.hear_again()
    await slow.dropped()
    stage.let_stay(slow)
    await until(lambda: slow.is_settled, what="the slow client to be back")
    await stage.published(40)
