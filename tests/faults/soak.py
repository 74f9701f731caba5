"""A soak of churn: `python -m tests.faults soak [--minutes 30] [--clients 300]`.

Clients come as new users with tokens of an hour, join, get an event, leave, are cut, and come back as others. What
a replica and Redis hold in the last minute is compared with what they held when the times after which things are
forgotten were over for the first time: neither may have grown by more than `GROWTH_MIB`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Options, conversation
from tests.support.client import RawClient
from tests.support.replica import Replica
from tests.support.tokens import mint, new_id

GROWTH_MIB = 1.0
WARM_UP_S = 300.0
LOOK_S = 2.0
# What is kept for a while is kept for less than the warm-up.
SETTINGS = {
    "GATEWAY_RECOVERY_WINDOW_S": "5",
    "GATEWAY_HISTORY_TTL_S": "20",
    "GATEWAY_PRESENCE_LEASE_S": "15",
    "GATEWAY_PRESENCE_GRACE_S": "1",
}
TENANTS = 20


class Held(NamedTuple):
    """What was held at one moment."""

    replica_mib: float
    redis_mib: float
    keys: int


class Soak:
    """A replica, its Redis, and the clients that come and go."""

    def __init__(self, folder: Path, clients: int, stay_s: float) -> None:
        self._redis = EmbeddedRedis(folder=folder)
        self._replica = Replica("", folder / "replica.log", {})
        self._folder, self._clients, self._stay_s = folder, clients, stay_s
        self._tenants = [new_id() for _ in range(TENANTS)]
        self.connects = self.failed = 0

    async def run(self, minutes: float) -> bool:
        """Let them come and go for so long; return whether nothing has grown."""
        with self._redis:
            self._replica = Replica(self._redis.url, self._folder / "replica.log", SETTINGS)
            await asyncio.to_thread(self._replica.start)
            publisher = AsyncPublisher.from_url(
                self._redis.url, options=Options(history_ttl_s=20.0, once_ttl_s=10.0)
            )
            churning = [asyncio.create_task(self._churn(publisher)) for _ in range(self._clients)]
            try:
                await self._hold(WARM_UP_S)
                first = await self._hold(60.0)
                last = await self._hold(max(minutes - 1, 1) * 60.0, last_s=60.0)
            finally:
                for task in churning:
                    task.cancel()
                await asyncio.gather(*churning, return_exceptions=True)
                await publisher.aclose()
                await asyncio.to_thread(self._replica.close)
        return self._judge(first, last)

    async def _churn(self, publisher: AsyncPublisher) -> None:
        while True:
            tenant, talk = random.choice(self._tenants), new_id()
            client = RawClient(self._replica.url, mint(new_id(), tenant, ttl_s=3600))
            try:
                await client.connect()
                self.connects += 1
                await client.join(talk)
                await publisher.emit(tenant, "test:event", {"n": 1}, to=conversation(talk))
                await client.wait_for("test:event")
                if random.random() < 0.5:
                    await client.call("leave_conversation", {"conversation_id": talk})
                await asyncio.sleep(self._stay_s * random.uniform(0.5, 1.5))
            except (OSError, TimeoutError, AssertionError):
                self.failed += 1
            client.drop()
            await client.close()

    async def _hold(self, time_s: float, last_s: float | None = None) -> Held:
        """Look on for a while; return what was held in the middle, of the last `last_s` alone if that is given."""
        loop, seen = asyncio.get_running_loop(), list[tuple[float, Held]]()
        begin = shown = loop.time()
        while loop.time() < begin + time_s:
            await asyncio.sleep(LOOK_S)
            seen.append((loop.time(), await asyncio.to_thread(self._held)))
            if loop.time() >= shown + 60.0:
                shown = loop.time()
                self._show(seen[-1][1])
        chosen = [held for at, held in seen if last_s is None or at >= begin + time_s - last_s]
        return Held(*(statistics.median(values) for values in zip(*chosen, strict=True)))

    def _held(self) -> Held:
        with redis.Redis.from_url(self._redis.url) as server:
            used, keys = server.info("memory")["used_memory"], server.dbsize()
        return Held(self._replica.memory_kib() / 1024, used / 2**20, int(keys))

    def _show(self, held: Held) -> None:
        line = f"replica {held.replica_mib:.2f} MiB, Redis {held.redis_mib:.2f} MiB in {held.keys:,} keys"
        print(f"{line}; {self.connects:,} connects, {self.failed} failed", file=sys.stderr, flush=True)

    def _judge(self, first: Held, last: Held) -> bool:
        replica, server = last.replica_mib - first.replica_mib, last.redis_mib - first.redis_mib
        print(f"replica {first.replica_mib:.2f} -> {last.replica_mib:.2f} MiB ({replica:+.2f})")
        print(f"Redis {first.redis_mib:.2f} -> {last.redis_mib:.2f} MiB ({server:+.2f})")
        print(f"{self.connects:,} connects, {self.failed} failed")
        return replica <= GROWTH_MIB and server <= GROWTH_MIB


def main(words: Sequence[str]) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="behind a warm-up of five")
    parser.add_argument("--clients", type=int, default=300, help="at a time")
    parser.add_argument("--stay-s", type=float, default=2.0, help="how long each stays")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        held = asyncio.run(Soak(Path(folder), chosen.clients, chosen.stay_s).run(chosen.minutes))
    return 0 if held else 1
