"""One measurement: a system, a load, its figures. Everything is started anew for each."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.bench.accounting import Usage, cpu_s
from tests.bench.crowd import Crowd
from tests.bench.replicas import Replicas
from tests.bench.systems import System
from tests.bench.tally import percentile
from tests.bench.worker import Worker

NOBODYS = str(uuid.UUID(int=0xBE4C4))
Figures = dict[str, float]


class Traffic(NamedTuple):
    """Sockets sit in rooms, and events come at a steady rate: `rounds` to every room."""

    sockets: int
    rooms: int
    rate: float
    rounds: int
    replicas: int = 1
    deflate: bool = False


class Storm(NamedTuple):
    """Sockets drop all at once, miss events, and come back all at once, within `cap_s` if they can."""

    sockets: int
    missed: int
    room_size: int = 10
    cap_s: float = 30.0


class Stage(NamedTuple):
    """What takes part in a measurement."""

    redis: EmbeddedRedis
    replicas: Replicas
    crowd: Crowd
    publisher: Worker


@contextmanager
def stage(
    system: System,
    sockets: int,
    rooms: int,
    *,
    replicas: int = 1,
    organizations: int = 1,
    deflate: bool = False,
    at_once: int = 250,
) -> Iterator[Stage]:
    """Start Redis, replicas, load generators and a publisher."""
    tenant = str(uuid.uuid4())
    publish = {"BACKEND": system.publishes, "ORGANIZATION": tenant}
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        EmbeddedRedis() as redis,
        Worker("tests.bench.publish", **publish, REDIS_URL=redis.url) as backend,
        Replicas(system, redis.url, replicas, Path(folder)) as servers,
        Crowd(
            tenant, servers.ports, sockets, rooms, organizations=organizations, deflate=deflate, at_once=at_once
        ) as crowd,
    ):
        yield Stage(redis, servers, crowd, backend)


def measure_traffic(system: System, load: Traffic) -> Figures:
    """Connect, publish, and see what arrives and what it costs."""
    with stage(system, load.sockets, load.rooms, replicas=load.replicas, deflate=load.deflate) as on:
        # The first one connects, and loads scripts; to a room that nobody is in.
        on.publisher.ask("publish", rooms=[NOBODYS], rounds=1, rate=None)
        idle = on.replicas.come_to_rest()
        connecting = _connecting(on, load, idle)
        delivering = _delivering(on, load)
        loaded_kib = on.replicas.usage().resident_kib - idle.resident_kib
    return connecting | delivering | {"loaded_socket_kib": loaded_kib / load.sockets}


def _connecting(on: Stage, load: Traffic, idle: Usage) -> Figures:
    took_s = on.crowd.connect()["took_s"]
    cpu = on.replicas.usage().cpu_s - idle.cpu_s
    resident_kib = on.replicas.come_to_rest().resident_kib - idle.resident_kib
    return {
        "connects_per_s": load.sockets / took_s,
        "connect_cpu_ms": cpu / load.sockets * 1e3,
        "socket_kib": resident_kib / load.sockets,
    }


def _delivering(on: Stage, load: Traffic) -> Figures:
    on.crowd.begin()
    before = (on.replicas.usage().cpu_s, cpu_s(on.redis.pid), on.crowd.cpu_s)
    published = on.publisher.ask("publish", rooms=on.crowd.rooms, rounds=load.rounds, rate=load.rate)
    received = on.crowd.receive(load.rounds)
    after = (on.replicas.usage().cpu_s, cpu_s(on.redis.pid), on.crowd.cpu_s)
    replicas_us, redis_us, crowd_us = ((late - early) * 1e6 for late, early in zip(after, before, strict=True))
    events = load.rounds * load.rooms
    delivered = max(len(received.latencies_us), 1)
    return {
        "delivery_cpu_us": replicas_us / delivered,
        "delivery_load_cpu_us": crowd_us / delivered,
        "event_redis_cpu_us": redis_us / events,
        "event_publisher_cpu_us": published["cpu_s"] * 1e6 / events,
        "p50_ms": percentile(received.latencies_us, 0.50) / 1e3,
        "p99_ms": percentile(received.latencies_us, 0.99) / 1e3,
        "max_ms": percentile(received.latencies_us, 1.00) / 1e3,
        "delivery_bytes": received.bytes / delivered,
        "deliveries": delivered,
        "deflated_sockets": received.deflated,
        "cut_sockets": received.cut,
        **received.verdict._asdict(),
    }


def measure_storm(system: System, load: Storm) -> Figures:
    """Drop every socket, publish what they miss, let them come back, and see what they get and what it costs."""
    rooms = -(-load.sockets // load.room_size)
    with stage(system, load.sockets, rooms, at_once=500) as (redis, replicas, crowd, publisher):
        crowd.connect()
        # So that every socket has seen an event of its room, and has an offset to come back with.
        publisher.ask("publish", rooms=crowd.rooms, rounds=1, rate=None)
        crowd.receive(1)
        crowd.drop()
        replicas.come_to_rest()
        publisher.ask("publish", rooms=crowd.rooms, rounds=load.missed, rate=None)
        before, redis_before = replicas.come_to_rest(), cpu_s(redis.pid)

        back = crowd.connect(load.cap_s, owed=1 + load.missed)
        after, redis_s = replicas.usage(), cpu_s(redis.pid) - redis_before
        is_done = back["arrived"] == load.sockets
        verdict = crowd.receive(1 + load.missed).verdict._asdict() if is_done else {}
    arrived = max(back["arrived"], 1)
    return {
        "took_s": back["took_s"],
        "arrived": back["arrived"],
        "recovered": back["recovered"],
        "comeback_cpu_ms": (after.cpu_s - before.cpu_s) / arrived * 1e3,
        "comeback_redis_cpu_ms": redis_s / arrived * 1e3,
        **verdict,
    }


def measure(system: System, load: Traffic | Storm) -> Figures:
    """Measure one system under one load; raises `BenchError` or `EmbeddedError`."""
    began = time.monotonic()
    figures = measure_traffic(system, load) if isinstance(load, Traffic) else measure_storm(system, load)
    return figures | {"measured_in_s": time.monotonic() - began}
