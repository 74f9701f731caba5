"""One load generator's process: a share of the sockets, on one uvloop."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from typing import Any

import uvloop

from tests.bench.client import Client
from tests.bench.tally import total
from tests.bench.worker import obey
from tests.support.tokens import mint

STEP_S = 0.02
# Long enough for a second copy of an event to come in.
AFTERWARDS_S = 0.3
TOKEN_TTL_S = 3600


class Load:
    """The sockets of this process."""

    def __init__(self) -> None:
        self._clients: list[Client] = []
        self._ports: list[int] = []
        self._latencies_us: list[int] = []
        self._bytes_before = 0

    async def prepare(self, places: list[Any], deflate: bool, at_once: int) -> None:
        """Make the clients: `places` has for each its number, organization, room and replica's port."""
        self._ports = [port for *_, port in places]
        for number, organization, room, _ in places:
            token = mint(uuid.UUID(int=number + 1), organization, ttl_s=TOKEN_TTL_S)
            self._clients.append(Client(token, room, self._latencies_us, deflate=deflate))
        self._gate = asyncio.Semaphore(at_once)
        # No collection while we measure: its pauses would count as the server's.
        gc.disable()

    async def connect(self, within_s: float, owed: int) -> dict[str, int]:
        """Connect every socket, `at_once` at a time; who comes back waits for all that it is owed.

        Sockets that are not done after `within_s` are given up. Raises the first one's error.
        """
        tasks = [
            asyncio.ensure_future(self._connect(client, port, owed))
            for client, port in zip(self._clients, self._ports, strict=True)
        ]
        done, pending = await asyncio.wait(tasks, timeout=within_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
        return {"arrived": len(done), "recovered": sum(client.recovered for client in self._clients)}

    async def _connect(self, client: Client, port: int, owed: int) -> None:
        async with self._gate:
            await client.connect(port, owed)

    async def begin(self) -> None:
        """Forget latencies and bytes: the measurement begins now."""
        self._latencies_us.clear()
        self._bytes_before = self._bytes()

    async def receive(self, upto: int, quiet_s: float) -> dict[str, Any]:
        """Wait until every socket has its room's events up to `upto`, or until nothing came for `quiet_s`."""
        got, last = -1, time.monotonic()
        while time.monotonic() - last < quiet_s:
            if all(client.ledger.is_complete(upto) for client in self._clients):
                break
            if len(self._latencies_us) != got:
                got, last = len(self._latencies_us), time.monotonic()
            await asyncio.sleep(STEP_S)
        await asyncio.sleep(AFTERWARDS_S)
        return {
            "verdict": total(client.ledger.verdict(upto) for client in self._clients),
            "latencies_us": sorted(self._latencies_us),
            "bytes": self._bytes() - self._bytes_before,
            "deflated": sum(client.deflated for client in self._clients),
            "cut": sum(client.cut is not None for client in self._clients),
        }

    async def drop(self) -> None:
        """Cut every connection."""
        for client in self._clients:
            client.drop()

    def _bytes(self) -> int:
        return sum(client.received_bytes for client in self._clients)


async def main() -> None:
    """Do as told."""
    load = Load()
    verbs = (load.prepare, load.connect, load.begin, load.receive, load.drop)
    await obey({verb.__name__: verb for verb in verbs})


if __name__ == "__main__":
    uvloop.run(main())
