"""Processes know one another by a key that Redis shares."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from gateway.peers.keys import SIGNING_KEY
from gateway.peers.proof import ROTATE_S, Passed, Proof
from gateway.redis.commands import Commands

TARGET = "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA"
PASSED = Passed("2001:db8::1", 1)


class Process:
    """What signs and judges, by a clock that the test sets."""

    def __init__(self, commands: Commands, now: float = 1e9) -> None:
        self.now = now
        self.proof = Proof(commands, clock=lambda: self.now)

    def header(self, passed: Passed = PASSED, method: str = "GET") -> str:
        ((_, value),) = self.proof.sign(method, TARGET, passed)
        return value

    def reads(self, *values: str, method: str = "GET", target: str = TARGET) -> Passed | None:
        return self.proof.read(method, target, list(values))


async def test_processes_that_begin_at_once_share_a_key(commands: Commands) -> None:
    processes = [Process(commands) for _ in range(8)]
    await asyncio.gather(*(process.proof.refresh() for process in processes))
    assert all(one.reads(two.header()) == PASSED for one in processes for two in processes)


async def test_nothing_counts_that_is_not_what_was_signed(commands: Commands) -> None:
    here, there = Process(commands), Process(commands)
    await here.proof.refresh()
    await there.proof.refresh()
    good = here.header()
    period, signature, hops, remote = good.split(";")
    for value in (
        f"{period};{signature};0;{remote}",
        f"{period};{signature};{hops};203.0.113.1",
        f"{period};{'0' * 64};{hops};{remote}",
        f"{int(period) + 1};{signature};{hops};{remote}",
        f"{period};{signature};{hops};{remote}\n",
        f"{period};é;{hops};{remote}",
        f"{'9' * 400};{signature};{hops};{remote}",
        *(f"-{good}", "", ";;;"),
        f"{period};{signature};٣;{remote}",
    ):
        assert there.reads(value) is None, value
    assert there.reads(good, good) is None
    assert there.reads(good, method="POST") is None
    assert there.reads(good, target=TARGET + "A") is None
    assert there.reads(good) == PASSED


async def test_keys_change_and_neither_a_late_process_nor_a_wrong_clock_is_a_stranger(
    commands: Commands, redis_client: redis.asyncio.Redis
) -> None:
    here, there = Process(commands), Process(commands)
    await here.proof.refresh()
    await there.proof.refresh()
    before = here.header()
    here.now += ROTATE_S
    # The other one has not looked since.
    assert here.header().split(";")[0] != before.split(";")[0]
    assert there.reads(here.header()) == PASSED
    there.now = here.now
    await there.proof.refresh()
    assert there.reads(before) == PASSED
    there.now += 2 * ROTATE_S
    await there.proof.refresh()
    assert there.reads(before) is None
    for key in await redis_client.keys(f"{SIGNING_KEY}*"):
        assert 0 < await redis_client.ttl(key) <= 4 * ROTATE_S


async def test_a_redis_that_lost_everything_is_given_the_keys_again(
    commands: Commands, redis_client: redis.asyncio.Redis
) -> None:
    here, there, newcomer = Process(commands), Process(commands), Process(commands)
    await here.proof.refresh()
    await there.proof.refresh()
    await redis_client.flushall()
    await newcomer.proof.refresh()
    await here.proof.refresh()
    assert here.reads(newcomer.header()) == newcomer.reads(here.header()) == PASSED
    # Until it looks again, the third one is known to itself alone.
    await there.proof.refresh()
    assert there.reads(newcomer.header()) == PASSED


@pytest.mark.parametrize("value", [b"", b"short"])
async def test_a_key_that_anybody_could_guess_is_none(
    commands: Commands, redis_client: redis.asyncio.Redis, value: bytes
) -> None:
    here = Process(commands)
    period = int(here.now // ROTATE_S)
    for number in (period - 1, period, period + 1):
        await redis_client.set(f"{SIGNING_KEY}{number}", value)
    await here.proof.refresh()
    assert here.proof.sign("GET", TARGET, PASSED) == ()
