"""What goes wrong in a plan: with processes, connections and Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from publisher.rooms import organization
from tests.simulation.choosing import pick_any
from tests.simulation.cluster import process_of
from tests.simulation.deeds import LARGE_BYTES
from tests.simulation.plan import LOSES_ALL, RACE
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.story import Story

# What waits for a subscriber that reads nothing, beyond what the kernels hold, until Redis cuts it; and how many
# large events are published meanwhile.
OUTPUT_LIMIT_BYTES: Final = 65_536
FLOOD: Final = 16
# The share of dead connections on which nothing ever answers.
NEVER_HEAL: Final = 0.5


class Faults:
    """The faults of one story. Each takes the draws that choose whom it strikes, and the seconds that it lasts."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.cluster = story.cluster
        self.network = story.network

    # -- of any process

    def freeze(self, process: Process, seconds: float) -> None:
        """Freeze a process for some seconds."""
        process.freeze()
        self.story.until(seconds, process.thaw)

    def mute(self, process: Process, draws: Sequence[float]) -> None:
        """Let nothing through any more on one of a process' connections."""
        if (end := self._links(process, draws)) is not None:
            self._kill(end, draws)

    def _kill(self, end: Any, draws: Sequence[float]) -> None:
        """Let nothing through any more; in a race half of such connections are dead even when all has healed."""
        never_heals = self.story.plan.kind == RACE and draws[3] < NEVER_HEAL
        self.network.kill_link(end, never_heals=never_heals)

    def stall(self, process: Process, draws: Sequence[float], seconds: float) -> None:
        """Let nothing through between a process and one of those that it is connected to, for some seconds."""
        self._stall(self._links(process, draws), seconds)

    # -- replicas

    def kill_replica(self, draws: Sequence[float], seconds: float) -> None:
        replica = pick_any(self.story.serving(), draws[0])
        if replica is not None:
            replica.process.kill()
            self.story.until(seconds, self._replace)

    def crash_replica(self, draws: Sequence[float], seconds: float) -> None:
        """Cut the power of a replica's host: nobody is told anything."""
        replica = pick_any(self.story.serving(), draws[0])
        if replica is not None:
            replica.process.crash()
            self.story.until(seconds, self._replace)

    def drain_replica(self, draws: Sequence[float], seconds: float) -> None:
        """Replace a replica, as a rolling update does."""
        replica = pick_any(self.story.serving(), draws[0])
        if replica is not None:
            if draws[1] < 0.5:
                self._replace()
            replica.drain()
            self.story.until(seconds, self._replace)

    def add_replica(self, draws: Sequence[float]) -> None:
        if len(self.story.serving()) < self.story.plan.replicas + 2:
            self.cluster.start_replica(drift=self.story.drift())

    def _replace(self) -> None:
        if len(self.story.serving()) < self.story.plan.replicas:
            self.cluster.start_replica(drift=self.story.drift())

    def freeze_replica(self, draws: Sequence[float], seconds: float) -> None:
        replica = pick_any(self.story.serving(), draws[0])
        if replica is not None:
            self.freeze(replica.process, seconds)

    def step_clock(self, draws: Sequence[float], seconds: float) -> None:
        """Have an operator set a replica's wall clock."""
        replica = pick_any(self.story.serving(), draws[0])
        if replica is not None:
            replica.process.step_s += seconds if draws[1] < 0.5 else -seconds

    # -- connections

    def _links(self, process: Process | None, draws: Sequence[float]) -> Any:
        return None if process is None else pick_any(self.network.links(process.name), draws[1])

    def _page_process(self, draws: Sequence[float]) -> Process | None:
        page = pick_any(self.cluster.pages, draws[0])
        return None if page is None else process_of(page)

    def _silenced_page(self, draws: Sequence[float], seconds: float = 0.0) -> Process | None:
        """Return the process of a page that is silent from now on, for so many seconds or until it notices."""
        process = self._page_process(draws)
        if process is not None:
            now = self.story.world.now
            self.story.silences.setdefault(process.name, []).append((now, now + seconds))
        return process

    def reset_page(self, draws: Sequence[float]) -> None:
        if (end := self._links(self._page_process(draws), draws)) is not None:
            self.network.reset_link(end)

    def mute_page(self, draws: Sequence[float]) -> None:
        if (end := self._links(self._silenced_page(draws), draws)) is not None:
            self._kill(end, draws)

    def stall_page(self, draws: Sequence[float], seconds: float) -> None:
        self._stall(self._links(self._silenced_page(draws, seconds), draws), seconds)

    def _stall(self, end: Any, seconds: float) -> None:
        if end is not None:
            self.network.stall(end.process.name, end.peer.process.name, self.story.world.now + seconds)

    def freeze_page(self, draws: Sequence[float], seconds: float) -> None:
        if (process := self._silenced_page(draws, seconds)) is not None:
            self.freeze(process, seconds)

    def _redis_link(self, draws: Sequence[float]) -> Any:
        return self._links(self.cluster.redis.process, draws)

    def reset_redis(self, draws: Sequence[float]) -> None:
        if (end := self._redis_link(draws)) is not None:
            self.network.reset_link(end)

    def mute_redis(self, draws: Sequence[float]) -> None:
        if (end := self._redis_link(draws)) is not None:
            self._kill(end, draws)

    def stall_redis(self, draws: Sequence[float], seconds: float) -> None:
        self._stall(self._redis_link(draws), seconds)

    # -- Redis

    def freeze_redis(self, draws: Sequence[float], seconds: float) -> None:
        self.freeze(self.cluster.redis.process, seconds)

    def restart_redis(self, draws: Sequence[float], seconds: float) -> None:
        self.cluster.redis.restart(lose=0)
        self.loading_redis(draws, seconds)

    def lose_redis(self, draws: Sequence[float], seconds: float) -> None:
        """Restart Redis without its data, or without its last writes."""
        self.cluster.redis.restart(lose=None if draws[0] < LOSES_ALL else int(draws[1] * 50))
        self.loading_redis(draws, seconds)

    def flush_redis(self, draws: Sequence[float]) -> None:
        """Have an operator remove all data; connections stay."""
        self.cluster.redis.flush()

    def behind_redis(self, draws: Sequence[float], seconds: float) -> None:
        """Fail over to a server that is some writes behind."""
        self.cluster.redis.restart(lose=int(draws[0] * 50))
        self.story.until(seconds, _nothing)

    def loading_redis(self, draws: Sequence[float], seconds: float) -> None:
        server = self.cluster.redis.server
        server.loading = True
        self.story.until(seconds, lambda: setattr(server, "loading", False))

    def out_of_memory(self, draws: Sequence[float], seconds: float) -> None:
        server = self.cluster.redis.server
        server.out_of_memory = True
        self.story.until(seconds, lambda: setattr(server, "out_of_memory", False))

    def cut_slow_redis(self, draws: Sequence[float], seconds: float) -> None:
        """Have Redis cut a replica's connection: it reads nothing while much is published."""
        server, replica = self.cluster.redis.server, pick_any(self.story.serving(), draws[0])
        if replica is None:
            return
        server.output_limit_bytes = OUTPUT_LIMIT_BYTES
        self.story.until(seconds, lambda: setattr(server, "output_limit_bytes", 0))
        if draws[1] < 0.5:
            self.freeze(replica.process, seconds)
        else:
            self.network.stall(self.cluster.redis.process.name, replica.name, self.story.world.now + seconds)
        for tenant in self.story.tenants:
            if (backend := self.story.backend(draws[2])) is not None:
                for _ in range(FLOOD):
                    ident = self.story.ident(backend.caller)
                    data = {"n": ident, "text": "x" * LARGE_BYTES}
                    backend.publish(tenant, "message:new", ident, (organization(tenant),), data)

    def switch_redis(self, draws: Sequence[float], seconds: float) -> None:
        """Fail over as an operator does: the old master refuses writes until connections end; nothing is lost."""
        redis = self.cluster.redis
        redis.server.read_only = True
        self.story.until(seconds, lambda: redis.process.do(redis.server.failover))

    # -- backends

    def kill_backend(self, draws: Sequence[float], seconds: float) -> None:
        backend = self.story.backend(draws[0])
        if backend is not None:
            backend.process.kill()
            self.story.until(seconds, lambda: self.cluster.start_backend(drift=self.story.drift()))

    def freeze_backend(self, draws: Sequence[float], seconds: float) -> None:
        backend = self.story.backend(draws[0])
        if backend is not None:
            self.freeze(backend.process, seconds)

    def mute_backend(self, draws: Sequence[float]) -> None:
        backend = self.story.backend(draws[0])
        if backend is not None:
            self.mute(backend.process, draws)


def _nothing() -> None:
    """Nothing is left to end."""
