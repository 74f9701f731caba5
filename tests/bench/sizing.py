"""`python -m tests.bench.sizing`: what a socket, an event and a delivery take, of the gateway and of Redis.

Prints the table of deploy/README.md; `--publish` puts it there, and the figures into sizing.json. Takes some four
minutes. All sockets are of one organization, which is the dearest case: presence is told to all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from gateway.app.process import raise_file_limit
from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher
from tests.bench.accounting import cpu_s
from tests.bench.measure import Stage, Traffic, measure_traffic, stage
from tests.bench.publish import message
from tests.bench.systems import of_python
from tests.support.environment import ROOT

FIGURES = Path(__file__).with_name("sizing.json")
RUNBOOK = ROOT / "deploy" / "README.md"
GATEWAY = of_python({})[0]

SOCKETS = 5000
# Leases are renewed once in 60 s, heartbeats are exchanged once in 25 s.
IDLE_S = 62.0
ROOM_SIZES = (2, 100)
ROOM_SECONDS, ROOM_RATE = 8, 200
HISTORY_ROOMS, HISTORY_EVENTS = 100, 200
BURST_EVENTS, BURST_AT_ONCE = 20_000, 64
SPREAD = Traffic(sockets=10_000, rooms=1000, rate=200, rounds=2, replicas=4)

Figures = dict[str, float]

MARKED = "<!-- sizing -->\n{}\n<!-- /sizing -->"


class Redis:
    """What the server of a stage has used and done so far."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self._client = redis.Redis.from_url(server.url)

    def sample(self) -> Counter[str]:
        """Return its CPU in µs, its memory in bytes, and its commands, those inside scripts apart."""
        info: dict[str, Any] = self._client.info("everything")
        scripts = info.get("cmdstat_evalsha", {"calls": 0})["calls"]
        calls = sum(info[name]["calls"] for name in info if name.startswith("cmdstat_"))
        cpu_us = round(cpu_s(self._server.pid) * 1e6)
        return Counter(cpu_us=cpu_us, bytes=info["used_memory"], scripts=scripts, calls=calls)

    def bytes_by_kind(self) -> dict[str, float]:
        """Return how many bytes the average key of each kind has."""
        sizes: defaultdict[str, list[int]] = defaultdict(list)
        for key in self._client.scan_iter(count=1000):
            kind = re.sub(rb"^rt:\{[^}]*\}:(\w+).*$", rb"\1", key).decode()
            if len(sizes[kind]) < 500:
                sizes[kind].append(self._client.memory_usage(key, samples=0) or 0)
        return {kind: sum(found) / len(found) for kind, found in sizes.items()}


def sockets() -> Figures:
    """Connect thousands, and let them be idle."""
    with stage(GATEWAY, SOCKETS, SOCKETS // 2) as on:
        server = Redis(on.redis)
        idle, before = on.replicas.come_to_rest(), server.sample()
        on.crowd.connect()
        connected, after = on.replicas.come_to_rest(), server.sample()
        time.sleep(IDLE_S)
        rested, later = on.replicas.usage(), server.sample()
        kinds = server.bytes_by_kind()
    return {
        "base_mib": idle.resident_kib / 1024,
        "socket_kib": (connected.resident_kib - idle.resident_kib) / SOCKETS,
        "connect_ms": (connected.cpu_s - idle.cpu_s) / SOCKETS * 1e3,
        "connect_redis_us": (after["cpu_us"] - before["cpu_us"]) / SOCKETS,
        "connect_scripts": (after["scripts"] - before["scripts"]) / SOCKETS,
        "socket_redis_bytes": (after["bytes"] - before["bytes"]) / SOCKETS,
        "session_bytes": kinds["session"],
        "idle_core_percent": (rested.cpu_s - connected.cpu_s) / IDLE_S * 100 / SOCKETS * 1000,
        "idle_redis_percent": (later["cpu_us"] - after["cpu_us"]) / IDLE_S / 1e4 / SOCKETS * 1000,
        "idle_scripts_per_s": (later["scripts"] - after["scripts"]) / IDLE_S / SOCKETS * 1000,
    }


def events() -> Figures:
    """Publish to small rooms and to large ones: a line through both is the cost of an event and of a delivery."""
    costs = {}
    for size in ROOM_SIZES:
        rooms = 1000 // size
        rounds = max(ROOM_SECONDS * ROOM_RATE // rooms, 1)
        found = measure_traffic(GATEWAY, Traffic(sockets=1000, rooms=rooms, rate=ROOM_RATE, rounds=rounds))
        assert not found["lost"] + found["twice"] + found["late"]
        costs[size] = found["delivery_cpu_us"] * size
    (small, of_small), (large, of_large) = costs.items()
    delivery_us = (of_large - of_small) / (large - small)
    return {"delivery_us": delivery_us, "event_us": of_small - small * delivery_us}


def history() -> Figures:
    """Fill rooms' histories, and look at what is kept."""
    rooms = [str(uuid.uuid4()) for _ in range(HISTORY_ROOMS)]
    with stage(GATEWAY, 2, 1) as on:
        server = Redis(on.redis)
        _publish(on, rooms, 1)
        before = server.sample()
        _publish(on, rooms, HISTORY_EVENTS)
        after = server.sample()
        kinds = server.bytes_by_kind()
        count = HISTORY_ROOMS * HISTORY_EVENTS
    return {
        "kept_event_bytes": kinds["log"] / (HISTORY_EVENTS + 1),
        "once_bytes": kinds["once"],
        "event_redis_bytes": (after["bytes"] - before["bytes"]) / count,
        "event_calls": (after["calls"] - before["calls"]) / count,
        "event_scripts": (after["scripts"] - before["scripts"]) / count,
    }


def _publish(on: Stage, rooms: list[str], rounds: int) -> None:
    on.publisher.ask("publish", rooms=rooms, rounds=rounds, rate=None)


def burst() -> Figures:
    """Publish as fast as one process can, many at once, to a busy Redis: what an event costs it then."""
    with stage(GATEWAY, 2, 1) as on:
        server = Redis(on.redis)
        before = server.sample()
        took_s = asyncio.run(_burst(on.redis.url))
        after = server.sample()
    return {
        "burst_redis_us": (after["cpu_us"] - before["cpu_us"]) / BURST_EVENTS,
        "burst_per_s": BURST_EVENTS / took_s,
    }


async def _burst(url: str) -> float:
    organization, rooms = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(500)]
    async with AsyncPublisher.from_url(url, strict=True, timeout_s=5.0) as backend:

        async def some(first: int) -> None:
            for number in range(first, BURST_EVENTS, BURST_AT_ONCE):
                await backend.message_new(organization, message(rooms[number % len(rooms)], number))

        began = time.monotonic()
        await asyncio.gather(*(some(first) for first in range(BURST_AT_ONCE)))
        return time.monotonic() - began


def spread() -> Figures:
    """Ten thousand sockets on four replicas, in rooms of ten: the plan's unit, small."""
    found = measure_traffic(GATEWAY, SPREAD)
    costs = ("socket_kib", "connect_cpu_ms", "delivery_cpu_us", "event_redis_cpu_us")
    kept = (*costs, "p50_ms", "p99_ms", "deliveries", "lost", "twice", "late")
    return {f"spread_{name}": found[name] for name in kept}


PARTS: tuple[Callable[[], Figures], ...] = (sockets, events, history, burst, spread)

ROWS = (
    ("a replica without sockets", "{base_mib:.0f} MiB"),
    ("a socket: resident memory", "{socket_kib:.1f} KiB"),
    ("a connect with one join: CPU", "{connect_ms:.2f} ms"),
    ("1,000 idle sockets (heartbeats, leases): CPU", "{idle_core_percent:.2f} % of a core"),
    ("an event that has a member here: CPU", "{event_us:.0f} µs"),
    ("each socket that it is delivered to: CPU", "{delivery_us:.1f} µs"),
    ("Redis, a socket: memory", "{socket_redis_bytes:.0f} bytes, of which the session {session_bytes:.0f}"),
    ("Redis, a connect with one join", "{connect_scripts:.1f} scripts, {connect_redis_us:.0f} µs"),
    ("Redis, 1,000 idle sockets", "{idle_scripts_per_s:.1f} scripts/s, {idle_redis_percent:.2f} % of a core"),
    ("Redis, an event kept in a room's history: memory", "{kept_event_bytes:.0f} bytes"),
    ("Redis, an idempotency key: memory, for as long as it holds", "{once_bytes:.0f} bytes"),
    ("Redis, an event: commands", "{event_scripts:.0f} script, {event_calls:.0f} commands with those inside it"),
    (
        "Redis, an event: CPU when idle, and when busy",
        "{spread_event_redis_cpu_us:.0f} µs, {burst_redis_us:.0f} µs",
    ),
    (
        "10,000 sockets on 4 replicas, rooms of 10, 200 events/s",
        "{spread_socket_kib:.1f} KiB a socket, {spread_delivery_cpu_us:.0f} µs a delivery "
        "(the formula: {predicted_us:.0f}), "
        "p99 {spread_p99_ms:.1f} ms, "
        "{spread_lost:.0f} lost, {spread_twice:.0f} twice, {spread_late:.0f} out of order",
    ),
)


def predicted_us(figures: Figures) -> float:
    """Return what the formula of deploy/README.md says of the last run: CPU of the replicas, by delivery."""
    members = SPREAD.sockets / SPREAD.rooms
    idle_us = SPREAD.sockets / 1000 * figures["idle_core_percent"] / 100 / (SPREAD.rate * members) * 1e6
    return idle_us + figures["event_us"] / members + figures["delivery_us"]


def table(figures: Figures) -> str:
    """Return the table of deploy/README.md."""
    shown = figures | {"predicted_us": predicted_us(figures)}
    lines = [f"| {what} | {value.format(**shown)} |" for what, value in ROWS]
    return "\n".join(["| what | measured |", "| --- | --- |", *lines])


def published(text: str) -> str:
    """Return the table that stands in a document."""
    found = re.search(MARKED.format("(.*?)"), text, re.S)
    assert found, "no place for it"
    return found[1]


def main() -> None:
    """Measure, print, and publish if that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing")
    parser.add_argument("--publish", action="store_true", help="into deploy/README.md and sizing.json")
    given = parser.parse_args()
    raise_file_limit()
    figures: Figures = {}
    for part in PARTS:
        figures |= part()
    print(table(figures))
    if given.publish:
        FIGURES.write_text(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1) + "\n")
        text = RUNBOOK.read_text()
        block = MARKED.format(table(json.loads(FIGURES.read_text())))
        RUNBOOK.write_text(text.replace(MARKED.format(published(text)), block))


if __name__ == "__main__":
    main()
