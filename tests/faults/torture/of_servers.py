"""What goes wrong with replicas, with Redis, and with the ways between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping

import redis.asyncio
from redis.exceptions import RedisError

from tests.faults.torture.chaos import Chaos, Fault
from tests.support.proxy import Link, Proxy
from tests.support.replica import Replica
from tests.support.waiting import until

READY_S = 300.0

# -- ways between replicas and Redis


def _bus(chaos: Chaos) -> tuple[int, Proxy, list[Link]]:
    """Choose a replica's way to Redis, and what of it: what it hears by, what it asks by, or both."""
    at = chaos.draw.randrange(len(chaos.trial.ground.redis_proxies))
    proxy = chaos.trial.ground.redis_proxies[at]
    hearing = proxy.links_that_asked(b"SUBSCRIBE")
    asking = [link for link in proxy.links if link not in hearing]
    return at, proxy, chaos.draw.choice((hearing, hearing, asking, [*proxy.links]))


async def cut_bus(chaos: Chaos) -> None:
    at, proxy, links = _bus(chaos)
    proxy.cut(links)
    chaos.trial.say(f"{len(links)} ways of replica {at} to Redis cut")


async def stall_bus(chaos: Chaos) -> None:
    at, proxy, links = _bus(chaos)
    seconds = chaos.draw.uniform(0.1, 4.0)
    proxy.stall(links)
    _note_outage(chaos, seconds)
    chaos.trial.say(f"{len(links)} ways of replica {at} to Redis stall for {seconds:.1f} s")
    chaos.last(chaos.after(seconds, lambda: _resume(links), f"replica {at}'s ways go on"))


async def arrive_behind_stall(chaos: Chaos) -> None:
    """What a replica hears is late while tabs come back, and others of their users open."""
    at, seconds = chaos.draw.randrange(len(chaos.trial.ground.redis_proxies)), chaos.draw.uniform(0.3, 2.5)
    proxy = chaos.trial.ground.redis_proxies[at]
    links = proxy.links_that_asked(b"SUBSCRIBE")
    proxy.stall(links)
    tabs = chaos.some(5)
    for tab in tabs:
        tab.proxy.cut()
    chaos.trial.say(f"replica {at} hears late by {seconds:.1f} s, cut: {' '.join(t.name for t in tabs)}")
    for tab in tabs[:2]:
        if len(chaos.trial.open_tabs) < chaos.trial.most_tabs:
            opened = await chaos.trial.open_tab(chaos.trial.tenant_of(tab), tab.user, set(tab.wanted))
            chaos.trial.say(f"{opened.name} opened by {tab.user[:4]}")
    chaos.last(chaos.after(seconds, lambda: _resume(links), f"replica {at} hears"))


def _note_outage(chaos: Chaos, seconds: float) -> None:
    """Note that Redis takes nothing from a replica from now on, at least not in time."""
    now = time.monotonic()
    chaos.trial.outages.append((now, now + seconds))


def _resume(links: list[Link]) -> None:
    """Let everything through some links again."""
    for link in links:
        link.resume()


# -- replicas


def _free(chaos: Chaos) -> tuple[int, Replica] | None:
    free = [(i, r) for i, r in enumerate(chaos.trial.ground.replicas) if r not in chaos.busy]
    # One is always there, or all that is left is waiting.
    return chaos.draw.choice(free) if len(free) == len(chaos.trial.ground.replicas) else None


async def kill_replica(chaos: Chaos) -> None:
    _end(chaos, Replica.kill, "killed")


async def drain_replica(chaos: Chaos) -> None:
    _end(chaos, Replica.terminate, "drains")


def _end(chaos: Chaos, end: Callable[[Replica], None], what: str) -> None:
    if (chosen := _free(chaos)) is not None:
        at, replica = chosen
        chaos.busy.add(replica)
        end(replica)
        chaos.trial.say(f"replica {at} {what}")
        chaos.last(_start_again(chaos, at, replica))


async def _start_again(chaos: Chaos, at: int, replica: Replica) -> None:
    """Start a replica once it has ended; again where Redis was away, without which none starts."""
    await until(lambda: not replica.is_running, READY_S, f"replica {at} to end")
    if chaos.draw.random() < 0.3:
        await asyncio.sleep(chaos.draw.uniform(0.0, 3.0))

    async def is_ready() -> bool:
        if not replica.is_running:
            replica.begin()
        return (await asyncio.to_thread(replica.get, "/health/ready"))[0] == 200

    await until(is_ready, READY_S, f"replica {at} to be ready")
    chaos.busy.discard(replica)
    chaos.trial.say(f"replica {at} ready")


async def freeze_replica(chaos: Chaos) -> None:
    await _freeze(chaos, chaos.draw.uniform(0.2, 4.0))


async def freeze_long(chaos: Chaos) -> None:
    """Freeze one for longer than its sessions live, where that is short."""
    await _freeze(chaos, chaos.draw.uniform(1.0, 1.5) * min(chaos.trial.lease_s, 16.0))


async def _freeze(chaos: Chaos, seconds: float) -> None:
    chosen = _free(chaos)
    if chosen is None:
        return
    at, replica = chosen
    chaos.busy.add(replica)
    replica.pause()
    chaos.trial.say(f"replica {at} frozen for {seconds:.1f} s")

    def thaw() -> None:
        replica.resume()
        chaos.busy.discard(replica)

    chaos.last(chaos.after(seconds, thaw, f"replica {at} thaws"))


# -- Redis


async def kill_redis(chaos: Chaos) -> None:
    if not chaos.redis.locked():
        chaos.last(_restart_redis(chaos, chaos.draw.uniform(0.0, chaos.draw.choice((0.5, 3.0, 8.0)))))


async def _restart_redis(chaos: Chaos, seconds: float) -> None:
    async with chaos.redis:
        began = time.monotonic()
        await asyncio.to_thread(chaos.trial.ground.redis.kill)
        chaos.trial.say(f"Redis killed for {seconds:.1f} s")
        await asyncio.sleep(seconds)
        await asyncio.to_thread(chaos.trial.ground.redis.start)
        chaos.trial.outages.append((began, time.monotonic()))
        chaos.trial.say("Redis is back")


async def stop_redis(chaos: Chaos) -> None:
    if not chaos.redis.locked():
        chaos.last(_hold_redis(chaos, chaos.draw.uniform(0.3, 7.0)))


async def _hold_redis(chaos: Chaos, seconds: float) -> None:
    async with chaos.redis:
        pid = chaos.trial.ground.redis.pid
        os.kill(pid, signal.SIGSTOP)
        _note_outage(chaos, seconds)
        chaos.trial.say(f"Redis stopped for {seconds:.1f} s")
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        chaos.trial.say("Redis goes on")


async def pause_redis(chaos: Chaos) -> None:
    """Have Redis answer nobody who writes, or nobody at all, while it publishes what it has taken."""
    what, ms = chaos.draw.choice(("WRITE", "ALL")), chaos.draw.randrange(300, 7000)
    if chaos.redis.locked():
        return
    _note_outage(chaos, ms / 1000)
    await _tell_redis(chaos, "CLIENT", "PAUSE", ms, what)
    chaos.trial.say(f"Redis pauses {what} for {ms} ms")


async def kill_links(chaos: Chaos) -> None:
    kind = chaos.draw.choice(("normal", "pubsub"))
    await _tell_redis(chaos, "CLIENT", "KILL", "TYPE", kind)
    chaos.trial.say(f"Redis closes {kind} connections")


async def _tell_redis(chaos: Chaos, *words: str | int) -> None:
    if chaos.redis.locked():
        return
    async with chaos.redis:
        url = chaos.trial.ground.redis.url
        client = redis.asyncio.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        with contextlib.suppress(RedisError, OSError, asyncio.TimeoutError):
            await client.execute_command(*words)  # type: ignore[no-untyped-call]
        await client.aclose()


FAULTS: Mapping[Fault, int] = {
    cut_bus: 3,
    stall_bus: 4,
    arrive_behind_stall: 6,
    kill_replica: 2,
    drain_replica: 2,
    freeze_replica: 3,
    freeze_long: 2,
    kill_redis: 2,
    stop_redis: 3,
    pause_redis: 3,
    kill_links: 2,
}
"""Each with how often it is drawn among the others."""
