"""A room as it is published to: what is said of each event, and how it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.console.tail import KEPT, MAX_DATA_BYTES, MOST, Lines, told
from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, conversation, organization
from publisher.rooms import Room
from tests.console.conftest import KEY, Reader
from tests.support.replica import Replica
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, until

Said = dict[str, Any]


class Tail:
    """What one reader is told."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> Said:
        """Wait for the next line; heartbeats are left out."""
        while True:
            said: Said = json.loads(await self._answer.content.readline())
            if said["type"] != "beat":
                return said

    async def is_over(self) -> bool:
        """Return whether nothing comes any more."""
        return await self._answer.content.readline() == b""


@asynccontextmanager
async def tail(reader: Reader, url: str, org: str, room: str, **query: str) -> AsyncIterator[Tail]:
    headers = {"X-API-Key": KEY}
    asked = {"organization_id": org, "room": room, **query}
    async with reader.http.get(f"{url}/console/api/tail", params=asked, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        found = Tail(answer)
        assert await found.next() == {"type": "open"}
        yield found


@pytest.fixture
def room() -> Room:
    """A conversation of the test's own."""
    return conversation(new_id())


def publisher(redis: EmbeddedRedis) -> AsyncPublisher:
    """A backend."""
    return AsyncPublisher.from_url(redis.url, strict=True, timeout_s=PATIENCE_S)


async def test_each_event_is_told_without_what_it_carries(
    reader: Reader, replica: Replica, shared_redis_server: EmbeddedRedis, org: str, room: Room
) -> None:
    async with tail(reader, replica.url, org, room) as heard, publisher(shared_redis_server) as events:
        receipt = await events.emit(org, "message:new", {"text": "secret"}, to=[room])
        said = await heard.next()
    assert receipt.offset is not None
    assert (said["kind"], said["event"], said["offset"]) == ("event", "message:new", receipt.offset)
    assert said["at"] == pytest.approx(int(receipt.offset.split("-")[1]) / 1000)
    assert "secret" not in json.dumps(said)


async def test_what_it_carries_is_told_to_who_asks(
    reader: Reader, replica: Replica, shared_redis_server: EmbeddedRedis, org: str, room: Room
) -> None:
    async with (
        tail(reader, replica.url, org, room, payload="true") as heard,
        publisher(shared_redis_server) as events,
    ):
        await events.emit(org, "a:b", {"text": "Olá"}, to=[room], ephemeral=True)
        said = await heard.next()
    assert (said["kind"], said["data"]) == ("ephemeral", {"text": "Olá"})


async def test_other_rooms_and_other_organizations_are_not_told(
    reader: Reader, replica: Replica, shared_redis_server: EmbeddedRedis, org: str, room: Room
) -> None:
    async with tail(reader, replica.url, org, room) as heard, publisher(shared_redis_server) as events:
        await events.emit(new_id(), "not:mine", {}, to=[room])
        await events.emit(org, "not:here", {}, to=[conversation(new_id()), organization(org)])
        await events.emit(org, "is:here", {}, to=[room])
        assert (await heard.next())["event"] == "is:here"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"room": "conversation:x"}, "room"),
        ({"room": "*"}, "room"),
        ({"organization_id": "*"}, "organization_id"),
        ({"payload": "perhaps"}, "payload"),
        ({"more": "1"}, "more"),
    ],
)
async def test_a_question_that_is_wrong_is_refused_by_field(
    reader: Reader, replica: Replica, org: str, room: str, query: dict[str, str], field: str
) -> None:
    asked = "&".join(f"{n}={v}" for n, v in ({"organization_id": org, "room": room} | query).items())
    answer = await reader.get(f"{replica.url}/console/api/tail?{asked}")
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)


async def test_so_many_may_follow_and_one_more_is_told_so(
    reader: Reader, own_replica: Replica, org: str, room: Room
) -> None:
    query = f"{own_replica.url}/console/api/tail?organization_id={org}&room={room}"
    headers = {"X-API-Key": KEY}
    readers = [await reader.http.get(query, headers=headers) for _ in range(MOST)]
    for answer in readers:
        assert await answer.content.readline() == b'{"type":"open"}\n'
    refused = await reader.get(query)
    assert (refused.status, refused.body["code"]) == (429, "rate_limited")
    readers[0].close()

    async def followed() -> bool:
        async with reader.http.get(query, headers=headers) as answer:
            return answer.status == 200

    await until(followed, what="the place of who left")
    for answer in readers:
        answer.close()


async def test_it_ends_with_a_word_when_the_replica_drains(
    reader: Reader, own_replica: Replica, org: str, room: Room
) -> None:
    async with tail(reader, own_replica.url, org, room) as heard:
        own_replica.terminate()
        assert await heard.next() == {"type": "end", "why": "draining"}
        assert await heard.is_over()
    assert await own_replica.ended() == 0


async def test_it_ends_with_a_word_when_redis_goes(
    reader: Reader, redis_server: EmbeddedRedis, own_replica: Replica, org: str, room: Room
) -> None:
    async with tail(reader, own_replica.url, org, room) as heard:
        redis_server.kill()
        assert await heard.next() == {"type": "end", "why": "redis"}
        assert await heard.is_over()


# -- what waits for a reader


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    lines = Lines(payload=False)
    for number in range(KEPT + 3):
        lines.hear(f"malformed {number}".encode())
    found = [json.loads(line) for line in (await lines.some(1.0)).splitlines()]
    assert found[0] == {"type": "skipped", "count": 3}
    assert len(found) == 1 + KEPT
    assert await lines.some(0.0) == b""


async def test_what_redis_refuses_is_the_end() -> None:
    lines = Lines(payload=False)
    lines.on_push([b"subscribe", b"channel", 1])
    assert lines.began.is_set()
    assert not lines.is_lost
    lines.on_push([b"sunsubscribe", b"channel", 0])
    assert lines.is_lost


def test_what_is_too_long_is_left_out() -> None:
    def message(size: int) -> bytes:
        return b'4e1a-1795416139993970 0 r -\n["a:b",{"x":"%b"}]' % (b"x" * size)

    assert "data" in told(message(10), payload=True)
    assert "data" not in told(message(MAX_DATA_BYTES), payload=True)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"nonsense", b'4e1a-1795416139993970 0 r -\n["a:b",{]', b'4e1a-1795416139993970 0 r -\n["a:b"]'),
        b'4e1a-1795416139993970 0 r -\n["a:b",1}\n{"type":"end"]',
        b'4e1a-%s 0 r -\n["a:b",{}]' % (b"9" * 400),
    ],
)
def test_what_no_publisher_wrote_is_told_as_such(raw: bytes) -> None:
    assert told(raw, payload=True) == {"type": "malformed", "bytes": len(raw)}


def test_what_goes_over_several_lines_is_told_in_one() -> None:
    found = told(b'4e1a-1795416139993970 0 r -\n["a:b",{"x":\n1}]', payload=True)
    assert found["data"] == {"x": 1}
