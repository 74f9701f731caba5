"""Tokens that a backend declared void, and users with too many sockets, over two replicas."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation
from tests.support.client import Clients, RawClient, Refused
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until

Pair = list[Replica]
MOST = 3


@pytest.fixture(scope="module")
def pair(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Pair:
    url = shared_redis_server.url
    return [shared_replicas(url, GATEWAY_MAX_SOCKETS_PER_USER=str(MOST)) for _ in range(2)]


@pytest.fixture(scope="module")
def publisher(shared_redis_server: EmbeddedRedis, shared_publishers: Publishers) -> PublisherProcess:
    return shared_publishers(shared_redis_server.url)


class Person:
    """One user of one organization."""

    def __init__(self) -> None:
        self.id, self.org = new_id(), new_id()

    def token(self, token_id: str, issued_ago_s: float = 0.0) -> str:
        return mint(self.id, self.org, jti=token_id, iat=int(time.time() - issued_ago_s))


@pytest.fixture
def person() -> Person:
    return Person()


async def _in(client: RawClient) -> RawClient:
    await client.connect()
    await client.wait_for("connected")
    return client


async def _is_refused(client: RawClient) -> str:
    with pytest.raises(Refused) as caught:
        await client.reconnect() if client.pid else await client.connect()
    return str(caught.value.code)


async def test_a_token_that_was_revoked_closes_its_sockets_everywhere_and_opens_none(
    pair: Pair, publisher: PublisherProcess, clients: Clients, person: Person
) -> None:
    stolen = [await _in(clients(replica.url, person.token("stolen"))) for replica in pair]
    good = await _in(clients(pair[0].url, person.token("good")))
    await publisher.acall("disconnect_user", person.org, person.id, token_id="stolen")
    for client in stolen:
        assert await client.dropped() == "io server disconnect"
        assert await _is_refused(client) == "token_revoked"
    assert good.connected
    answer = await good.call("auth:refresh", {"token": person.token("stolen")})
    assert answer["error"]["code"] == "token_revoked"
    assert (await good.call("auth:refresh", {"token": person.token("fresh")}))["ok"]


async def test_tokens_issued_before_a_moment_are_void_and_later_ones_are_not(
    pair: Pair, publisher: PublisherProcess, clients: Clients, person: Person
) -> None:
    old = await _in(clients(pair[0].url, person.token("a", issued_ago_s=600)))
    new = await _in(clients(pair[1].url, person.token("b")))
    moment = datetime.now(UTC) - timedelta(seconds=60)
    await publisher.acall("disconnect_user", person.org, person.id, issued_before=moment)
    assert await old.dropped() == "io server disconnect"
    assert await _is_refused(old) == "token_revoked"
    assert await _is_refused(clients(pair[1].url, person.token("c", issued_ago_s=61))) == "token_revoked"
    assert await _is_refused(clients(pair[1].url, mint(person.id, person.org, without=["iat"]))) == "token_revoked"
    assert new.connected
    await new.reconnect()
    assert new.recovered


async def test_what_was_revoked_stays_so_when_the_replicas_start_anew(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, person: Person
) -> None:
    publisher = publishers(redis_server.url)
    replica = replicas(redis_server.url)
    client = await _in(clients(replica.url, person.token("stolen")))
    replica.terminate()
    await replica.ended()
    await publisher.acall("disconnect_user", person.org, person.id, token_id="stolen")
    await replica.restarted()
    assert await _is_refused(client) == "token_revoked"


async def test_what_was_revoked_while_a_replica_stood_still_is_made_good(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, person: Person
) -> None:
    publisher, replica = publishers(redis_server.url), replicas(redis_server.url)
    client = await _in(clients(replica.url, person.token("stolen")))
    replica.pause()
    await publisher.acall("disconnect_user", person.org, person.id, token_id="stolen")
    replica.resume()
    assert await client.dropped() == "io server disconnect"


async def test_of_too_many_sockets_of_a_user_the_oldest_goes_for_good_and_hears_why(
    pair: Pair, clients: Clients, person: Person
) -> None:
    sockets = [await _in(clients(pair[i % 2].url, person.token("t"))) for i in range(MOST + 1)]
    oldest, *others = sockets
    assert await oldest.dropped() == "io server disconnect"
    error = oldest.named("error")[0].data
    assert (error["code"], error["event"]) == ("too_many_connections", "connect")
    await oldest.reconnect()
    assert not oldest.recovered
    assert await others[0].dropped() == "io server disconnect"
    assert all(client.connected for client in (*others[1:], oldest))


async def test_sockets_that_left_make_room_for_others(pair: Pair, clients: Clients, person: Person) -> None:
    first = await _in(clients(pair[0].url, person.token("t")))
    for i in range(MOST * 2):
        passing = await _in(clients(pair[i % 2].url, person.token("t")))
        passing.drop()
        await _is_seen_off(passing, pair)
    assert first.connected


async def _is_seen_off(client: RawClient, pair: Pair) -> None:
    def has_gone() -> bool:
        gone = [line for replica in pair for line in replica.log_lines("socket_disconnected")]
        return client.sid in {line["sid"] for line in gone}

    await until(has_gone)


async def test_a_revocation_that_makes_no_sense_is_an_error_at_the_call(publisher: PublisherProcess) -> None:
    for wrong in (
        {"token_id": ""},
        {"token_id": "x" * 129},
        {"issued_before": datetime(2026, 1, 1)},
        {"issued_before": 7},
        {"token_id": "a", "issued_before": datetime.now(UTC)},
    ):
        with pytest.raises(Exception, match=r"token_id|issued_before"):
            await publisher.acall("disconnect_user", new_id(), "u", **wrong)


async def test_access_taken_away_outlives_a_recovery(
    pair: Pair, publisher: PublisherProcess, clients: Clients, person: Person
) -> None:
    client = await _in(clients(pair[0].url, person.token("t")))
    talk = new_id()
    await client.join(talk)
    client.drop()
    await publisher.acall("leave_room", person.org, person.id, conversation(talk))
    await publisher.acall("emit", person.org, "test:event", {}, to=conversation(talk))
    await client.reconnect(pair[1].url)
    await publisher.acall("emit", person.org, "test:event", {}, to=conversation(talk))
    await client.call("ping")
    assert client.recovered
    assert client.named("test:event") == []
