"""The simulated Redis says what a real Valkey says: to random commands, and to all of our scripts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.simulation.redis.connection_commands import CONNECTION_COMMANDS
from tests.simulation.redis.random_commands import random_command
from tests.simulation.redis.random_scripts import Life
from tests.simulation.redis.rivals import Rivals

COMMANDS_OF_A_SEED = 400
STEPS_OF_A_SEED = 150
ENTRIES_OF_A_SEED = 1200


@pytest.fixture
def rivals(shared_redis_server: EmbeddedRedis) -> Iterator[Rivals]:
    rivals = Rivals(shared_redis_server.port)
    # A hash keeps the order of its fields only as long as Valkey holds it in one piece.
    rivals.real.call("CONFIG", "SET", "hash-max-listpack-entries", 100_000, "hash-max-listpack-value", 1_000_000)
    yield rivals
    rivals.close()


@pytest.mark.parametrize("seed", range(6))
def test_random_commands(rivals: Rivals, seed: int) -> None:
    rng = Random(seed)
    rivals.subscribe("a", "b")
    for _ in range(COMMANDS_OF_A_SEED):
        rivals.call(*random_command(rng))
    assert rivals.compare_pushes()
    assert rivals.compare_data()


@pytest.mark.parametrize("seed", range(6))
async def test_random_scripts(rivals: Rivals, seed: int) -> None:
    life = Life(rivals, Random(seed))
    for _ in range(STEPS_OF_A_SEED):
        await life.step()
    assert rivals.compare_pushes()
    assert rivals.compare_data()


@pytest.mark.parametrize("seed", range(2))
def test_streams_lose_the_same_entries(rivals: Rivals, seed: int) -> None:
    """`XTRIM ~` removes whole nodes, so both must begin a node at the same entry."""
    rng, ident = Random(seed), 0
    for _ in range(ENTRIES_OF_A_SEED):
        ident += rng.choice((1, 1, 1, 200, 70_000, 5_000_000_000))
        fields = rng.choice((("d", "p"), ("d", "p"), ("d", "p", "r", "s", "c")))
        most = rng.choice((1, 10, 100, 100, 700, 3000))
        values = (rng.choice(("7", "-3000", str(ident), "b" * rng.randrange(most))) for _ in fields)
        rivals.call(
            "XADD",
            "log",
            f"{ident}-{rng.randrange(3)}",
            *(w for pair in zip(fields, values, strict=True) for w in pair),
        )
        if rng.random() < 0.2:
            rivals.call("XDEL", "log", *(f"{ident - rng.randrange(100)}-{i}" for i in range(3)))
        if rng.random() < 0.03:
            rivals.call("XTRIM", "log", "MAXLEN", rng.choice("~="), rng.randrange(300))
        if rng.random() < 0.03:
            limit = rng.choice((("LIMIT", rng.randrange(400)), ()))
            rivals.call("XTRIM", "log", "MINID", "~", ident - rng.choice((10, 10_000, 10_000_000_000)), *limit)
        if rng.random() < 0.03:
            rivals.call("XRANGE", "log", max(0, ident - rng.randrange(10_000)), "+", "COUNT", 50)
            rivals.call("XREVRANGE", "log", "+", max(0, ident - rng.randrange(10_000)), "COUNT", 50)
    assert rivals.compare_data()


def test_the_table_of_commands_is_valkeys(rivals: Rivals) -> None:
    """Arity and flags decide what is refused while memory is short, data is loaded, or the master is another."""
    different = {}
    for name, ours in rivals.server.commands.items():
        row = _info(rivals, name)
        least, most = abs(row[1]) - 1, row[1] - 1 if row[1] > 0 else -1
        flags = {flag.decode() for flag in row[2]}
        theirs = (least, most, "write" in flags, "denyoom" in flags, "loading" in flags)
        if theirs != ours[1:] and not (name == b"XTRIM" and theirs[0] == ours[1]):
            different[name] = ours[1:], theirs
    assert not different


def test_the_table_of_other_commands_is_valkeys(rivals: Rivals) -> None:
    samples = {
        b"CLIENT": b"CLIENT|ID",
        b"CONFIG": b"CONFIG|GET",
        b"SCRIPT": b"SCRIPT|LOAD",
        b"PUBSUB": b"PUBSUB|NUMSUB",
    }
    different = {}
    for name, ours in CONNECTION_COMMANDS.items():
        row = _info(rivals, samples.get(name, name))
        flags = {flag.decode() for flag in row[2]}
        if ours.loading != ("loading" in flags) or (name not in samples and ours.least != abs(row[1]) - 1):
            different[name] = ours, row[1:3]
    assert not different


def _info(rivals: Rivals, name: bytes) -> Any:
    (row,) = rivals.real.call("COMMAND", "INFO", name)
    return row
