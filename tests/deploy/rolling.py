"""A rolling restart behind a real proxy: every kind of client, backends that publish, and the checker's verdict.

`python -m tests.deploy.rolling` runs it at full length behind each proxy and prints the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.deploy.haproxy import Haproxy
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Changes, Proxy
from tests.deploy.traefik import Traefik
from tests.faults.ground import Ground, Terrain
from tests.faults.rows import Play, Result, Row, run
from tests.faults.stage import Scale, Stage
from tests.faults.table import markdown
from tests.support.browsers import TRANSPORTS
from tests.support.replica import Replica
from tests.support.waiting import until

FULL = Scale(full=True, clients=60, polling=24, pages=0, rate=200.0)
SHORT = Scale(full=False, clients=9, polling=4, pages=0, rate=100.0)

WORKERS = 3
# A page whose upgrade is cut in two, as on a machine that is too busy, heals by its heartbeats: not in 45 s here.
SETTINGS = {"GATEWAY_SHUTDOWN_GRACE_S": "2", "GATEWAY_PING_INTERVAL_S": "4", "GATEWAY_PING_TIMEOUT_S": "6"}
REPLICAS = Terrain(replicas=3, settings=SETTINGS)
CREW = Terrain(replicas=1, settings={**SETTINGS, "GATEWAY_WORKERS": str(WORKERS)}, may_log=("worker_ended",))
# nginx as it is sends a client's polls to one replica; without that line each goes to the next.
IN_TURNS: Changes = {"    hash $remote_addr;\n": ""}


class Fronted(Ground):
    """Replicas of which clients know only the proxy in front."""

    def __init__(self, folder: Path, terrain: Terrain, kind: type[Proxy], changes: Changes) -> None:
        super().__init__(folder, terrain)
        self._kind, self._changes = kind, changes
        self.proxy: Proxy | None = None

    @property
    def urls(self) -> list[str]:
        """Where clients connect to."""
        assert self.proxy is not None
        return [self.proxy.url]

    async def start(self) -> Ground:
        """Start everything, the proxy last."""
        await super().start()
        folder = self.folder / self._kind.name
        folder.mkdir()
        self.proxy = self._kind(folder, [replica.port for replica in self.replicas], self._changes)
        await asyncio.to_thread(self.proxy.start)
        return self

    async def stop(self) -> list[str]:
        """Stop everything, the proxy first."""
        if self.proxy is not None:
            await asyncio.to_thread(self.proxy.stop)
        return await super().stop()


async def replicas_in_turn(stage: Stage) -> None:
    """Restart one replica after the other, as the runbook does."""
    await _everybody(stage)
    for replica in stage.ground.replicas:
        await stage.published(_between(stage))
        replica.terminate()
        status = await replica.ended()
        assert status == 0, f"the replica ended with {status}"
        await replica.restarted()
    await _afterwards(stage)


async def workers_in_turn(stage: Stage) -> None:
    """Restart one worker of a process after the other."""
    (crew,) = stage.ground.replicas
    await until(lambda: _serving(crew) >= WORKERS, what="all workers to serve")
    await _everybody(stage)
    for ended, worker in enumerate(sorted(_workers(crew)), 1):
        await stage.published(_between(stage))
        os.kill(worker, signal.SIGTERM)
        await until(lambda: _serving(crew) >= WORKERS + ended, what="another worker to serve")  # noqa: B023
    await _afterwards(stage)


async def _everybody(stage: Stage) -> None:
    """Have everybody there, also real pages of each kind: websocket, polling alone, polling that is upgraded."""
    await stage.open()
    (url,) = stage.ground.urls
    for kind, transports in TRANSPORTS.items():
        for number in range(stage.scale.times(4, 1)):
            user = stage.random.choice(stage.cast.users)
            await stage.open_page(f"{kind}-{number}", url, user, transports=transports)


async def _afterwards(stage: Stage) -> None:
    """Wait for everybody; fails if there is somebody to whom nothing happened."""
    await stage.all_connected()
    stage.notes.append(_summary(stage))
    stayed = [client.name for client in stage.clients() if not client.comebacks]
    assert not stayed, f"nothing happened to {stayed}"


def _between(stage: Stage) -> int:
    return stage.scale.times(200, 30)


def _summary(stage: Stage) -> str:
    """Say who was there, and how often they came back."""
    polling = [watcher for i, watcher in enumerate(stage.watchers) if i < stage.scale.polling]
    crowds: dict[str, Sequence[object]] = {
        "websocket": stage.watchers[stage.scale.polling :],
        "polling": polling,
    }
    for kind in TRANSPORTS:
        crowds[f"pages by {kind}"] = [page for page in stage.pages if page.name.startswith(kind)]
    return "; ".join(
        f"{len(crowd)} {name} came back {sum(client.comebacks for client in crowd)} times"  # type: ignore[attr-defined]
        for name, crowd in crowds.items()
    )


def _workers(crew: Replica) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{crew.pid}/task/{crew.pid}/children").read_text().split()}


def _serving(crew: Replica) -> int:
    return len(crew.log_lines("gateway_started"))


ROWS: dict[str, tuple[str, Play, Terrain, type[Proxy], Changes]] = {
    "nginx": ("nginx", replicas_in_turn, REPLICAS, Nginx, {}),
    "nginx-in-turns": ("nginx without stickiness", replicas_in_turn, REPLICAS, Nginx, IN_TURNS),
    "nginx-workers": ("nginx, workers of one process", workers_in_turn, CREW, Nginx, {}),
    "haproxy": ("HAProxy", replicas_in_turn, REPLICAS, Haproxy, {}),
    "traefik": ("Traefik", replicas_in_turn, REPLICAS, Traefik, {}),
}


async def roll(name: str, scale: Scale, seed: int, folder: Path) -> Result:
    """Run one of the rows on servers of its own; what goes wrong is in the result."""
    fault, play, terrain, kind, changes = ROWS[name]
    row = Row(f"rolling restart behind {fault}", play, terrain, frozenset(), harmless=False, long=True)
    ground = Fronted(folder / name, terrain, kind, changes)
    try:
        await ground.start()
        result = await run(row, scale, seed, folder / name, ground=ground)
    finally:
        troubles = await ground.stop()
    result.troubles += troubles
    return result


def main() -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.rolling", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all without any")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--short", action="store_true", help="few clients and events, as `make test` runs them")
    arguments = parser.parse_args()
    scale = SHORT if arguments.short else FULL
    with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
        results = [asyncio.run(roll(name, scale, arguments.seed, Path(folder))) for name in arguments.rows or ROWS]
    print(markdown(results))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
