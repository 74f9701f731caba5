"""`gateway top`: every process that there is, with what it does."""

from __future__ import annotations

from typing import Any

from gateway.cli.top import Look, table
from gateway.embedded import EmbeddedRedis
from tests.support.client import Clients
from tests.support.command_line import gateway
from tests.support.replica import Replicas
from tests.support.tokens import mint
from tests.support.waiting import until


async def test_top_shows_each_replica_with_its_sockets(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    busy, idle = replicas(redis_server.url), replicas(redis_server.url, GATEWAY_ADVERTISE_URL="http://10.0.0.5:80")
    await clients(busy.url, mint()).connect()

    def lines() -> list[list[str]]:
        return [line.split() for line in gateway("top", "--once", REDIS_URL=redis_server.url).stdout.splitlines()]

    # It says so every few seconds.
    head, *rows, total = await until(lambda: found if (found := lines())[-1][-1] == "1" else [])
    assert head[:4] == ["replica", "url", "state", "sockets"]
    assert {(row[1], row[2], row[3]) for row in rows} == {
        (busy.url, "ready", "1"),
        ("http://10.0.0.5:80", "ready", "0"),
    }
    assert total == ["2", "in", "all", "2", "ready", "1"]
    idle.terminate()
    await idle.ended()
    assert len(lines()) == 3


def test_rates_are_those_between_two_looks() -> None:
    def node(events: int, deliveries: int, lag_s: float, lag_n: int) -> dict[str, Any]:
        named = {"replica": "a", "url": "http://a", "ready": True, "draining": False, "sockets": 3, "rooms": 2}
        return {**named, "events": events, "deliveries": deliveries, "lag_s": lag_s, "lag_n": lag_n}

    before, now = Look(10.0, {"n": node(100, 1000, 0.5, 100)}), Look(15.0, {"n": node(150, 6000, 0.6, 150)})
    assert table(now, before).splitlines()[1].split() == ["a", "http://a", "ready", "3", "2", "10", "1000", "2.0"]
    assert table(now, None).splitlines()[1].split()[-3:] == ["-", "-", "4.0"]
    assert "draining" in table(Look(0.0, {"n": node(0, 0, 0.0, 0) | {"draining": True}}), None)


def test_top_once_prints_and_ends(redis_server: EmbeddedRedis) -> None:
    done = gateway("top", "--once", REDIS_URL=redis_server.url)
    assert (done.returncode, done.stdout.splitlines()[-1].split()) == (0, ["0", "in", "all", "0", "ready", "0"])


def test_a_redis_that_is_not_there_is_one_line() -> None:
    done = gateway("top", "--once", REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
