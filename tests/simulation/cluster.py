"""A simulated cluster: Redis, replicas, backends and pages, each a process of the world."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import jwt

from gateway.core.limits import LIMITS, Limits
from gateway.settings import Settings
from tests.simulation.backend import Backend, BlockingBackend
from tests.simulation.client.page import Page
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.server import RedisServer
from tests.simulation.replica import Replica
from tests.simulation.truth import Truth
from tests.simulation.world import World

SECRET = "simulated-secret-of-more-than-thirty-two-bytes"
REDIS_URL = "redis://redis:6379/0"
PORT = 8000
BALANCER = ("gateway", 80)
TOKEN_S = 86_400.0


def process_of(page: Page) -> Process:
    """Return the process that a page runs in."""
    assert isinstance(page.tab.loop, Process)
    return page.tab.loop


class WatchedRedis(RedisServer):
    """The simulated Redis, which tells the truth of what it publishes."""

    def __init__(self, process: Process, truth: Truth, *, journal: bool) -> None:
        super().__init__(lambda: int(process.wall() * 1e6), journal=journal)
        self._truth = truth

    def _publish(self, keyspace: Keyspace, args: list[bytes]) -> Any:
        self._truth.published(args[0], args[1])
        return super()._publish(keyspace, args)


class RedisHost:
    """The process of the simulated Redis."""

    def __init__(self, process: Process, truth: Truth, *, journal: bool) -> None:
        self.process = process
        self.server = WatchedRedis(process, truth, journal=journal)
        self._truth = truth
        process.do(lambda: process.network.listen(process, self.server.protocol, 6379))

    def restart(self, lose: int | None) -> None:
        """End all connections; the data comes back without the last writes, or not at all."""
        self.process.do(lambda: self._restart(lose))

    def _restart(self, lose: int | None) -> None:
        self.server.restart(None if lose is None else min(lose, self.server.losable))
        if lose != 0:
            self._truth.lose(self._last_seq)

    def flush(self) -> None:
        """Remove all data, as FLUSHALL does."""
        self.process.do(self._flush)

    def _flush(self) -> None:
        self.server.remove_all()
        self._truth.lose(self._last_seq)

    def _last_seq(self, tenant: str) -> int:
        meta = self.server.keyspace.hash(f"rt:{{{tenant}}}:meta".encode()) or {}
        return int(meta.get(b"seq", b"0"))


class Cluster:
    """All processes of one simulation."""

    def __init__(
        self,
        world: World,
        network: Network,
        truth: Truth,
        *,
        journal: bool,
        limits: Limits = LIMITS,
        **settings: Any,
    ) -> None:
        self.world = world
        self.network = network
        self.truth = truth
        self.random = world.random
        self.replicas: list[Replica] = []
        self.backends: list[Backend] = []
        self.pages: list[Page] = []
        self.processes: list[Process] = []
        self._settings = settings
        self._limits = limits
        self._numbers: dict[str, int] = {}
        network.route = self._route
        self.redis = RedisHost(self.process("redis"), truth, journal=journal)

    def process(self, kind: str, **facts: Any) -> Process:
        """Return a new process, on a host of its own."""
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        name = kind if kind == "redis" else f"{kind}-{number}"
        process = Process(self.world, name, self.network, **facts)
        self.processes.append(process)
        return process

    def start_replica(self, **facts: Any) -> Replica:
        replica = Replica(self.process("replica", **facts), self._settings_of_a_replica(), self._limits)
        self.replicas.append(replica)
        return replica

    def start_backend(self, *, blocks: bool = False, **facts: Any) -> Backend:
        kind = BlockingBackend if blocks else Backend
        backend = kind(self.process("backend", **facts), REDIS_URL)
        self.backends.append(backend)
        return backend

    def open_page(self, kind: Any, tenant: str, user: str, *, token_s: float = TOKEN_S, **facts: Any) -> Any:
        """Open a page of a kind, whose tokens live for so many seconds; its facts are the kind's own."""
        process = self.process("page")
        page = kind(
            process.name,
            tenant,
            user,
            rng=random.Random(self.random.getrandbits(64)),
            balancer=lambda: BALANCER,
            token=lambda: self.token(tenant, user, token_s),
            loop=process,
            **facts,
        )
        page.token_s = token_s
        page.diary.ahead_s = process.monotonic_at(0.0)
        self.pages.append(page)
        process.do(page.start)
        return page

    def live_replicas(self) -> list[Replica]:
        """Return the replicas whose processes are there."""
        return [replica for replica in self.replicas if replica.process.is_alive and not replica.has_ended]

    def live_backends(self) -> list[Backend]:
        """Return the backends that can publish."""
        return [backend for backend in self.backends if backend.process.is_alive and backend.unsent is None]

    def token(self, tenant: str, user: str, ttl_s: float) -> str:
        """Sign a token as PyTake's backend does, which leaves `iat` out."""
        now = self.world.wall()
        claims = {"sub": user, "organization_id": tenant, "type": "access", "exp": int(now + ttl_s)}
        return jwt.encode(claims, SECRET, "HS256")

    def forget(self) -> None:
        """Kill everything that is still there, without a word about what it was doing."""
        for process in self.processes:
            process.is_alive = False
            for task in asyncio.all_tasks(process):
                task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _settings_of_a_replica(self) -> Settings:
        given: dict[str, Any] = {
            "GATEWAY_JWT_SECRET_KEY": SECRET,
            "GATEWAY_REDIS_URL": REDIS_URL,
            "GATEWAY_PORT": PORT,
            "GATEWAY_HOST": "0.0.0.0",
        }
        return Settings(**given, **{f"GATEWAY_{name.upper()}": value for name, value in self._settings.items()})

    def _route(self, host: str, port: int) -> tuple[str, int]:
        """Send a connection to the balancer on to a replica, to one that says that it is ready if there is one."""
        if (host, port) != BALANCER:
            return host, port
        live = self.live_replicas()
        ready = [replica for replica in live if replica.is_ready and not replica.process.is_frozen] or live
        return (self.random.choice(ready).name, PORT) if ready else ("nobody", PORT)
