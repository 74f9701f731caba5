"""The same six tests with the console's "Try it": the project's own client, twice, and the contact's phone."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from gateway.console.demo_data import ALICE
from publisher import AsyncPublisher
from tests.browser import latencies
from tests.browser.conftest import TryIts
from tests.support.proxy import Proxy
from tests.support.pytake import incoming_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_seed_1_websocket_connection(try_it: TryIts, conversation: Tenant) -> None:
    view = await try_it()
    greetings = [frame for frame in view.window.frames if frame.startswith('42["connected"')]
    assert any(f'"user_id":"{ALICE}"' in frame for frame in greetings)
    # Both agents, and the phone.
    joined = [frame for frame in view.window.frames if f'"conversation_id":"{conversation.conversation}"' in frame]
    assert sum('"ok":true' in frame for frame in joined) == 3
    assert not [url for url in view.window.requests if "transport=polling" in url]


async def test_seed_2_message_in_real_time_in_two_browsers_of_one_user(try_it: TryIts) -> None:
    first, second = await try_it("first"), await try_it("second")
    for number in range(5):
        await first.alice.write(f"Bom dia {number}!")
        texts = [f"Bom dia {earlier}!" for earlier in range(number + 1)]
        await second.alice.shows(*texts)
        await first.alice.shows(*texts)
        # Of what another window has published this one can not tell how long it took.
        assert await second.alice.messages.last.locator("[data-took]").count() == 0
        shown = first.bruno.messages.last.locator("[data-took]")
        taken_ms = float(await shown.get_attribute("data-took") or "nan")
        # The figure is told after the tests; the bound is for a machine that does a lot beside.
        assert 0 <= taken_ms < 5_000
        latencies.note("console", taken_ms)
    # Each socket gets a message once, and the one that it was written on not at all.
    for window, sockets in ((first.window, 2), (second.window, 3)):
        frames = [frame for frame in window.frames if frame.startswith('42["message:new"')]
        assert len(frames) == 5 * sockets


async def test_seed_3_status_updates_in_real_time(
    try_it: TryIts, events: AsyncPublisher, conversation: Tenant
) -> None:
    view = await try_it()
    await view.turn_phone("Off")
    await view.alice.write("Seu pedido saiu.")
    for agent in (view.alice, view.bruno):
        await agent.ticks("Seu pedido saiu.", "sent")
    await view.turn_phone("In the pocket")
    for agent in (view.alice, view.bruno):
        await agent.ticks("Seu pedido saiu.", "delivered")
    await view.turn_phone("Open")
    for agent in (view.alice, view.bruno):
        await agent.ticks("Seu pedido saiu.", "read")
    ident = await view.alice.messages.get_attribute("data-message")
    # A webhook that comes late.
    await events.message_status(conversation.id, conversation.conversation, str(ident), "delivered")
    await events.message_new(conversation.id, incoming_message(conversation.conversation, "Obrigada!"))
    await view.alice.shows("Seu pedido saiu.", "Obrigada!")
    await view.alice.ticks("Seu pedido saiu.", "read")


async def test_seed_4_several_users_in_one_conversation(try_it: TryIts) -> None:
    view = await try_it()
    await view.alice.box.get_by_role("textbox").press_sequentially("Eu")
    await expect(view.bruno.box.get_by_text("Alice is typing…")).to_be_visible()
    await view.alice.write("Eu respondo.")
    await expect(view.bruno.box.get_by_text("Alice is typing…")).to_be_hidden()
    await view.phone.write("Oi?")
    for part in (view.alice, view.bruno, view.phone):
        await part.shows("Eu respondo.", "Oi?")


async def test_seed_5_automatic_reconnection(
    try_it: TryIts, network: Proxy, events: AsyncPublisher, conversation: Tenant
) -> None:
    view = await try_it()
    await view.phone.write("before")
    await view.bruno.shows("before")
    view.window.expect_broken_network()
    await network.refuse()
    for agent in (view.alice, view.bruno):
        await agent.is_away()
    for text in ("meanwhile 1", "meanwhile 2"):
        await events.message_new(conversation.id, incoming_message(conversation.conversation, text))
    await network.start()
    for agent in (view.alice, view.bruno):
        await agent.says("Back online", "2 messages caught up")
    await view.phone.write("after")
    for agent in (view.alice, view.bruno):
        await agent.shows("before", "meanwhile 1", "meanwhile 2", "after")
        await agent.caught_up("meanwhile 1", "meanwhile 2")


async def test_seed_6_polling_where_websockets_do_not_get_through(
    try_it: TryIts, network: Proxy, events: AsyncPublisher, conversation: Tenant
) -> None:
    network.forbid(b"transport=websocket")
    view = await try_it()
    assert not view.window.frames
    await view.alice.write("Chegou?")
    await view.bruno.shows("Chegou?")
    await view.alice.ticks("Chegou?", "read")
    view.window.expect_broken_network()
    await network.refuse()
    await view.bruno.is_away()
    await events.message_new(conversation.id, incoming_message(conversation.conversation, "Chegou!"))
    await network.start()
    for agent in (view.alice, view.bruno):
        await agent.shows("Chegou?", "Chegou!")
        await agent.caught_up("Chegou!")
    assert not view.window.frames


async def test_seed_6_a_gateway_that_is_stopped_and_started_again(
    try_it: TryIts, console_replica: Replica, events: AsyncPublisher, conversation: Tenant
) -> None:
    view = await try_it()
    view.window.expect_broken_network()
    console_replica.terminate()
    assert await console_replica.ended() == 0
    await view.alice.is_away()
    await view.alice.write("Alguém aí?")
    await view.alice.ticks("Alguém aí?", "waiting for the network")
    await events.message_new(conversation.id, incoming_message(conversation.conversation, "Oi?"))
    await console_replica.restarted()
    for part in (view.alice, view.bruno, view.phone):
        await part.shows("Oi?", "Alguém aí?")
    await view.bruno.ticks("Alguém aí?", "read")
