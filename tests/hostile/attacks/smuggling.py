"""Requests that are hidden in what another process, or somebody else's request, is to take for a body."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.deploy.haproxy import Haproxy
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Proxy
from tests.deploy.traefik import Traefik
from tests.hostile.cases import Stage, case
from tests.hostile.neighbours import Neighbours
from tests.support.replica import Replica, alive
from tests.support.smuggler import Loot, Smuggler
from tests.support.waiting import until

PLAIN = "one process: the hole is not there"
BEHIND = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}
WORKERS = 2


@case("2,000 requests hidden in bodies of upgrades, behind nginx", plain=PLAIN)
async def smuggled_through_nginx(stage: Stage) -> None:
    await _smuggle(stage, Nginx, [BEHIND, BEHIND])


@case("the same behind HAProxy", plain=PLAIN)
async def smuggled_through_haproxy(stage: Stage) -> None:
    await _smuggle(stage, Haproxy, [BEHIND, BEHIND])


@case("the same behind Traefik", plain=PLAIN)
async def smuggled_through_traefik(stage: Stage) -> None:
    await _smuggle(stage, Traefik, [BEHIND, BEHIND])


@case("the same between two workers, over their Unix sockets", plain=PLAIN)
async def smuggled_between_workers(stage: Stage) -> None:
    await _smuggle(stage, Nginx, [BEHIND | {"GATEWAY_WORKERS": str(WORKERS)}])


async def _smuggle(stage: Stage, kind: type[Proxy], settings: Sequence[dict[str, str]]) -> None:
    clients = stage.times(20, 5)
    async with _front(kind, settings) as (redis, replicas, proxy):
        neighbours = await asyncio.to_thread(Neighbours, proxy.url, redis.url, websockets=clients, pollers=clients)
        try:
            await neighbours.report()
            loot = await Smuggler(proxy.port).attack(stage.times(2000, 200))
            seen = await neighbours.report()
        finally:
            await asyncio.to_thread(neighbours.close)
        lines = await _lines(replicas, loot)
    stage.closed = (
        f"{loot.attacks:,} attacks: {loot.refused:,} refused and logged ({lines} lines), by status "
        f"{dict(sorted(loot.statuses.items()))}; {len(loot.foreign)} with anything foreign"
    )
    stage.note(f"{2 * clients} clients: {seen.drops} disconnects, {seen.lost} lost of {seen.published}")
    assert not loot.foreign, loot.foreign[:3]
    assert seen.unharmed, f"{seen.lost} lost, {seen.drops} drops of {2 * clients}"
    assert loot.refused > loot.attacks / 2, loot.statuses


@asynccontextmanager
async def _front(
    kind: type[Proxy], settings: Sequence[dict[str, str]]
) -> AsyncIterator[tuple[EmbeddedRedis, list[Replica], Proxy]]:
    """Start a Redis, replicas with these settings, and a proxy in front of them."""
    kind.find()
    with tempfile.TemporaryDirectory(prefix="smuggling-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        redis = stack.enter_context(EmbeddedRedis(folder=folder))
        replicas = []
        for number, environment in enumerate(settings):
            replica = Replica(redis.url, folder / f"replica-{number}.log", environment)
            alive.append(replica)
            stack.callback(replica.close)
            await asyncio.to_thread(replica.start)
            replicas.append(replica)
        (folder / "proxy").mkdir()
        proxy = kind(folder / "proxy", [replica.port for replica in replicas], {})
        stack.callback(proxy.stop)
        await asyncio.to_thread(proxy.start)
        yield redis, replicas, proxy


async def _lines(replicas: Sequence[Replica], loot: Loot) -> int:
    """Return how many lines there are about the attacks, once they account for each of them.

    The next line of a name says how many were left out before it, so each process is attacked once more until
    its last line has said so.
    """
    more = 0

    async def is_accounted() -> bool:
        nonlocal more
        await asyncio.sleep(1.1)  # the log's own pace
        for replica in replicas:
            more += (await Smuggler(replica.port).attack_openly()).refused
        lines = [line for replica in replicas for line in replica.log_lines("body_refused")]
        told = sum(1 + int(line.get("left_out", 0)) for line in lines)
        return told == loot.refused + more

    await until(is_accounted, 60.0, "a line, or its count, for each attack")
    return sum(len(replica.log_lines("body_refused")) for replica in replicas)
