"""Joins are remembered, and whatever happens to the connection, every message is shown once."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, organization, wire
from tests.client.conftest import OpenPage
from tests.client.pages import Page, Refused
from tests.support.proxy import Proxy
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.pytake import as_seen, incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.tokens import new_id
from tests.support.waiting import until


async def publish(backend: PublisherProcess, tenant: Tenant, count: int) -> list[dict[str, Any]]:
    """Publish messages to the tenant's conversation; return them as pages see them."""
    messages = [incoming_message(tenant.conversation, f"{n}") for n in range(count)]
    for message in messages:
        await backend.acall("message_new", tenant.id, message)
    return [as_seen(message) for message in messages]


async def in_conversation(page: Page, tenant: Tenant) -> Page:
    """Connect a page, and have it join the tenant's conversation."""
    page.connect(tenant.token())
    await page.call("joinConversation", tenant.conversation)
    return page


async def assert_shown(page: Page, backend: PublisherProcess, tenant: Tenant, expected: list[Any]) -> None:
    """The page shows these messages, in this order, also once everything under way has arrived."""
    times = len(page.seen("end")) + 1
    await backend.acall("emit", tenant.id, "end", {}, to=[organization(tenant.id)])
    await page.wait("end", times=times)
    assert page.seen("message:new") == expected


async def assert_not_in_it(page: Page, backend: PublisherProcess, tenant: Tenant) -> None:
    """The page has left the conversation: it is asked behind its leave, and answered after it."""
    await page.call("presence")
    await publish(backend, tenant, 1)
    await assert_shown(page, backend, tenant, [])


async def sessions_are_over(redis: Redis, tenant: Tenant) -> bool:
    """Return whether nobody of the tenant can recover any more."""
    return not await redis.keys(f"rt:{{{tenant.id}}}:session:*")


async def gone(page: Page) -> None:
    """Wait until the page has lost its connection."""
    await until(lambda: page.seen("state")[-1] == "connecting")


async def test_a_join_right_after_connect_is_not_dropped(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = pages(replica.url, tenant.token())
    joined = await page.call("joinConversation", tenant.conversation)
    assert joined["conversation_id"] == tenant.conversation
    await assert_shown(page, backend, tenant, await publish(backend, tenant, 3))


async def test_a_join_before_connect_is_made_once_there_is_a_connection(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = pages(replica.url)
    ask = page.do("joinConversation", tenant.conversation)
    page.connect(tenant.token())
    await page.answer_to(ask)
    await assert_shown(page, backend, tenant, await publish(backend, tenant, 3))


async def test_after_a_cut_everything_is_shown_once(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = await in_conversation(pages(proxy.http_url), tenant)
    shown = await publish(backend, tenant, 3)
    for times in (2, 3):
        await proxy.refuse()
        await gone(page)
        shown += await publish(backend, tenant, 10)
        await proxy.start()
        assert (await page.wait("connected", times=times))["recovered"] is True
    shown += await publish(backend, tenant, 3)
    await assert_shown(page, backend, tenant, shown)
    assert page.seen("gap") == []


async def test_a_join_that_the_cut_swallowed_is_made_again(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = pages(proxy.http_url, tenant.token())
    await page.wait("connected")
    proxy.stall()
    ask = page.do("joinConversation", tenant.conversation)
    await proxy.refuse()
    proxy.resume()
    await gone(page)
    await proxy.start()
    await page.answer_to(ask)
    await assert_shown(page, backend, tenant, await publish(backend, tenant, 3))


async def test_what_was_left_during_a_cut_is_not_given_back(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = await in_conversation(pages(proxy.http_url), tenant)
    await proxy.refuse()
    await gone(page)
    await page.call("leaveConversation", tenant.conversation)
    await proxy.start()
    await page.wait("connected", times=2)
    await assert_not_in_it(page, backend, tenant)


async def test_a_leave_that_was_lost_with_the_connection_is_sent_again(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = await in_conversation(pages(proxy.http_url), tenant)
    proxy.stall()
    await page.call("leaveConversation", tenant.conversation)
    await proxy.refuse()
    proxy.resume()
    await gone(page)
    await proxy.start()
    await page.wait("connected", times=2)
    await assert_not_in_it(page, backend, tenant)


async def test_such_a_leave_is_sent_again_also_after_a_loss_which_keeps_the_rooms(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant, stage_redis: EmbeddedRedis
) -> None:
    page = await in_conversation(pages(proxy.http_url), tenant)
    proxy.stall()
    await page.call("leaveConversation", tenant.conversation)
    await publish(backend, tenant, 2)
    async with Redis.from_url(stage_redis.url) as redis:
        await redis.delete(wire.log_key(tenant.id, conversation(tenant.conversation)))
    await proxy.refuse()
    proxy.resume()
    await gone(page)
    await proxy.start()
    assert (await page.wait("connected", times=2))["recovered"] is False
    await assert_not_in_it(page, backend, tenant)


async def test_after_the_window_a_room_is_joined_again_with_what_was_missed(
    pages: OpenPage,
    replicas: Replicas,
    redis_server: EmbeddedRedis,
    redis_client: Redis,
    tenant: Tenant,
    publishers: Publishers,
) -> None:
    backend = publishers(redis_server.url)
    short = replicas(redis_server.url, GATEWAY_RECOVERY_WINDOW_S="0.05", GATEWAY_PRESENCE_GRACE_S="0")
    async with Proxy(short.port) as proxy:
        # It remembers next to nothing: only what it missed may be sent again.
        page = await in_conversation(pages(proxy.http_url, remember=1), tenant)
        shown = await publish(backend, tenant, 3)
        await page.wait("message:new", times=3)
        await proxy.refuse()
        await gone(page)
        shown += await publish(backend, tenant, 20)
        # The window is over when the session is gone.
        await until(lambda: sessions_are_over(redis_client, tenant))
        await proxy.start()
        greeting = await page.wait("connected", lambda data: not data["recovered"], times=2)
        assert greeting["reason"] in ("expired", "unknown")
        await page.wait("message:new", times=len(shown))
        await assert_shown(page, backend, tenant, shown)
        # Of what no room's history brings back it was told all the same; the conversation is whole.
        assert page.seen("gap") == [{"reason": greeting["reason"]}]


async def test_a_history_that_is_too_short_is_a_gap(
    pages: OpenPage, replicas: Replicas, redis_server: EmbeddedRedis, tenant: Tenant, publishers: Publishers
) -> None:
    backend = publishers(redis_server.url)
    short = replicas(redis_server.url, GATEWAY_HISTORY_SIZE="5", GATEWAY_HISTORY_MAX_EVENTS="5")
    async with Proxy(short.port) as proxy:
        page = await in_conversation(pages(proxy.http_url), tenant)
        await publish(backend, tenant, 1)
        await page.wait("message:new")
        await proxy.refuse()
        await gone(page)
        await publish(backend, tenant, 300)
        await proxy.start()
        gap = await page.wait("gap", lambda data: data.get("conversation_id") == tenant.conversation)
        assert gap["reason"] == "incomplete"
        assert page.seen("gap")[0] == {"reason": "trimmed"}


async def test_an_emptied_redis_is_a_gap(
    pages: OpenPage, replicas: Replicas, redis_server: EmbeddedRedis, tenant: Tenant, publishers: Publishers
) -> None:
    replica = replicas(redis_server.url)
    backend = publishers(redis_server.url)
    page = await in_conversation(pages(replica.url), tenant)
    before = await publish(backend, tenant, 1)
    await page.wait("message:new")
    replica.kill()
    redis_server.kill()
    redis_server.start()
    await replica.restarted()
    gap = await page.wait("gap", lambda data: data.get("conversation_id") == tenant.conversation)
    room = f"conversation:{tenant.conversation}"
    assert gap == {"reason": "incomplete", "room": room, "conversation_id": tenant.conversation}
    assert page.seen("gap")[0] == {"reason": "epoch"}
    after = await publish(backend, tenant, 2)
    await assert_shown(page, backend, tenant, before + after)


async def test_a_message_that_is_published_twice_is_shown_once(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = await in_conversation(pages(replica.url), tenant)
    message = incoming_message(tenant.conversation)
    room = f"conversation:{tenant.conversation}"
    first = await backend.acall("emit", tenant.id, "message:new", message, to=room)
    second = await backend.acall("emit", tenant.id, "message:new", message, to=room)
    assert first.offset != second.offset
    await assert_shown(page, backend, tenant, [as_seen(message)])


async def test_history_that_is_asked_for_comes_before_what_is_live(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    past = await publish(backend, tenant, 5)
    page = pages(replica.url, tenant.token())
    await page.call("joinConversation", tenant.conversation, {"history": 3})
    live = await publish(backend, tenant, 2)
    await assert_shown(page, backend, tenant, past[2:] + live)


async def test_history_comes_first_also_when_the_network_brings_all_at_once(
    pages: OpenPage, proxy: Proxy, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    past = await publish(backend, tenant, 3)
    page = pages(proxy.http_url, tenant.token())
    await page.wait("connected")
    (link,) = proxy.links
    link.server.hold()
    page.do("joinConversation", tenant.conversation, {"history": 3})
    room = f"conversation:{tenant.conversation}"
    await until(lambda: [line for line in replica.log_lines("socket_joined") if line["room"] == room])
    live = await publish(backend, tenant, 3)
    link.server.let_go()
    await assert_shown(page, backend, tenant, past + live)


async def test_a_page_that_comes_back_to_a_conversation_gets_its_history_again(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    past = await publish(backend, tenant, 2)
    page = pages(replica.url, tenant.token())
    for times in (1, 2):
        await page.call("joinConversation", tenant.conversation, {"history": 2})
        await assert_shown(page, backend, tenant, past * times)
        await page.call("leaveConversation", tenant.conversation)


async def test_a_join_that_is_refused_says_why_and_is_not_repeated(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    page = pages(replica.url, tenant.token())
    with pytest.raises(Refused) as refused:
        await page.call("joinConversation", "not a uuid")
    assert refused.value.code == "bad_request"
    assert [error["code"] for error in page.seen("failed")] == ["bad_request"]


async def test_joins_that_can_be_tried_again_are(
    pages: OpenPage, replicas: Replicas, redis_server: EmbeddedRedis, tenant: Tenant
) -> None:
    slow = replicas(redis_server.url, GATEWAY_EVENTS_PER_S="5", GATEWAY_EVENTS_BURST="5")
    page = pages(slow.url, tenant.token())
    rooms = [new_id() for _ in range(8)]
    asks = [page.do("joinConversation", room) for room in rooms]
    assert [(await page.answer_to(ask))["conversation_id"] for ask in asks] == rooms
    assert {error["code"] for error in page.seen("failed")} == {"rate_limited"}


async def test_a_conversation_that_is_taken_away_is_not_joined_again(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = await in_conversation(pages(proxy.http_url), tenant)
    await backend.acall("leave_room", tenant.id, tenant.alice, f"conversation:{tenant.conversation}")
    await page.wait("left_conversation")
    proxy.cut()
    await page.wait("connected", times=2)
    await assert_not_in_it(page, backend, tenant)
    # Unless the page asks for it anew.
    await page.call("joinConversation", tenant.conversation)
    await assert_shown(page, backend, tenant, await publish(backend, tenant, 1))


async def test_a_room_of_another_kind_is_joined_again_too(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = pages(proxy.http_url, tenant.token())
    room = f"campaign:{new_id()}"
    joined = await page.call("joinRoom", room)
    assert joined["room"] == room
    proxy.cut()
    await page.wait("connected", times=2)
    await backend.acall("emit", tenant.id, "end", {"n": 1}, to=room)
    assert await page.wait("end") == {"n": 1}
