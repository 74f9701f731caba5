"""What a row happens on: a Valkey, proxies, replicas; and how much memory the replicas took at most."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis, find_server
from tests.support.proxy import Proxy
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import Sentinels
from tests.support.replica import Replica
from tests.support.waiting import until

SAMPLE_S = 0.25


@dataclass(frozen=True)
class Terrain:
    """What a row wants the ground to be like.

    `redis`: one server, a master with Sentinels, or a cluster, with `redis_options`. `persist`: Redis has
    its data again after a restart. `redis_proxies`: each replica has a proxy between itself and Redis.
    `client_proxies`: each has one between itself and its clients. `may_log`: words of error lines that belong to
    the fault.
    """

    replicas: int = 2
    redis: Literal["one", "sentinels", "cluster"] = "one"
    redis_options: tuple[str, ...] = ()
    persist: bool = False
    redis_proxies: bool = False
    client_proxies: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    may_log: tuple[str, ...] = ()


class Ground:
    """The servers. `urls` are where clients connect to, `front` a balancer in front of all replicas."""

    def __init__(self, folder: Path, terrain: Terrain) -> None:
        self.terrain = terrain
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        options = terrain.redis_options if terrain.redis == "one" else ()
        self.redis = EmbeddedRedis(quiet_port(), folder=folder, persist=terrain.persist, options=options)
        self.several: RedisCluster | Sentinels | None = _several(folder, terrain)
        """What there is in place of `redis`, where it is several servers."""
        self.replicas: list[Replica] = []
        self.redis_proxies: list[Proxy] = []
        self.client_proxies: list[Proxy] = []
        self.front: Proxy | None = None
        self.peak_kib = 0
        self._sampler: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """Where clients find each replica."""
        if self.client_proxies:
            return [proxy.http_url for proxy in self.client_proxies]
        return [replica.url for replica in self.replicas]

    @property
    def redis_url(self) -> str:
        """Where Redis is, of whatever kind."""
        return self.redis.url if self.several is None else self.several.url

    def client_of(self, tenant: str) -> Any:
        """Return a client of the server that has a tenant."""
        if self.several is None:
            return redis.asyncio.Redis.from_url(self.redis.url)
        return redis.asyncio.Redis.from_url(self.several.owner(tenant).url)

    async def start(self) -> Ground:
        """Start everything, the replicas at the same time."""
        if self.several is None:
            self.redis.start()
        else:
            await asyncio.to_thread(self.several.start)
        for i in range(self.terrain.replicas):
            redis_url = self.redis_url
            if self.terrain.redis_proxies:
                self.redis_proxies.append(await Proxy(self.redis.port).start())
                redis_url = self.redis_proxies[-1].url
            log = self.folder / f"replica-{i}.log"
            replica = Replica(redis_url, log, dict(self.terrain.settings), may_log=self.terrain.may_log)
            replica.port = quiet_port()
            self.replicas.append(replica)
            replica.begin()
        for replica in self.replicas:
            await until(replica._is_ready, what="the replica to be ready")
        if self.terrain.client_proxies:
            self.client_proxies = [await Proxy(replica.port).start() for replica in self.replicas]
        self.front = await Proxy(*(replica.port for replica in self.replicas)).start()
        self._sampler = asyncio.create_task(self._sample_all())
        return self

    async def stop(self) -> list[str]:
        """Stop everything; return what the replicas did that they should not: bad log lines, bad ends."""
        if self._sampler is not None:
            self._sampler.cancel()
            await asyncio.gather(self._sampler, return_exceptions=True)
        for proxy in (*self.client_proxies, *([self.front] if self.front else [])):
            await proxy.stop()
        for replica in self.replicas:
            if replica.is_running:
                replica.resume()
                replica.terminate()
        troubles = []
        for replica in self.replicas:
            with contextlib.suppress(AssertionError):
                await until(partial(_has_ended, replica))
            try:
                replica.close()
            except AssertionError as error:
                troubles.append(str(error))
        for proxy in self.redis_proxies:
            await proxy.stop()
        if self.several is not None:
            self.several.close()
        self.redis.kill()
        self.redis.close()
        return troubles

    def sample(self) -> None:
        """Look how much memory the replicas have taken at most; before one is killed, too."""
        for replica in self.replicas:
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{replica.pid}/status").read_text()
                self.peak_kib = max(self.peak_kib, int(status.partition("VmHWM:")[2].split()[0]))

    async def _sample_all(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_S)

    def sockets(self) -> int:
        """Count the sockets that the replicas think they have."""
        return sum(replica.health()["sockets"] for replica in self.replicas if replica.is_running)

    async def readiness(self, replica: Replica) -> int:
        """Ask a replica whether it is ready, without holding up the loop; return the status."""
        return (await asyncio.to_thread(replica.get, "/health/ready"))[0]


def _several(folder: Path, terrain: Terrain) -> RedisCluster | Sentinels | None:
    binary = find_server()
    if terrain.redis == "one" or binary is None:
        return None
    make = RedisCluster if terrain.redis == "cluster" else Sentinels
    return make(folder / "redis", binary, options=terrain.redis_options)


def quiet_port() -> int:
    """Return a free port that no outgoing connection is given by chance: a server that comes back needs it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def _has_ended(replica: Replica) -> bool:
    return not replica.is_running
