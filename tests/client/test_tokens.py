"""Tokens end, are refreshed, and are refused; a page knows when to log in anew."""

from __future__ import annotations

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.client.conftest import OpenPage
from tests.support.proxy import Proxy
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.tokens import mint


async def test_a_token_that_ends_soon_is_replaced_without_a_new_connection(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    ending = mint(tenant.alice, tenant.id, ttl_s=2)
    page, other = pages(replica.url), pages(replica.url)
    page.connect_with([ending, tenant.token()])
    other.connect(ending)
    assert await page.wait("asked for token", times=2) == "expiring"
    # The other page could not replace it: now it has ended.
    assert (await other.wait("refused"))["code"] == "token_expired"
    assert await page.call("presence") == [tenant.alice]
    assert page.seen("state") == ["connecting", "online"]
    assert page.seen("failed") == []


async def test_a_provider_that_gives_the_same_token_again_is_not_asked_in_a_circle(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    page = pages(replica.url, tokens=[mint(tenant.alice, tenant.id, ttl_s=2)])
    assert (await page.wait("refused"))["code"] == "token_expired"
    # To connect, because it ends, to come back, and because that was refused.
    assert page.seen("asked for token") == ["connect", "expiring", "connect", "refused"]


async def test_each_connection_gets_a_fresh_token(pages: OpenPage, proxy: Proxy, tenant: Tenant) -> None:
    page = pages(proxy.http_url, tokens=[tenant.token()])
    for times in (1, 2, 3):
        await page.wait("connected", times=times)
        assert page.seen("asked for token") == ["connect"] * times
        proxy.cut()


async def test_a_token_that_has_expired_is_asked_for_once_more(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    page = pages(replica.url, tokens=[mint(tenant.alice, tenant.id, ttl_s=-60), tenant.token()])
    await page.wait("connected")
    assert page.seen("asked for token") == ["connect", "refused"]
    assert page.seen("refused") == []


async def test_after_the_second_refusal_the_page_is_told(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    page = pages(replica.url, tokens=[mint(tenant.alice, tenant.id, ttl_s=-60)])
    error = await page.wait("refused")
    assert (error["code"], error["retry"]) == ("token_expired", False)
    assert page.seen("asked for token") == ["connect", "refused"]
    assert page.seen("state") == ["connecting", "refused"]
    page.connect_with([tenant.token()])
    await page.wait("connected")


async def test_a_fixed_token_is_refused_at_once(pages: OpenPage, replica: Replica, tenant: Tenant) -> None:
    page = pages(replica.url, "nonsense")
    assert (await page.wait("refused"))["code"] == "token_invalid"


async def test_a_user_without_a_token_is_told(pages: OpenPage, replica: Replica) -> None:
    page = pages(replica.url, tokens=[None])
    assert (await page.wait("refused"))["code"] == "token_missing"


async def test_a_provider_that_fails_is_asked_again(pages: OpenPage, replica: Replica, tenant: Tenant) -> None:
    page = pages(replica.url, tokens=["away", tenant.token()])
    await page.wait("connected")
    assert [(error["code"], error["retry"]) for error in page.seen("failed")] == [("token_unavailable", True)]


async def test_a_new_fixed_token_is_given_to_the_connection_that_is_there(
    pages: OpenPage, replica: Replica, tenant: Tenant
) -> None:
    page = pages(replica.url, mint(tenant.alice, tenant.id, ttl_s=3))
    await page.wait("auth:expiring")
    page.connect(mint(tenant.alice, tenant.id, ttl_s=6))
    # Warned about halfway, because it ends within a minute.
    await page.wait("auth:expiring", times=2)
    assert len(page.seen("connected")) == 1


async def test_a_user_who_is_sent_away_does_not_come_back(
    pages: OpenPage, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = pages(replica.url, tokens=[tenant.token()])
    await page.wait("connected")
    await backend.acall("disconnect_user", tenant.id, tenant.alice)
    assert (await page.wait("refused"))["code"] == "sent_away"
    assert await page.call("isConnected") is False


async def test_a_tab_too_many_sends_the_oldest_away_which_does_not_push_back(
    pages: OpenPage, replicas: Replicas, redis_server: EmbeddedRedis, tenant: Tenant
) -> None:
    narrow = replicas(redis_server.url, GATEWAY_MAX_SOCKETS_PER_USER="1")
    oldest, newest = pages(narrow.url), pages(narrow.url)
    oldest.connect_with([tenant.token()])
    await oldest.wait("connected")
    newest.connect_with([tenant.token()])
    assert (await oldest.wait("refused"))["code"] == "too_many_connections"
    assert await newest.call("presence") == [tenant.alice]
    assert oldest.seen("asked for token") == ["connect"]
