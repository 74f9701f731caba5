"""A backend under load: the real publisher in a process of its own, and its record of what was acknowledged.

Over there it publishes at a steady rate to rooms drawn at random, and whatever else it is told to; each call's
receipt is a line on stdout. Over here `Backend` reads the lines.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any, Self

from publisher import AsyncPublisher, Receipt
from tests.faults.checker import Published
from tests.support.environment import ROOT, clean_environment

LINE_LIMIT = 1 << 24
FLUSH_S = 120.0
WATCH_S = 0.05
BURST = 250
"""Calls of a burst that wait at the same time: far fewer than the publisher's buffer holds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backend publishes by itself: `rate` events a second, drawn with `seed`."""

    name: str
    tenants: tuple[str, ...]
    users: tuple[str, ...]
    conversations: tuple[str, ...]
    campaigns: tuple[str, ...]
    rate: float
    seed: int


@dataclass(slots=True)
class Ending:
    """How a backend ended: what it could not send, and its counters."""

    unsent: int = -1
    counters: dict[str, int] = field(default_factory=dict)


class Backend:
    """The process, from here. `published` is what was acknowledged so far, by ident."""

    def __init__(self, redis_url: str, plan: Plan) -> None:
        self.plan = plan
        self.published: dict[str, Published] = {}
        self.refused: list[str] = []
        """Calls that raised, or whose event was dropped: not acknowledged."""
        self.slowest_s = 0.0
        self.ending = Ending()
        self._url = redis_url
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._commands = count(1)
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}

    async def start(self) -> Self:
        """Start it; it publishes nothing before it is told to."""
        plan = json.dumps(asdict(self.plan))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.backend", self._url, plan),
            env=clean_environment(),
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_LIMIT,
        )
        self._reader = asyncio.create_task(self._read())
        await self.run(0)
        return self

    async def run(self, rate: float | None = None) -> None:
        """Publish at this rate from now on, the plan's by default; 0 stops that."""
        await self._tell("run", rate=self.plan.rate if rate is None else rate)

    async def emit(self, tenant: str, *rooms: str, **more: Any) -> Published:
        """Publish one event; `more` are `emit`'s: key, skip_sid. Return what was acknowledged."""
        (ident,) = await self._tell("burst", tenant=tenant, rooms=rooms, times=1, pad=0, more=more)
        return self.published[ident]

    async def burst(self, tenant: str, *rooms: str, times: int, pad: int = 0, **more: Any) -> list[str]:
        """Publish as fast as it goes, `pad` bytes each; `more` are `emit`'s. Return the idents."""
        return await self._tell("burst", tenant=tenant, rooms=rooms, times=times, pad=pad, more=more)

    async def counters(self) -> dict[str, int]:
        """Return the publisher's counters."""
        found: dict[str, int] = (await self._tell("counters"))[0]
        return found

    async def flushed(self) -> None:
        """Wait until nothing waits to be sent any more."""
        await self._tell("flush")

    async def end(self) -> Ending:
        """Have it send what is left, and end."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._reader, FLUSH_S)
            status = await self._process.wait()
            assert status == 0, f"the backend {self.plan.name} ended with {status}"
        finally:
            self.kill()
        return self.ending

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _tell(self, do: str, **facts: Any) -> list[Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._commands)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"number": number, "do": do, **facts}).encode() + b"\n")
        answer: list[Any] = await future
        return answer

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._take(json.loads(line))
        for future in self._waiting.values():
            future.cancel()

    def _take(self, line: dict[str, Any]) -> None:
        if "done" in line:
            self._waiting.pop(line["done"]).set_result(line["answer"])
        elif "unsent" in line:
            self.ending = Ending(**line)
        elif line["error"] is not None or (line["offset"] is None and not line["queued"]):
            self.refused.append(f"{line['ident']}: {line['error'] or 'dropped'}")
        else:
            self.slowest_s = max(self.slowest_s, line["took_s"])
            self._note(line)

    def _note(self, line: dict[str, Any]) -> None:
        known = self.published.get(line["ident"])
        if known is not None:
            known.offset = known.offset or line["offset"]
            return
        self.published[line["ident"]] = Published(
            line["ident"], tuple(line["rooms"]), line["at"], line["offset"], line["skip_sid"]
        )


# -- over there


class Load:
    """The process."""

    def __init__(self, events: AsyncPublisher, plan: Plan) -> None:
        self._events = events
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._rate = 0.0
        self._idents = count(1)
        self._calls: set[asyncio.Task[None]] = set()
        self._stood_still_s = 0.0
        self._due = math.inf
        """When the loop is to wake up next, to see for how long it did not get on."""

    async def obey(self) -> None:
        """Do what stdin says until it ends, then what is left."""
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0))
        running = asyncio.gather(self._run(), self._watch())
        while line := await reader.readline():
            command = json.loads(line)
            answer = await getattr(self, f"do_{command.pop('do')}")(**command)
            say({"done": command["number"], "answer": answer or []})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self._settle()
        say({"unsent": await self._events.aclose(FLUSH_S), "counters": asdict(self._events.counters)})

    async def do_run(self, number: int, rate: float) -> None:
        self._rate = rate
        if not rate:
            await self._settle()

    async def do_burst(
        self, number: int, tenant: str, rooms: list[str], times: int, pad: int, more: dict[str, Any]
    ) -> list[str]:
        idents = []
        for i in range(0, times, BURST):
            calls = (self._emit(tenant, rooms, pad, **more) for _ in range(min(BURST, times - i)))
            idents += await asyncio.gather(*calls)
        return idents

    async def do_counters(self, number: int) -> list[dict[str, int]]:
        return [asdict(self._events.counters)]

    async def do_flush(self, number: int) -> None:
        await self._settle()
        while self._events.unsent:
            await asyncio.sleep(0.01)

    async def _settle(self) -> None:
        while self._calls:
            await asyncio.gather(*self._calls)

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            if not self._rate:
                await asyncio.sleep(0.01)
                due = time.monotonic()
                continue
            due += 1 / self._rate
            while (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            task = asyncio.get_running_loop().create_task(self._publish_one())
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due = loop.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            self._stood_still_s += loop.time() - self._due

    def _still_s(self) -> float:
        """Return for how long in all this process itself did not get on: no publisher can be quicker."""
        return self._stood_still_s + max(asyncio.get_running_loop().time() - self._due, 0.0)

    def _ident(self) -> str:
        """Number the call that is made next, without a pause: the checker minds the order."""
        return f"{self._plan.name}-{next(self._idents)}"

    async def _publish_one(self) -> None:
        """Publish what a backend would, by one verb or another."""
        draw, plan = self._random, self._plan
        tenant, talk = draw.choice(plan.tenants), draw.choice(plan.conversations)
        user, campaign = draw.choice(plan.users), draw.choice(plan.campaigns)
        rooms = (f"conversation:{talk}", f"user:{user}", f"campaign:{campaign}", f"organization:{tenant}")
        kind = draw.random()
        if kind < 0.5:
            ident = self._ident()
            message = {"id": ident, "n": ident, "conversation_id": talk, "content": {"text": "x" * 200}}
            await self._note(tenant, ident, rooms[:1], self._events.message_new(tenant, message))
        elif kind < 0.6:
            ident = self._ident()
            note = {"notification_id": ident, "n": ident, "subject": "Olá"}
            await self._note(tenant, ident, rooms[1:2], self._events.notification_new(tenant, user, note))
        elif kind < 0.7:
            ident = self._ident()
            progress = self._events.campaign_progress(tenant, campaign, {"n": ident, "progress": 40})
            await self._note(tenant, ident, rooms[2:3], progress)
        elif kind < 0.75:
            await self._emit(tenant, rooms[3:])
        else:
            await self._emit(tenant, draw.sample(rooms[:3], draw.choice((2, 3))))

    async def _emit(self, tenant: str, rooms: Any, pad: int = 0, **more: Any) -> str:
        ident = self._ident()
        data = {"n": ident, "pad": "x" * pad}
        call = self._events.emit(tenant, "test:event", data, to=rooms, **more)
        await self._note(tenant, ident, rooms, call, more.get("skip_sid"))
        return ident

    async def _note(self, tenant: str, ident: str, rooms: Any, call: Any, skip_sid: str | None = None) -> None:
        at, error, receipt, still_s = time.monotonic(), None, Receipt(None), self._still_s()
        try:
            receipt = await call
        except Exception as raised:  # noqa: BLE001  # the row's to judge
            error = repr(raised)
        rooms = [f"{tenant}/{room}" for room in rooms]
        took_s = max(time.monotonic() - at - (self._still_s() - still_s), 0.0)
        offset, queued = receipt.offset, receipt.queued
        facts = {"ident": ident, "rooms": rooms, "at": at, "took_s": took_s, "skip_sid": skip_sid}
        say({**facts, "offset": offset, "queued": queued, "error": error})


def say(line: dict[str, Any]) -> None:
    """Write a line to the test's process."""
    print(json.dumps(line), flush=True)


async def main(url: str, plan: dict[str, Any]) -> None:
    logging.getLogger("publisher").setLevel(logging.ERROR)  # that Redis is away is no news in here
    await Load(AsyncPublisher.from_url(url), Plan(**plan)).obey()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
