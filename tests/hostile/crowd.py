"""Healthy clients beside an attacker, in a process of their own: `python -m tests.hostile.crowd URL REDIS_URL
WEBSOCKETS POLLERS`.

They are in one conversation, to which numbered events are published all the time, and one after the other they
ask the gateway to answer a `ping`: the longest wait is how long the gateway's loop stood still, seen from outside.
A line on stdin asks for a report on the time since the last one, which comes as a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import count, cycle, pairwise
from pathlib import Path
from typing import Any

from publisher import AsyncPublisher, conversation
from tests.support.client import RawClient
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S, until

EVENT_EVERY_S = 0.02
# Twenty a second from each websocket: less than any limit.
PING_EVERY_S = 0.01
# A report waits for so many events: an attack may be over before the first.
LEAST = 5


@dataclass
class Report:
    """What the neighbours saw; `drops` are connections that ended, `pings_ms` how long each answer took."""

    published: int = 0
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    drops: int = 0
    pings_ms: list[float] = field(default_factory=list)
    waited_s: float = 0.0
    """How long they themselves waited for a processor."""

    @property
    def worst_ms(self) -> float:
        """The longest wait."""
        return max(self.pings_ms, default=0.0)

    @property
    def p99_ms(self) -> float:
        """The wait that one in a hundred exceeds."""
        ordered = sorted(self.pings_ms)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0

    @property
    def unharmed(self) -> bool:
        """Whether every event came to everyone, once and in order, and nobody was disconnected."""
        return self.published > 0 and not (self.lost or self.twice or self.disordered or self.drops)


class Crowd:
    """The clients, and the backend that publishes to them."""

    def __init__(self, url: str, redis_url: str, websockets: int, pollers: int) -> None:
        self.tenant, self.conversation, self.user = new_id(), new_id(), new_id()
        self._publisher = AsyncPublisher.from_url(redis_url)
        self._numbers = count(1)
        self._numbered = 0
        self._settled = 0
        self._drops = 0
        self._rejoined = 0
        """Drops after which everybody has joined again."""
        self._pings_ms: list[float] = []
        self._waited_s = 0.0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.websockets = [self._client(url, "websocket") for _ in range(websockets)]
        self.clients = [*self.websockets, *(self._client(url, "polling") for _ in range(pollers))]

    def _client(self, url: str, transport: Any) -> RawClient:
        return RawClient(url, mint(self.user, self.tenant), transport=transport)

    async def settle_in(self) -> None:
        """Connect everyone; from now on they come back by themselves."""
        for client in self.clients:
            await client.connect()
            await client.join(self.conversation)
            client.stay()

    async def publish(self) -> None:
        """Publish without end, but for reports."""
        while True:
            await self._quiet.wait()
            self._numbered = next(self._numbers)
            room = conversation(self.conversation)
            await self._publisher.emit(self.tenant, "tick", {"n": self._numbered}, to=room)
            await asyncio.sleep(EVENT_EVERY_S)

    async def ping(self) -> None:
        """Ask without end, and note how long the answers take."""
        for client in cycle(self.websockets):
            began = time.perf_counter()
            try:
                await client.call("ping", within_s=PATIENCE_S)
            except (OSError, TimeoutError):
                await asyncio.sleep(PING_EVERY_S)
                continue
            took_s = time.perf_counter() - began
            self._pings_ms.append(took_s * 1000)
            await asyncio.sleep(max(PING_EVERY_S - took_s, 0.0))

    def _drops_so_far(self) -> int:
        return sum(len(client.recoveries) + (not client.connected) for client in self.clients)

    async def _join_again(self) -> None:
        """Do as pages do that came back and did not recover."""
        await until(lambda: all(client.connected for client in self.clients), PATIENCE_S, "everybody to be back")
        for client in self.clients:
            await client.join(self.conversation)

    async def report(self) -> Report:
        """Let everything arrive that was published, and say what did since the last report."""
        drops = self._drops_so_far()
        if drops > self._rejoined:
            await self._join_again()
            self._rejoined = drops
        await until(lambda: self._numbered >= self._settled + LEAST, PATIENCE_S, "events to be published")
        self._quiet.clear()
        await asyncio.sleep(EVENT_EVERY_S * 2)
        first, last = self._settled + 1, self._numbered

        def is_over() -> bool:
            # Who was disconnected meanwhile is in no room, perhaps, until the next report has it join again.
            return self._drops_so_far() > drops or all(_numbers(client)[-1:] == [last] for client in self.clients)

        with contextlib.suppress(AssertionError):  # the figures say so
            await until(is_over, PATIENCE_S)
        seen = Report(published=last - first + 1, pings_ms=[round(ms, 2) for ms in self._pings_ms])
        wanted = set(range(first, last + 1))
        for client in self.clients:
            numbers = [number for number in _numbers(client) if number >= first]
            seen.lost += len(wanted - set(numbers))
            seen.twice += len(numbers) - len(set(numbers))
            seen.disordered += sum(after < before for before, after in pairwise(numbers))
            del client.events[:-1]
        drops = self._drops_so_far()
        seen.drops, self._drops = drops - self._drops, drops
        self._pings_ms.clear()
        waited_s = times_s(os.getpid())[1]
        seen.waited_s, self._waited_s = waited_s - self._waited_s, waited_s
        self._settled = last
        self._quiet.set()
        return seen


def times_s(pid: int) -> tuple[float, float]:
    """Return how long a process' one thread that matters ran, and how long it waited for a processor."""
    try:
        ran_ns, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except FileNotFoundError:  # a kernel that does not count it: no figure for the table
        return 0.0, 0.0
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


def _numbers(client: RawClient) -> list[int]:
    return [event.data["n"] for event in client.events if event.name == "tick"]


async def main(url: str, redis_url: str, websockets: int, pollers: int) -> None:
    """Run until stdin ends."""
    crowd = Crowd(url, redis_url, websockets, pollers)
    await crowd.settle_in()
    chores = [asyncio.ensure_future(crowd.publish()), asyncio.ensure_future(crowd.ping())]
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({name: getattr(crowd, name) for name in ("tenant", "conversation", "user")}), flush=True)
    while await lines.readline():
        print(json.dumps(asdict(await crowd.report())), flush=True)
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)
    for client in crowd.clients:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
