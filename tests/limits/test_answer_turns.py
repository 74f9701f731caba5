"""Answers are charged by what they cost, to the rate of the socket that asked; a tenant asks a few at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from gateway.console.demo_data import sample_message
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.errors import Refused
from gateway.limits.answer_cost import cost
from gateway.sockets.answer_turns import OF_ONE, REST_S, AnswerTurns
from publisher import AsyncPublisher
from tests.limits.conftest import limited
from tests.support.client import Clients
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id

# So slow that nothing is added while a test runs.
BURST = 300
EVENTS = 100


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    return shared_replicas(shared_redis_server.url, GATEWAY_EVENTS_PER_S="0.01", GATEWAY_EVENTS_BURST=str(BURST))


async def published(redis: EmbeddedRedis, tenant: str, ident: str) -> None:
    publisher = AsyncPublisher.from_url(redis.url)
    for _ in range(EVENTS):
        await publisher.message_new(tenant, sample_message(ident, "hello"))
    await publisher.aclose()


async def pings(client: Any, count: int) -> int:
    """Send so many pings; return how many of them were within the rate."""
    acks = await asyncio.gather(*(client.call("ping") for _ in range(count)))
    assert {ack["error"]["code"] for ack in acks if not ack["ok"]} <= {"rate_limited"}
    return sum(ack["ok"] for ack in acks)


async def left_after(client: Any, event: str, payload: dict[str, Any]) -> int:
    """Ask something and give how much of the burst is left, but for CONNECT and the question itself."""
    answer = await client.call(event, payload)
    assert answer["ok"], answer
    return await pings(client, BURST)


async def test_what_asks_for_little_costs_one(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    assert await left_after(client, "join_conversation", {"conversation_id": new_id()}) == BURST - 2


async def test_a_history_costs_by_its_events_and_bytes(
    clients: Clients, replica: Replica, shared_redis_server: EmbeddedRedis
) -> None:
    tenant, ident = new_id(), new_id()
    await published(shared_redis_server, tenant, ident)
    for asked in (EVENTS, EVENTS // 2):
        client = await clients(replica.url, mint(organization_id=tenant)).connect()
        question = {"conversation_id": ident, "history": asked}
        left = await left_after(client, "join_conversation", question)
        least = cost(events=asked, size=asked * 300)
        assert BURST - 2 - 2 * least <= left <= BURST - 2 - least


async def test_a_socket_in_debt_is_told_so_and_not_closed(
    clients: Clients, replica: Replica, shared_redis_server: EmbeddedRedis
) -> None:
    tenant, ident = new_id(), new_id()
    await published(shared_redis_server, tenant, ident)
    client = await clients(replica.url, mint(organization_id=tenant)).connect()
    question = {"conversation_id": ident, "history": EVENTS}
    # All at once: each is looked at when its turn comes, after the one before was charged.
    answers = await asyncio.gather(*(client.call("join_conversation", question) for _ in range(50)))
    assert 1 <= sum(answer["ok"] for answer in answers) <= BURST / cost(events=EVENTS) + 1
    assert {answer["error"]["code"] for answer in answers if not answer["ok"]} == {"rate_limited"}
    assert answers[-1]["error"]["retry_after_ms"] > 0
    assert client.connected
    assert limited(replica).get("events_burst", 0) == 0


async def test_who_is_online_costs_by_names(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    names = [f"user-{n}" for n in range(1000)]
    assert await left_after(client, "presence", {"user_ids": names}) == BURST - 2 - round(cost(names=1000))


def asker(tenant: str, *, closed: bool = False) -> Any:
    return Mock(tenant=SimpleNamespace(id=tenant), socket=Mock(closed=closed))


async def test_a_tenant_asks_a_few_at_a_time_and_the_others_go_on() -> None:
    turns, asking, release = AnswerTurns(10, Counter()), Counter[str](), asyncio.Event()

    async def ask(tenant: str) -> None:
        async with turns.turn(asker(tenant)):
            asking[tenant] += 1
            await release.wait()

    tasks = [asyncio.ensure_future(ask("loud")) for _ in range(10)]
    tasks.append(asyncio.ensure_future(ask("calm")))
    await asyncio.sleep(0)
    assert asking == {"loud": OF_ONE, "calm": 1}
    assert turns.waiting == 10 - OF_ONE
    release.set()
    await asyncio.gather(*tasks)
    assert (asking["loud"], turns.waiting) == (10, 0)


async def test_a_turn_rests_for_a_multiple_of_what_its_answer_cost() -> None:
    turns, loop = AnswerTurns(100, Counter()), asyncio.get_running_loop()
    ended: list[float] = []

    async def ask() -> None:
        who = asker("loud")
        async with turns.turn(who):
            turns.charge(who, events=100)
            ended.append(loop.time())

    await asyncio.gather(*(ask() for _ in range(3 * OF_ONE)))
    rest_s = cost(events=100) * REST_S
    assert all(later - earlier >= 0.9 * rest_s for earlier, later in zip(ended, ended[OF_ONE:], strict=False))


async def test_more_than_may_wait_are_refused_and_counted() -> None:
    hits: Counter[str] = Counter()
    turns, release = AnswerTurns(1, hits), asyncio.Event()

    async def ask() -> None:
        async with turns.turn(asker("loud")):
            await release.wait()

    tasks = [asyncio.ensure_future(ask()) for _ in range(OF_ONE + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as caught:
        await ask()
    assert (caught.value.code, caught.value.facts["limit"]) == ("rate_limited", "max_waiting_questions")
    assert hits == {"max_waiting_questions": 1}
    release.set()
    await asyncio.gather(*tasks)


async def test_nobody_answers_a_socket_that_has_gone() -> None:
    turns = AnswerTurns(1, Counter())
    with pytest.raises(Refused):
        async with turns.turn(asker("a", closed=True)):
            raise AssertionError
    async with turns.turn(asker("a")):
        pass
