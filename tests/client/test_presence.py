"""Who is online, who types, who looks; and what happens while there is no connection."""

from __future__ import annotations

import pytest

from tests.client.conftest import OpenPage
from tests.client.pages import Page, Refused
from tests.support.proxy import Proxy
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica
from tests.support.tenant import Tenant


async def opened(pages: OpenPage, url: str, tenant: Tenant, user: str, **options: object) -> Page:
    """Open a user's page with the tenant's conversation."""
    page = pages(url, tenant.token(user), **options)
    await page.call("joinConversation", tenant.conversation)
    return page


def typing(tenant: Tenant, user: str, *, starts: bool) -> dict[str, object]:
    """Return what is told of a typist."""
    return {"conversation_id": tenant.conversation, "user_id": user, "typing": starts}


async def test_typing_is_told_once_and_ends_with_stop(pages: OpenPage, replica: Replica, tenant: Tenant) -> None:
    alice = await opened(pages, replica.url, tenant, tenant.alice)
    bruno = await opened(pages, replica.url, tenant, tenant.bruno)
    for _ in range(5):
        await alice.call("startTyping", tenant.conversation)
    await alice.call("stopTyping", tenant.conversation)
    await bruno.wait("user_typing", times=2)
    assert bruno.seen("user_typing") == [typing(tenant, tenant.alice, starts=starts) for starts in (True, False)]


async def test_typing_ends_by_itself(pages: OpenPage, replica: Replica, tenant: Tenant) -> None:
    alice = await opened(pages, replica.url, tenant, tenant.alice)
    bruno = await opened(pages, replica.url, tenant, tenant.bruno)
    await alice.call("startTyping", tenant.conversation)
    assert await bruno.wait("user_typing", times=2) == typing(tenant, tenant.alice, starts=False)


async def test_typing_whose_end_is_lost_ends_all_the_same(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    bruno = await opened(pages, replica.url, tenant, tenant.bruno, typingCheckMs=100)
    start = typing(tenant, tenant.alice, starts=True)
    room = f"conversation:{tenant.conversation}"
    await backend.acall("emit", tenant.id, "user_typing", start, to=room, ephemeral=True)
    assert await bruno.wait("user_typing", times=2) == typing(tenant, tenant.alice, starts=False)


async def test_without_a_connection_nobody_types(
    pages: OpenPage, proxy: Proxy, backend: PublisherProcess, tenant: Tenant
) -> None:
    bruno = await opened(pages, proxy.http_url, tenant, tenant.bruno, typingCheckMs=60_000)
    start = typing(tenant, tenant.alice, starts=True)
    room = f"conversation:{tenant.conversation}"
    await backend.acall("emit", tenant.id, "user_typing", start, to=room, ephemeral=True)
    await bruno.wait("user_typing")
    await proxy.refuse()
    assert await bruno.wait("user_typing", times=2) == typing(tenant, tenant.alice, starts=False)


async def test_a_page_that_listens_late_knows_who_is_online_and_hears_of_changes(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    bruno = await opened(pages, replica.url, tenant, tenant.bruno)
    alice = pages(replica.url, tenant.token(tenant.alice))
    await alice.wait("connected")
    alice.listen()
    await alice.wait("user:status", lambda data: data == {"user_id": tenant.bruno, "status": "online"})
    assert sorted(await alice.call("presence")) == sorted([tenant.alice, tenant.bruno])
    assert await alice.call("presence", [tenant.bruno]) == [tenant.bruno]
    bruno.close()
    await alice.wait("user:status", lambda data: data == {"user_id": tenant.bruno, "status": "offline"})
    assert await alice.call("onlineUsers") == [tenant.alice]


async def test_a_page_that_was_away_knows_who_went(
    pages: OpenPage, proxy: Proxy, replica: Replica, tenant: Tenant
) -> None:
    bruno = await opened(pages, replica.url, tenant, tenant.bruno)
    alice = pages(proxy.http_url, tenant.token(tenant.alice))
    alice.listen()
    await alice.wait("user:status", lambda data: data == {"user_id": tenant.bruno, "status": "online"})
    witness = pages(replica.url, tenant.token())
    witness.listen()
    await witness.wait("user:status", lambda data: data["user_id"] == tenant.bruno)
    await proxy.refuse()
    bruno.close()
    await witness.wait("user:status", lambda data: data == {"user_id": tenant.bruno, "status": "offline"})
    await proxy.start()
    await alice.wait("user:status", lambda data: data == {"user_id": tenant.bruno, "status": "offline"})


async def test_who_has_a_conversation_open_is_known(pages: OpenPage, replica: Replica, tenant: Tenant) -> None:
    alice = await opened(pages, replica.url, tenant, tenant.alice)
    bruno = await opened(pages, replica.url, tenant, tenant.bruno)
    both = sorted([tenant.alice, tenant.bruno])
    await alice.wait("conversation:viewers", lambda data: sorted(data["user_ids"]) == both)
    assert sorted(await alice.call("viewers", tenant.conversation)) == both
    bruno.close()
    await alice.wait("conversation:viewers", lambda data: data["user_ids"] == [tenant.alice], times=2)


async def test_the_rest_api_is_polled_only_without_a_connection(
    pages: OpenPage, proxy: Proxy, tenant: Tenant
) -> None:
    await proxy.refuse()
    page = pages(proxy.http_url)
    page.poll(50)
    page.connect(tenant.token())
    await page.wait("polled", times=2)
    await proxy.start()
    # The last one is for what came between the one before and the connection.
    assert await page.wait("polled", lambda state: state == "online")
    await page.call("joinConversation", tenant.conversation)
    before = len(page.seen("polled"))
    await proxy.refuse()
    await page.wait("polled", times=before + 2)
    assert page.seen("polled")[before:] == ["connecting"] * len(page.seen("polled")[before:])
    await proxy.start()
    await page.wait("connected", times=2)
    # Recovered: there is nothing that a poll could add.
    assert page.seen("polled", lambda state: state == "online") == ["online"]


async def test_without_a_connection_nobody_can_be_asked(pages: OpenPage, replica: Replica) -> None:
    page = pages(replica.url)
    with pytest.raises(Refused) as refused:
        await page.call("presence")
    assert refused.value.code == "disconnected"
