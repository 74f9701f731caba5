"""Both publishers while all is well, and when Redis says no."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import (
    AsyncPublisher,
    InvalidEvent,
    Publisher,
    PublishError,
    Receipt,
    conversation,
    parse_offset,
    wire,
)
from publisher.scripts import SCRIPTS
from tests.publisher.senders import Site
from tests.support.tokens import new_id
from tests.support.waiting import until

# Redis is there, and the machine may be busy.
PATIENT_S = 30.0


async def test_events_arrive_in_the_order_of_the_calls(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    receipts = await sender.emit_all(range(300))
    offsets = [parse_offset(receipt.offset).seq for receipt in receipts]
    assert offsets == sorted(set(offsets))
    assert await site.published(sender) == list(range(300))
    assert sender.counters.sent == 300
    assert sender.unsent == 0


async def test_a_receipt_says_where_the_event_stands(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    receipt = await sender.emit("x", key="k")
    assert parse_offset(receipt.offset)
    assert receipt == Receipt(receipt.offset, duplicate=False, queued=False)
    assert await sender.emit("x", key="k") == Receipt(receipt.offset, duplicate=True, queued=False)
    assert sender.counters.duplicates == 1


async def test_an_older_version_is_a_duplicate_of_the_later_one(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    later = await sender.emit("read", key="k", version=3)
    assert await sender.emit("delivered", key="k", version=2) == Receipt(later.offset, duplicate=True)


async def test_a_duplicate_is_one_on_a_server_that_lost_its_scripts_too(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    first = await sender.emit("x", key="k")
    await site.redis.script_flush()
    assert await sender.emit("x", key="k") == Receipt(first.offset, duplicate=True)


async def test_bad_arguments_raise_at_the_call(site: Site) -> None:
    publisher = site.sender(timeout_s=PATIENT_S).publisher
    with pytest.raises(InvalidEvent):
        publisher.emit(new_id(), "connect", {}, to=conversation(new_id()))
    with pytest.raises(InvalidEvent):
        publisher.message_status(new_id(), new_id(), new_id(), "seen")
    assert publisher.counters.sent == 0


async def test_many_calls_at_once_share_one_connection(site: Site) -> None:
    asyncio.get_running_loop().set_debug(False)
    sender = site.sender(timeout_s=PATIENT_S)
    await asyncio.gather(*(sender.emit(i) for i in range(2000)))
    assert len(await site.published(sender)) >= 500
    names = [client["name"] for client in await site.redis.client_list()]
    assert names.count("publisher") == 1
    stats = await site.redis.info("stats")
    assert stats["total_connections_received"] <= 10


async def test_scripts_that_are_gone_are_loaded_again(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    for i in range(5):
        await site.redis.script_flush()
        assert not (await sender.emit(i)).queued
    await site.redis.script_flush()
    await sender.emit_all(range(5, 200))
    assert await site.published(sender) == list(range(200))


async def test_scripts_that_may_not_be_loaded_do_not_make_it_spin(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.redis.acl_setuser(
        "app", enabled=True, nopass=True, keys="*", channels="*", commands=["+@all", "-script|load"]
    )
    sender = site.senders(site.url.replace("redis://", "redis://app:x@"), timeout_s=0.05)
    assert (await sender.emit(1)).queued
    await until(lambda: sender.counters.retries >= 3)
    assert (await site.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] < 20
    await site.redis.script_load(SCRIPTS["publish"].source)
    await until(lambda: sender.unsent == 0)
    assert await site.published(sender) == [1]
    assert "can't load the scripts" in caplog.text


async def test_a_connection_that_is_refused_by_rule_does_not_end_the_sending(site: Site) -> None:
    await site.redis.acl_setuser(
        "app", enabled=True, nopass=True, keys="*", channels="*", commands=["+@all", "-client"]
    )
    sender = site.senders(site.url.replace("redis://", "redis://app:x@"), timeout_s=PATIENT_S)
    assert (await sender.emit(1)).offset is None
    await site.redis.acl_setuser("app", enabled=True, commands=["+client"])
    assert (await sender.emit(2)).offset is not None


@pytest.mark.parametrize(
    ("unwilling", "willing"),
    [
        pytest.param(["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], id="READONLY"),
        pytest.param(["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], id="OOM"),
        pytest.param(
            ["CONFIG", "SET", "min-replicas-to-write", "1"],
            ["CONFIG", "SET", "min-replicas-to-write", "0"],
            id="NOREPLICAS",
        ),
    ],
)
async def test_a_server_that_takes_no_writes_just_now_gets_them_later(
    site: Site, unwilling: list[str], willing: list[str]
) -> None:
    sender = site.sender(timeout_s=0.05)
    await sender.emit("before")
    await until(lambda: sender.unsent == 0)
    before = sender.counters.queued
    await site.redis.execute_command(*unwilling)
    receipts = await sender.emit_all(range(10))
    assert receipts == [Receipt(None, queued=True)] * 10
    assert sender.unsent == sender.counters.queued - before == 10
    await site.redis.execute_command(*willing)
    await until(lambda: sender.unsent == 0)
    assert await site.published(sender) == ["before", *range(10)]
    assert sender.counters.failed == sender.counters.dropped == 0


async def test_a_server_that_changes_its_mind_in_the_middle_changes_no_order(site: Site) -> None:
    sender = site.sender(timeout_s=0.0)
    over = asyncio.Event()

    async def change_its_mind() -> None:
        while not over.is_set():
            for least in ("1", "0"):
                await site.redis.config_set("min-replicas-to-write", least)

    sent = 0
    changing = asyncio.ensure_future(change_its_mind())
    try:
        while sender.counters.retries < 20:
            for _ in range(200):
                await sender.emit(sent)
                sent += 1
            await until(lambda: sender.unsent < 1000)
    finally:
        over.set()
        await changing
    await until(lambda: sender.unsent == 0)
    found = await site.published(sender)
    assert found == list(range(sent))[-len(found) :]
    assert sender.counters.sent == sent


async def test_a_busy_server_gets_the_event_when_it_is_free(site: Site) -> None:
    sender = site.sender(timeout_s=0.05)
    await sender.emit("before")
    await site.redis.config_set("busy-reply-threshold", 1)
    endless = asyncio.ensure_future(site.redis.eval("while true do end", 0))
    killer = redis.asyncio.Redis.from_url(site.url)

    async def busy() -> bool:
        with contextlib.suppress(ResponseError):
            return not await killer.ping()
        return True

    await until(busy)
    receipts = [await sender.emit(0)]
    await until(lambda: sender.counters.retries > 0)
    await killer.script_kill()
    await asyncio.gather(endless, return_exceptions=True)
    await killer.aclose()
    await until(lambda: sender.unsent == 0)
    assert receipts == [Receipt(None, queued=True)]
    assert await site.published(sender) == ["before", 0]


async def test_an_event_that_redis_refuses_for_good_is_said_to_be_lost(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    await site.redis.set(wire.log_key(sender.org, sender.room), "no stream")
    with caplog.at_level(logging.ERROR, logger="publisher"):
        assert await sender.emit("lost") == Receipt(None)
    assert "event lost" in caplog.text
    assert "WRONGTYPE" in caplog.text
    assert sender.counters.failed == 1
    other = conversation(new_id())
    assert (await sender.emit("next", other)).offset
    assert await site.published(sender, other) == ["next"]


async def test_an_event_that_is_too_large_for_the_gateways_is_refused_with_a_code(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    await sender.emit("before")
    await site.redis.hset(wire.meta_key(sender.org), "max_event_bytes", 1000)
    with caplog.at_level(logging.ERROR, logger="publisher"):
        assert await sender.emit("x" * 2000) == Receipt(None, refused="too_large")
    assert "at most 1000 bytes" in caplog.text
    assert (await sender.emit("after")).offset
    assert await site.published(sender) == ["before", "after"]
    assert (sender.counters.failed, sender.unsent) == (1, 0)


async def test_strict_raises_what_is_too_large_for_the_gateways(site: Site) -> None:
    sender = site.sender(strict=True, timeout_s=PATIENT_S)
    await site.redis.hset(wire.meta_key(sender.org), mapping={"epoch": "e1", "seq": 1, "max_event_bytes": 10})
    with pytest.raises(PublishError, match="at most 10 bytes") as caught:
        await sender.emit("x" * 20)
    assert (caught.value.code, caught.value.maybe_published) == ("too_large", False)


async def test_strict_raises_what_redis_refused(site: Site) -> None:
    sender = site.sender(strict=True, timeout_s=PATIENT_S)
    await site.redis.set(wire.log_key(sender.org, sender.room), "no stream")
    with pytest.raises(PublishError, match="WRONGTYPE") as caught:
        await sender.emit("lost")
    assert not caught.value.maybe_published


async def test_a_closed_publisher_takes_nothing(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    await sender.emit(1)
    assert await sender.close() == 0
    assert await sender.close() == 0
    with pytest.raises(PublishError, match="closed"):
        await sender.emit(2)


async def test_a_publisher_that_was_never_used_closes(site: Site) -> None:
    assert await site.sender(timeout_s=PATIENT_S).close() == 0


async def test_closing_leaves_no_connection(site: Site) -> None:
    sender = site.sender(timeout_s=PATIENT_S)
    await sender.emit(1)
    await sender.close()

    async def none_left() -> bool:
        return all(client["name"] != "publisher" for client in await site.redis.client_list())

    await until(none_left)


async def test_a_cancelled_callers_event_is_sent_all_the_same(
    redis_server: EmbeddedRedis, redis_client: Any
) -> None:
    org, room = new_id(), conversation(new_id())
    async with AsyncPublisher.from_url(redis_server.url) as events:
        call: Coroutine[Any, Any, Receipt] = events.emit(org, "e", 1, to=room)
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert await redis_client.xlen(wire.log_key(org, room)) == 1


async def test_leaving_the_block_sends_what_waits(redis_server: EmbeddedRedis, redis_client: Any) -> None:
    org, room = new_id(), conversation(new_id())

    def block() -> None:
        with Publisher.from_url(redis_server.url, timeout_s=0.0) as events:
            for i in range(20):
                events.emit(org, "e", i, to=room)

    await asyncio.to_thread(block)
    assert await redis_client.xlen(wire.log_key(org, room)) == 20


async def test_closing_in_the_middle_of_a_publish_always_ends(redis_server: EmbeddedRedis) -> None:
    for _ in range(30):
        publisher = AsyncPublisher.from_url(redis_server.url)
        sending = [
            asyncio.ensure_future(publisher.emit(new_id(), "e", {"n": n}, to=conversation(new_id())))
            for n in range(5)
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENT_S):
            await publisher.aclose(timeout_s=0)
        await asyncio.gather(*sending, return_exceptions=True)
        assert publisher.unsent <= len(sending)
