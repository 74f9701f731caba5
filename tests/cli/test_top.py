"""`gateway top`: every process that there is, with what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.cli.top import COLUMNS, Looks, table
from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.client import Clients
from tests.support.command_line import gateway, running
from tests.support.replica import Replicas
from tests.support.tokens import mint
from tests.support.waiting import until, until_sync


def node(at: float = 0.0, **figures: Any) -> dict[str, Any]:
    """Return what a process may say of itself."""
    named = {"replica": "a", "url": "http://a", "ready": True, "draining": False, "sockets": 3, "rooms": 2}
    return {"at": at, "events": 0, "deliveries": 0, "lag_s": 0.0, "lag_n": 0} | named | figures


def looks(*nodes: dict[str, Any]) -> Looks:
    found = Looks()
    for said in nodes:
        found.update({"n": said})
    return found


def cells(found: Looks) -> dict[str, str]:
    """Return the first line of the table, by column."""
    return dict(zip(COLUMNS, table(found).splitlines()[1].split(), strict=True))


async def test_top_shows_each_replica_with_its_sockets(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    busy, idle = replicas(redis_server.url), replicas(redis_server.url, GATEWAY_ADVERTISE_URL="http://10.0.0.5:80")
    await clients(busy.url, mint()).connect()

    def lines() -> list[list[str]]:
        return [line.split() for line in gateway("top", "--once", REDIS_URL=redis_server.url).stdout.splitlines()]

    # It says so every few seconds.
    head, *rows, total = await until(lambda: found if (found := lines())[-1][5] == "1" else [])
    assert " ".join(head) == " ".join(COLUMNS)
    assert {(row[2], row[3], row[5]) for row in rows} == {
        (busy.url, "ready", "1"),
        ("http://10.0.0.5:80", "ready", "0"),
    }
    assert total[:6] == ["2", "in", "all", "2", "ready", "1"]
    idle.terminate()
    await idle.ended()
    assert len(lines()) == 3


def test_rates_are_those_between_two_things_that_a_process_said() -> None:
    then = node(10.0, events=100, deliveries=1000, lag_s=0.5, lag_n=100)
    now = node(15.0, events=150, deliveries=6000, lag_s=0.6, lag_n=150)
    shown = cells(looks(then, now))
    assert (shown["events/s"], shown["deliveries/s"]) == ("10", "1000")
    # Who looks more often than it says something goes on with what is known.
    assert cells(looks(then, now, now)) == shown
    assert table(looks(then, now)).splitlines()[-1].split()[-1] == "1000"


def test_before_it_has_said_two_things_there_are_no_rates() -> None:
    shown = cells(looks(node(10.0, events=100, lag_s=0.5, lag_n=100)))
    assert (shown["events/s"], shown["deliveries/s"], shown["cpu"]) == ("-", "-", "-")


def test_a_process_that_begins_anew_has_no_negative_rate() -> None:
    assert cells(looks(node(10.0, events=100), node(15.0, events=1)))["events/s"] == "0"


def test_who_takes_no_clients_says_why() -> None:
    assert "draining" in table(looks(node(draining=True, ready=False)))
    assert "messages of Redis are not received" in table(
        looks(node(ready=False, findings=["messages of Redis are not received"]))
    )


def test_a_process_of_an_older_version_is_shown_as_far_as_it_says() -> None:
    assert "http://old" in table(looks({"url": "http://old"}))


def test_top_once_prints_and_ends(redis_server: EmbeddedRedis) -> None:
    done = gateway("top", "--once", REDIS_URL=redis_server.url)
    assert (done.returncode, done.stdout.splitlines()[-1].split()[:6]) == (
        0,
        ["0", "in", "all", "0", "ready", "0"],
    )


def test_top_goes_on_when_redis_goes_and_comes_back(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    with running(tmp_path, "top", REDIS_URL=redis_server.url) as command:
        command.printed("in all")
        redis_server.stop()
        command.printed("last known state: Redis can't be reached")
        redis_server.start()
        until_sync(lambda: "can't" not in command.output().rpartition("replica")[0].splitlines()[-1])
        assert command.interrupt() == 130
        assert not command.errors().strip()


def test_a_redis_that_is_not_there_is_one_line() -> None:
    done = gateway("top", "--once", REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
