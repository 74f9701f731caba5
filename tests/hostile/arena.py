"""Where attacks happen: a Redis, one replica, neighbours; and what an attack did to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.hostile.crowd import Report, times_s
from tests.hostile.neighbours import Neighbours
from tests.support.replica import Replica, alive


@dataclass
class Cost:
    """What an attack cost: of the replica's memory, time and disk, and of the neighbours' peace."""

    peak_mib: float = 0.0
    """Resident memory at its highest, above what it was before."""
    kept_mib: float = 0.0
    """What of that was still there afterwards."""
    cpu_s: float = 0.0
    waited_s: float = 0.0
    """How long it and the neighbours waited for a processor: on a busy machine an answer waits for that, too."""
    log_bytes: int = 0
    neighbours: Report = field(default_factory=Report)


class Arena:
    """The servers and the neighbours, for one attack after the other."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.redis = EmbeddedRedis(folder=folder)
        self.replica = Replica(self.redis.url, folder / "replica.log", settings)
        self._neighbours: Neighbours | None = None
        self._before = (0, 0.0, 0.0, 0)

    @property
    def neighbours(self) -> Neighbours:
        """The healthy clients."""
        assert self._neighbours is not None
        return self._neighbours

    def start(self) -> Self:
        """Start everything, or nothing."""
        self.redis.start()
        alive.append(self.replica)
        try:
            self.replica.start()
            self._neighbours = Neighbours(self.replica.url, self.redis.url)
        except BaseException:
            self.close()
            raise
        return self

    async def begin(self) -> None:
        """Measure from now on."""
        await self.neighbours.report()
        self.replica.assert_log_is_clean()
        with contextlib.suppress(OSError):
            # Has the kernel forget the highest memory so far.
            Path(f"/proc/{self.replica.pid}/clear_refs").write_text("5")
        self._before = (self.replica.memory_kib(), *self._times_s(), self.replica.log.stat().st_size)

    async def end(self) -> Cost:
        """Return what it cost since `begin`; fails for a traceback in the log."""
        memory_kib, cpu_s, waited_s, log_bytes = self._before
        report = await self.neighbours.report()
        self.replica.assert_log_is_clean()
        return Cost(
            peak_mib=(self._peak_kib() - memory_kib) / 1024,
            kept_mib=(self.replica.memory_kib() - memory_kib) / 1024,
            cpu_s=self._times_s()[0] - cpu_s,
            waited_s=self._times_s()[1] - waited_s + report.waited_s,
            log_bytes=self.replica.log.stat().st_size - log_bytes,
            neighbours=report,
        )

    def _peak_kib(self) -> int:
        status = Path(f"/proc/{self.replica.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def _times_s(self) -> tuple[float, float]:
        return times_s(self.replica.pid)

    def cpu_s(self) -> float:
        """Return how long the replica's thread has run."""
        return self._times_s()[0]

    def files(self) -> int:
        """How many files and sockets the replica has open."""
        return len(os.listdir(f"/proc/{self.replica.pid}/fd"))

    def sessions(self) -> int:
        """How many transports the replica keeps."""
        return self.metric("gateway_engine_sessions")

    def metric(self, name: str) -> int:
        """Return the sum of a metric's values."""
        _, text = self.replica.get("/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    def close(self) -> None:
        """End everything; fails if the replica ends badly."""
        if self._neighbours is not None:
            self._neighbours.close()
        try:
            self.replica.close()
        finally:
            self.redis.kill()
            self.redis.close()
