"""The six tests that PyTake's people did by hand, with a page whose wrapper is as thin as theirs.

The page is in `pytake/`: plain socket.io-client, the wrapper's own options, no join repeated, nothing remembered.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import latencies
from tests.browser.conftest import Windows
from tests.browser.site import Site
from tests.browser.window import Window
from tests.support.proxy import Proxy
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def conversation_of(windows: Windows, name: str, url: str) -> Window:
    """Open a page and wait until it is in its conversation."""
    window = await windows(name, url)
    await expect(window.page.locator("#room")).to_have_text("inside")
    return window


async def write(window: Window, text: str) -> None:
    """Send a message as a user does."""
    await window.page.get_by_label("Message", exact=True).fill(text)
    await window.page.get_by_role("button", name="Send").click()


async def shows(window: Window, *texts: str) -> None:
    """Wait until these messages, and no others, are to be seen, in this order."""
    await expect(window.page.locator("#messages li > span:first-child")).to_have_text(list(texts))


async def heard(window: Window, event: str) -> list[Any]:
    """Return what the page was sent under a name, every repetition included."""
    found: list[Any] = await window.value(
        f"heard.filter(({{ event }}) => event === '{event}').map(({{ data }}) => data)"
    )
    return found


async def test_seed_1_websocket_connection(windows: Windows, site: Site, replica: Replica, tenant: Tenant) -> None:
    page = await conversation_of(windows, "alice", site.page(replica.url, tenant, tenant.alice))
    await expect(page.page.locator("#connection")).to_have_text("connected")
    await expect(page.page.locator("#me")).to_have_text(tenant.alice)
    assert await page.value("socket.io.engine.transport.name") == "websocket"
    (greeting,) = await heard(page, "connected")
    assert greeting["user_id"] == tenant.alice
    (joined,) = await heard(page, "joined_conversation")
    assert joined["conversation_id"] == tenant.conversation


async def test_seed_2_message_in_real_time_in_two_browsers_of_one_user(
    windows: Windows, site: Site, replica: Replica, tenant: Tenant
) -> None:
    url = site.page(replica.url, tenant, tenant.alice)
    first, second = [await conversation_of(windows, name, url) for name in ("first", "second")]
    await write(first, "Bom dia!")
    await shows(second, "Bom dia!")
    await shows(first, "Bom dia!")
    for window in (first, second):
        assert len(await heard(window, "message:new")) == 1


async def test_a_message_takes_little_from_one_window_to_the_other(
    windows: Windows, site: Site, replica: Replica, tenant: Tenant
) -> None:
    alice = await conversation_of(windows, "alice", site.page(replica.url, tenant, tenant.alice))
    bruno = await conversation_of(windows, "bruno", site.page(replica.url, tenant, tenant.bruno))
    clicked = "addEventListener('submit', () => (window.began = Date.now()), { capture: true })"
    await alice.value(clicked)
    for number in range(5):
        await write(alice, f"{number}")
        await shows(bruno, *map(str, range(number + 1)))
        shown = float(await bruno.value("[...document.querySelectorAll('li')].at(-1).dataset.shown"))
        taken_ms = shown - float(await alice.value("began"))
        # The figure is told after the tests; the bound is for a machine that does a lot beside.
        assert 0 <= taken_ms < 5_000
        latencies.note("plain page", taken_ms)


async def test_seed_3_status_updates_in_real_time(
    windows: Windows, site: Site, replica: Replica, tenant: Tenant
) -> None:
    alice = await conversation_of(windows, "alice", site.page(replica.url, tenant, tenant.alice))
    await write(alice, "Seu pedido saiu.")
    ticks = alice.page.locator("#messages .ticks")
    await expect(ticks).to_have_attribute("aria-label", "sent")
    # The page shows its own message before it hears of it.
    (message,) = await until(lambda: heard(alice, "message:new"))
    ident = message["id"]
    for status in ("delivered", "read"):
        await site.events.message_status(tenant.id, tenant.conversation, ident, status)
        await expect(ticks).to_have_attribute("aria-label", status)
    # A webhook that comes late.
    await site.events.message_status(tenant.id, tenant.conversation, ident, "delivered")
    await site.events.message_new(tenant.id, incoming_message(tenant.conversation, "Obrigada!"))
    await shows(alice, "Seu pedido saiu.", "Obrigada!")
    await expect(ticks.first).to_have_attribute("aria-label", "read")
    assert [event["status"] for event in await heard(alice, "message:status")] == ["delivered", "read"]


async def test_seed_4_several_users_in_one_conversation(
    windows: Windows, site: Site, replica: Replica, tenant: Tenant
) -> None:
    alice = await conversation_of(windows, "alice", site.page(replica.url, tenant, tenant.alice))
    bruno = await conversation_of(windows, "bruno", site.page(replica.url, tenant, tenant.bruno))
    await alice.page.get_by_label("Message", exact=True).press_sequentially("Eu")
    await expect(bruno.page.locator("#typing")).to_have_text(f"{tenant.alice} is typing")
    await write(alice, "Eu respondo.")
    await shows(bruno, "Eu respondo.")
    await expect(bruno.page.locator("#typing")).to_be_empty()
    await site.events.message_new(tenant.id, incoming_message(tenant.conversation, "Oi?"))
    for window in (alice, bruno):
        await shows(window, "Eu respondo.", "Oi?")
        assert len(await heard(window, "message:new")) == 2


async def test_seed_5_automatic_reconnection(windows: Windows, site: Site, proxy: Proxy, tenant: Tenant) -> None:
    alice = await conversation_of(windows, "alice", site.page(proxy.http_url, tenant, tenant.alice))
    await write(alice, "before")
    await shows(alice, "before")
    alice.expect_broken_network()
    await proxy.refuse()
    await expect(alice.page.locator("#connection")).to_have_text("disconnected")
    for text in ("meanwhile 1", "meanwhile 2"):
        await site.events.message_new(tenant.id, incoming_message(tenant.conversation, text))
    await proxy.start()
    await expect(alice.page.locator("#connection")).to_have_text("connected")
    await shows(alice, "before", "meanwhile 1", "meanwhile 2")
    await site.events.message_new(tenant.id, incoming_message(tenant.conversation, "after"))
    await shows(alice, "before", "meanwhile 1", "meanwhile 2", "after")
    assert len(await heard(alice, "message:new")) == 4
    assert await alice.value("socket.recovered")
    # Nobody joined again: the gateway did it.
    assert len(await heard(alice, "joined_conversation")) == 1


async def test_seed_6_polling_where_websockets_do_not_get_through(
    windows: Windows, site: Site, proxy: Proxy, tenant: Tenant
) -> None:
    proxy.forbid(b"transport=websocket")
    # Without this option socket.io-client tries the first of the wrapper's transports for ever.
    url = site.page(proxy.http_url, tenant, tenant.alice, tryAllTransports=True)
    alice = await conversation_of(windows, "alice", url)
    assert await alice.value("socket.io.engine.transport.name") == "polling"
    await write(alice, "Chegou?")
    await shows(alice, "Chegou?")
    # The page shows its own message before it hears of it.
    (message,) = await until(lambda: heard(alice, "message:new"))
    ident = message["id"]
    await site.events.message_status(tenant.id, tenant.conversation, ident, "read")
    await expect(alice.page.locator("#messages .ticks")).to_have_attribute("aria-label", "read")
    alice.expect_broken_network()
    await proxy.refuse()
    await expect(alice.page.locator("#connection")).to_have_text("disconnected")
    await site.events.message_new(tenant.id, incoming_message(tenant.conversation, "Chegou!"))
    await proxy.start()
    await shows(alice, "Chegou?", "Chegou!")
    assert await alice.value("socket.recovered")
    assert await alice.value("socket.io.engine.transport.name") == "polling"
    assert len(await heard(alice, "message:new")) == 2


async def test_seed_6_a_gateway_that_is_stopped_and_started_again(
    windows: Windows, site: Site, stage_redis: Any, replicas: Replicas, tenant: Tenant
) -> None:
    replica = replicas(stage_redis.url, GATEWAY_CORS_ORIGINS=site.url)
    alice = await conversation_of(windows, "alice", site.page(replica.url, tenant, tenant.alice))
    attempts = "socket.io.on('reconnect_attempt', (attempt) => (window.attempts = attempt))"
    await alice.value(attempts)
    alice.expect_broken_network()
    replica.terminate()
    assert await replica.ended() == 0
    await expect(alice.page.locator("#connection")).to_have_text("disconnected")
    await site.events.message_new(tenant.id, incoming_message(tenant.conversation, "Alguém aí?"))
    await until(lambda: alice.value("window.attempts"), what="an attempt in vain")
    await replica.restarted()
    await shows(alice, "Alguém aí?")
    await expect(alice.page.locator("#connection")).to_have_text("connected")
    assert await alice.value("attempts") <= 5
    assert len(await heard(alice, "message:new")) == 1
