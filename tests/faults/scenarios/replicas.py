"""What happens to replicas."""

from __future__ import annotations

import asyncio

from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.support.waiting import SLACK_S


@row("a replica killed with SIGKILL under load, clients move over", real=True)
async def killed(stage: Stage) -> None:
    await stage.open()
    for _ in range(stage.scale.times(4, 2)):
        await stage.published(60)
        replica = stage.random.choice(stage.ground.replicas)
        stage.ground.sample()
        replica.kill()
        await stage.all_connected()
        await stage.published(30)
        await replica.restarted()


@row("rolling restart of all replicas under load", replicas=3, settings={"GATEWAY_SHUTDOWN_GRACE_S": "2"})
async def rolling_restart(stage: Stage) -> None:
    await stage.open()
    slowest = 0.0
    for _ in range(stage.scale.times(2, 1)):
        for replica in stage.ground.replicas:
            await stage.published(40)
            stage.ground.sample()
            began = stage.now()
            replica.terminate()
            status = await replica.ended()
            assert status == 0, f"the replica ended with {status}"
            slowest = max(slowest, stage.now() - began)
            await replica.restarted()
    stage.notes.append(f"slowest exit after SIGTERM {slowest:.1f} s with 2 s of grace")
    assert slowest <= 2.0 + SLACK_S


@row("both replicas at once, by SIGKILL")
async def all_killed(stage: Stage) -> None:
    await stage.open()
    await stage.published(60)
    stage.ground.sample()
    for replica in stage.ground.replicas:
        replica.kill()
    await stage.published(60)
    await asyncio.gather(*(replica.restarted() for replica in stage.ground.replicas))
    await stage.all_connected()
    await stage.published(30)


@row(
    "a replica frozen (SIGSTOP) for longer than its heartbeats, then thawed",
    settings={"GATEWAY_PING_INTERVAL_S": "1", "GATEWAY_PING_TIMEOUT_S": "1"},
    real=True,
)
async def frozen(stage: Stage) -> None:
    await stage.open()
    for replica in stage.ground.replicas:
        await stage.published(40)
        replica.pause()
        stuck = [watcher for watcher in stage.watchers if watcher.url == replica.url]
        await asyncio.sleep(stage.scale.pick(4.0, 1.0))
        # Half of them give up waiting and go elsewhere, while their old sockets stand on the frozen one.
        for watcher in stuck[::2]:
            watcher.drop()
        await stage.published(40)
        replica.resume()
        await stage.all_connected()
