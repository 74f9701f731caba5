"""Both publishers while Redis is away, half away, or says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Options, PublishError, Receipt, Sending, organization, wire
from publisher.aio.lane import AsyncLane, is_lost
from tests.publisher.senders import Sender, Senders, Site, published
from tests.support.proxy import Proxy
from tests.support.pytake import incoming_message
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, SLACK_S, until

QUEUED = Receipt(None, queued=True)
# A call may take its own time and what a busy machine adds to it. Redis itself is waited for far longer.
BUDGET_S = 0.5
PATIENT = {"socket_timeout": 300.0}


@pytest.fixture
def site(senders: Senders, redis_proxy: Proxy, redis_client: Any) -> Site:
    """Publishers that reach their server through a network that can break."""
    return Site(senders, redis_proxy.url, redis_client)


async def timed(sender: Sender, data: Iterable[Any]) -> list[tuple[Receipt, float]]:
    """Publish one after the other, each with the time that its call took."""
    found = []
    for item in data:
        begin = time.monotonic()
        found.append((await sender.emit(item), time.monotonic() - begin))
    return found


async def settled(sender: Sender) -> None:
    await until(lambda: sender.unsent == 0)


async def begun(sender: Sender) -> Sender:
    """Return a sender that has its connection, and event 0 behind it."""
    await surely(sender, 0)
    await settled(sender)
    return sender


async def surely(sender: Sender, data: Any) -> None:
    """Publish until it is out, or queued: on a busy machine a small budget may be over before."""
    key = new_id()
    is_taken = False
    while not is_taken:
        with contextlib.suppress(PublishError):
            await sender.emit(data, key=key)
            is_taken = True


async def test_redis_goes_and_comes_back_and_every_event_is_there_once_and_in_order(
    senders: Senders, lasting_redis_server: EmbeddedRedis
) -> None:
    server = lasting_redis_server
    sender = await begun(senders(server.url, timeout_s=BUDGET_S))
    server.kill()
    calls = await timed(sender, range(1, 6))
    assert [receipt for receipt, _ in calls] == [QUEUED] * 5
    assert max(took for _, took in calls) < SLACK_S
    assert sender.unsent == 5
    server.start()
    await settled(sender)
    await sender.emit(6)
    await settled(sender)
    assert await in_log(server, sender) == list(range(7))
    assert sender.counters.sent == 7


async def in_log(server: EmbeddedRedis, sender: Sender) -> list[Any]:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        return await published(client, sender)


async def test_what_waits_is_sent_without_another_call(site: Site, redis_proxy: Proxy) -> None:
    await redis_proxy.refuse()
    sender = site.sender(timeout_s=0.01)
    await sender.emit_all(range(20))
    await redis_proxy.start()
    await settled(sender)
    assert await site.published(sender) == list(range(20))


async def test_a_connection_that_is_cut_again_and_again_loses_doubles_and_reorders_nothing(
    site: Site, redis_proxy: Proxy
) -> None:
    sender = site.sender(timeout_s=0.05)
    for i in range(120):
        await sender.emit(i)
        if i % 20 == 7:
            redis_proxy.cut()
    await settled(sender)
    assert await site.published(sender) == list(range(120))


async def test_nothing_is_written_to_a_connection_that_is_lost(
    redis_proxy: Proxy, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    send = redis.asyncio.Connection.send_packed_command

    async def noted(connection: Any, *args: Any, **more: Any) -> None:
        found.append(connection._writer is not None and connection._writer.is_closing())
        await send(connection, *args, **more)

    monkeypatch.setattr(redis.asyncio.Connection, "send_packed_command", noted)
    sender = await begun(Sender("async", redis_proxy.url, None, Sending(timeout_s=BUDGET_S), {}))
    redis_proxy.cut()
    (lane,) = sender.publisher._lanes
    assert isinstance(lane, AsyncLane)
    await until(lambda: all(map(is_lost, lane._connections.values())))
    await sender.emit(1)
    await settled(sender)
    await sender.close()
    assert await published(redis_client, sender) == [0, 1]
    assert not any(found)


async def test_a_network_that_stalls_costs_a_caller_no_more_than_its_budget(
    site: Site, redis_proxy: Proxy
) -> None:
    sender = await begun(site.sender(timeout_s=BUDGET_S, connection=PATIENT))
    redis_proxy.stall()
    calls = await timed(sender, range(1, 4))
    assert [receipt for receipt, _ in calls] == [QUEUED] * 3
    assert max(took for _, took in calls) < SLACK_S
    redis_proxy.resume()
    await settled(sender)
    assert await site.published(sender) == [0, 1, 2, 3]


async def test_a_black_hole_is_given_up_and_what_it_swallowed_is_sent_again(
    site: Site, redis_proxy: Proxy
) -> None:
    sender = await begun(site.sender(timeout_s=0.01, connection={"socket_timeout": 0.1}))
    redis_proxy.stall()
    await sender.emit_all(range(1, 10))
    await until(lambda: redis_proxy.accepted >= 3)
    redis_proxy.cut()
    redis_proxy.resume()
    await settled(sender)
    assert await site.published(sender) == list(range(10))


async def test_a_retry_after_a_lost_reply_does_not_double(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(timeout_s=0.05, connection={"socket_timeout": 0.2}))
    redis_proxy.lose_replies()
    await sender.emit_all(range(1, 10))
    await until(lambda: sender.counters.retries > 0)
    assert len(await site.published(sender)) > 1
    redis_proxy.resume()
    await settled(sender)
    assert await site.published(sender) == list(range(10))
    assert sender.counters.sent == 10
    assert sender.counters.duplicates == 0


async def test_a_retry_after_a_lost_reply_doubles_and_loses_neither_of_two_events(
    site: Site, redis_proxy: Proxy
) -> None:
    sender = await begun(site.sender(timeout_s=0.05, connection={"socket_timeout": 0.2}))
    messages = [incoming_message(sender.room.partition(":")[2], str(number)) for number in range(5)]
    redis_proxy.lose_replies()
    for message in messages:
        await sender.call("message_new", message, inbox=True)
    await until(lambda: sender.counters.retries > 0)
    redis_proxy.resume()
    await settled(sender)
    texts = [data["content"]["text"] for data in (await site.published(sender))[1:]]
    previews = [data["preview"] for data in await site.published(sender, organization(sender.org))]
    assert texts == previews == ["0", "1", "2", "3", "4"]
    assert (sender.counters.sent, sender.counters.duplicates) == (11, 0)


async def test_a_retry_after_a_lost_reply_does_not_double_though_its_key_has_ended(
    site: Site, redis_proxy: Proxy
) -> None:
    options = Options(once_ttl_s=0.5)
    sender = await begun(site.sender(timeout_s=0.05, connection={"socket_timeout": 0.2}, options=options))
    redis_proxy.lose_replies()
    await sender.emit_all(range(1, 10))
    await until(lambda: sender.counters.retries > 0)

    async def ended() -> bool:
        return not await site.redis.keys(f"rt:{{{sender.org}}}:once:*")

    await until(ended, what="the keys to end")
    retries = sender.counters.retries
    await until(lambda: sender.counters.retries > retries + 2)
    redis_proxy.resume()
    await settled(sender)
    assert await site.published(sender) == list(range(10))
    assert (sender.counters.sent, sender.counters.duplicates) == (10, 0)


async def test_what_redis_may_have_and_can_not_tell_any_more_is_given_up_and_said_to_be(
    site: Site, redis_proxy: Proxy
) -> None:
    sender = await begun(site.sender(timeout_s=0.05, retry_s=0.3, connection={"socket_timeout": 0.1}))
    redis_proxy.lose_replies()
    await sender.emit(1)
    await until(lambda: sender.counters.uncertain == 1)
    redis_proxy.resume()
    await sender.emit(2)
    await settled(sender)
    assert await site.published(sender) == [0, 1, 2]


async def test_an_ephemeral_event_is_never_sent_twice(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(timeout_s=0.05, connection={"socket_timeout": 0.1}))
    async with site.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(sender.org, sender.room), "end")
        redis_proxy.lose_replies()
        await sender.emit(1, ephemeral=True)
        await until(lambda: sender.counters.failed == 1)
        redis_proxy.resume()
        await sender.emit(2, ephemeral=True)
        await settled(sender)
        await site.redis.publish("end", "")
        heard = []
        async for push in pubsub.listen():
            if push["channel"] == b"end":
                break
            heard.append(wire.parse_message(push["data"]).body)
    assert heard == [b'["e",1]', b'["e",2]']


# -- strict


async def test_strict_says_whether_the_event_may_be_out(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(strict=True, timeout_s=BUDGET_S, connection=PATIENT))
    redis_proxy.stall()
    errors = []
    for i in (1, 2):
        begin = time.monotonic()
        with pytest.raises(PublishError) as caught:
            await sender.emit(i)
        errors.append(caught.value.maybe_published)
        assert time.monotonic() - begin < SLACK_S
    # The first one was under way, the second one never left.
    assert errors == [True, False]


async def test_what_strict_gave_up_is_not_sent_later(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(strict=True, timeout_s=0.05))
    await redis_proxy.refuse()
    for i in (1, 2):
        with pytest.raises(PublishError):
            await sender.emit(i)
    await redis_proxy.start()
    await settled(sender)
    assert await site.published(sender) == [0]


async def test_strict_goes_on_after_a_late_answer(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(strict=True, timeout_s=0.1))
    redis_proxy.stall()
    with pytest.raises(PublishError) as caught:
        await sender.emit(1)
    assert caught.value.maybe_published
    redis_proxy.resume()
    await settled(sender)
    await surely(sender, 2)
    assert await site.published(sender) == [0, 1, 2]


async def test_a_key_makes_it_safe_to_try_again_by_hand(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(strict=True, timeout_s=3.0, connection={"socket_timeout": 0.2}))
    redis_proxy.lose_replies()
    with pytest.raises(PublishError) as caught:
        await sender.emit(1, key="k")
    assert caught.value.maybe_published
    await settled(sender)
    redis_proxy.resume()
    redis_proxy.cut()
    assert (await sender.emit(1, key="k")).duplicate
    assert await site.published(sender) == [0, 1]


# -- overflow


async def under_way(sender: Sender) -> None:
    """Wait until the first of what waits is being sent: until then it may be dropped, too."""
    await until(lambda: sender.is_sending, what="an event to be under way")


async def test_overflow_drops_the_oldest_and_counts_and_says_so(
    site: Site, redis_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    sender = await begun(site.sender(timeout_s=0.02, buffer_events=5))
    redis_proxy.stall()
    await sender.emit(1)
    await under_way(sender)
    for i in range(2, 11):
        await sender.emit(i)
    assert sender.unsent == 5
    assert sender.counters.dropped == 5
    assert "buffer full" in caplog.text
    redis_proxy.resume()
    await settled(sender)
    # What was under way is not dropped: nobody knows whether it is out.
    assert await site.published(sender) == [0, 1, 7, 8, 9, 10]


async def test_overflow_counts_bytes_too(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(timeout_s=0.02, buffer_bytes=5000))
    redis_proxy.stall()
    texts = [f"{i}" * 1000 for i in range(9)]
    for text in texts:
        await sender.emit(text)
        await under_way(sender)
    assert sender.unsent == 4
    redis_proxy.resume()
    await settled(sender)
    assert await site.published(sender) == [0, texts[0], *texts[-3:]]


async def test_an_event_larger_than_the_buffer_is_sent_all_the_same(site: Site) -> None:
    sender = site.sender(buffer_bytes=100, timeout_s=PATIENCE_S)
    assert not (await sender.emit("x" * 5000)).queued
    assert len(await site.published(sender)) == 1


# -- closing


async def test_closing_sends_what_waits_within_its_deadline(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(timeout_s=0.01))
    await redis_proxy.refuse()
    await sender.emit_all(range(1, 10))
    closing = asyncio.ensure_future(sender.close(timeout_s=PATIENCE_S))
    await redis_proxy.start()
    assert await closing == 0
    assert await site.published(sender) == list(range(10))


def still_sending() -> bool:
    at_work = {thread.name for thread in threading.enumerate()} | {task.get_name() for task in asyncio.all_tasks()}
    return "publisher" in at_work


async def test_closing_says_how_much_is_unsent_and_sends_none_of_it_afterwards(
    site: Site, redis_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    sender = await begun(site.sender(timeout_s=0.01))
    await redis_proxy.refuse()
    await sender.emit_all(range(1, 5))
    begin = time.monotonic()
    assert await sender.close(timeout_s=0.2) == 4
    assert time.monotonic() - begin < SLACK_S
    assert "4 events unsent" in caplog.text
    assert sender.unsent == 4
    await redis_proxy.start()
    await until(lambda: not still_sending())
    assert await site.published(sender) == [0]


async def test_closing_a_black_holed_connection_takes_no_longer_than_asked(site: Site, redis_proxy: Proxy) -> None:
    sender = await begun(site.sender(timeout_s=0.01, connection=PATIENT))
    redis_proxy.stall()
    await sender.emit(1)
    begin = time.monotonic()
    assert await sender.close(timeout_s=0.2) == 1
    assert time.monotonic() - begin < SLACK_S


async def test_callers_that_wait_when_it_is_closed_are_told_at_once(site: Site, redis_proxy: Proxy) -> None:
    patient = await begun(site.sender(strict=True, timeout_s=60.0))
    redis_proxy.stall()
    waiting = [asyncio.ensure_future(patient.emit(i)) for i in (1, 2)]
    await until(lambda: patient.unsent == 2)
    assert await patient.close(timeout_s=0.0) == 2
    errors = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SLACK_S)
    assert [str(error) for error in errors] == ["the publisher was closed before the event was sent"] * 2
