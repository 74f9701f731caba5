"""The console in daily use: several tabs, the keyboard alone, unread counts and notifications, a phone's width."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from gateway.console.demo_data import ALICE, BRUNO, ORGANIZATION
from publisher import AsyncPublisher
from tests.browser import console
from tests.browser.conftest import TryIts
from tests.browser.console import Part
from tests.support.client import Clients
from tests.support.pytake import incoming_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.tokens import mint, new_id
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CUSTOMER = "00000000-0000-4000-8000-0000000000d4"
NAME = """
() => {
  const at = document.activeElement;
  const label = at.id && document.querySelector(`label[for="${at.id}"]`);
  return at.getAttribute("aria-label") ?? label?.textContent ?? at.textContent;
}
"""
NOTIFICATIONS = """
window.shown = [];
window.Notification = class extends Notification {
  constructor(title, options) { super(title, options); shown.push([title, options.body]); }
};
"""


async def online(page: Page) -> list[str]:
    """Ask the gateway who is online."""
    url = f"{page.url.partition('/console')[0]}/api/v1/presence?organization_id={ORGANIZATION}"
    answer = await page.request.get(url, headers={"X-API-Key": console.API_KEY})
    found: list[str] = (await answer.json())["online"]
    return found


async def test_who_has_two_tabs_goes_offline_with_the_last_one(
    try_it: TryIts, console_replica: Replica, clients: Clients
) -> None:
    first, second = await try_it("first"), await try_it("second")
    witness = new_id()
    leaver = await clients(console_replica.url, mint(witness, ORGANIZATION)).connect()
    await second.page.goto("about:blank")
    await leaver.close()

    async def witness_is_gone() -> bool:
        return witness not in await online(first.page)

    # Whoever left with the tab that was closed counts as gone by now.
    await until(witness_is_gone, what="the witness to be gone")
    assert {ALICE, BRUNO} <= set(await online(first.page))
    await first.alice.sees("Bruno", "online")
    await first.bruno.switch.click()
    await first.alice.sees("Bruno", "offline")
    await first.bruno.switch.click()
    await first.alice.sees("Bruno", "online")


async def focused_after_tab(page: Page) -> str:
    """Press Tab and give the name of what has the focus then."""
    await page.keyboard.press("Tab")
    return str(await page.evaluate(NAME)).strip()


async def test_the_keyboard_is_enough(try_it: TryIts) -> None:
    view = await try_it()
    names: list[str] = []
    while not names or names[-1] != "Message from Alice":
        names.append(await focused_after_tab(view.page))
        assert len(names) < 40, names
    wanted = ["Skip to content", "Network Alice", "Back to the inbox", "Messages in Alice’s window"]  # noqa: RUF001
    assert [name for name in names if name in wanted] == wanted
    await view.page.keyboard.type("Sem mouse")
    await view.page.keyboard.press("Enter")
    await view.bruno.shows("Sem mouse")
    # Back to the switch, which Space turns.
    for _ in range(3):
        await view.page.keyboard.press("Shift+Tab")
    await expect(view.alice.switch).to_be_focused()
    await view.page.keyboard.press("Space")
    await view.alice.says("Offline")
    await view.page.keyboard.press("Space")
    await view.alice.is_online()
    # Into the inbox and out of it: the focus goes along.
    await view.page.keyboard.press("Tab")
    await view.page.keyboard.press("Enter")
    await expect(view.alice.box.get_by_role("button", name="Customer")).to_be_focused()
    await view.page.keyboard.press("Enter")
    await expect(view.alice.box.get_by_role("log")).to_be_focused()


async def test_an_inbox_counts_what_is_unread_until_it_is_opened(try_it: TryIts) -> None:
    view = await try_it()
    inbox = view.bruno.box.get_by_role("button", name="Customer")
    await view.bruno.box.get_by_role("button", name="Back to the inbox").click()
    await expect(view.alice.box.get_by_text("Nobody else is looking at this")).to_be_visible()
    for text in ("one", "two"):
        await view.phone.write(text)
    await expect(inbox.get_by_role("img", name="2 unread messages")).to_be_visible()
    await expect(inbox).to_contain_text("two")
    await expect(view.bruno.box.get_by_role("img", name="2 notifications")).to_be_visible()
    await expect(view.alice.box.get_by_role("img", name="notification")).to_have_count(0)
    await inbox.click()
    await view.bruno.shows("one", "two")
    await view.bruno.box.get_by_role("button", name="Back to the inbox").click()
    await expect(inbox).to_be_visible()
    await expect(inbox.get_by_role("img", name="unread")).to_have_count(0)
    await expect(view.bruno.box.get_by_role("img", name="notification")).to_have_count(0)


async def test_notifications_reach_the_desktop_of_who_does_not_look(try_it: TryIts) -> None:
    view = await try_it(permissions=["notifications"], script=NOTIFICATIONS)
    await view.page.get_by_role("button", name="Notifications", exact=True).click()
    await expect(view.page.get_by_role("button", name="Notifications are on")).to_be_disabled()
    await view.bruno.box.get_by_role("button", name="Back to the inbox").click()
    await expect(view.alice.box.get_by_text("Nobody else is looking at this")).to_be_visible()
    await view.phone.write("Tem alguém aí?")
    shown = await view.window.wait("shown.length && shown", "a notification")
    assert shown == [["WhatsApp", "Tem alguém aí?"]]


async def below(part: Part) -> float:
    """Return how many pixels of its messages are below what is shown."""
    script = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
    return float(await part.box.get_by_role("log").evaluate(script))


async def at_newest(part: Part) -> None:
    """Wait until its newest message is in sight as a whole."""

    async def is_there() -> bool:
        return await below(part) < 1

    await until(is_there, what="the newest message in sight")


async def test_the_newest_message_stays_in_sight_unless_somebody_reads_further_up(
    try_it: TryIts, events: AsyncPublisher, conversation: Tenant
) -> None:
    view = await try_it()
    texts = [f"line {number}" for number in range(30)]
    for text in texts[:20]:
        await view.phone.write(text)
    await view.alice.shows(*texts[:20])
    await at_newest(view.alice)
    # A banner takes some of its room.
    await view.alice.switch.click()
    await view.alice.says("Offline")
    await at_newest(view.alice)
    await view.alice.switch.click()
    await view.alice.is_online()
    # Others come while something else is looked at.
    await view.page.get_by_role("tab", name="Use it").click()
    for text in texts[20:]:
        await events.message_new(conversation.id, incoming_message(conversation.conversation, text))
    await expect(view.alice.box.locator("[data-message]")).to_have_count(len(texts))
    await view.page.get_by_role("tab", name="Try it").click()
    await view.alice.shows(*texts)
    await at_newest(view.alice)
    await view.alice.box.get_by_role("log").evaluate("log => log.scrollTo({ top: 0 })")
    await view.phone.write("one more")
    await view.alice.shows(*texts, "one more")
    assert await below(view.alice) > 100


async def disconnect(page: Page, user: str) -> None:
    """Disconnect a user as an operator does."""
    body = {"organization_id": ORGANIZATION, "user_id": user}
    url = f"{page.url.partition('/console')[0]}/api/v1/disconnect"
    assert (await page.request.post(url, data=body, headers={"X-API-Key": console.API_KEY})).ok


async def test_an_agent_whom_an_operator_disconnected_logs_in_again(try_it: TryIts) -> None:
    view = await try_it()
    await disconnect(view.page, BRUNO)
    await view.bruno.says("An operator disconnected this agent.")
    await view.alice.sees("Bruno", "offline")
    await expect(view.bruno.box.get_by_placeholder("Sent once this agent is logged in again")).to_be_visible()
    await view.bruno.write("Where was I?")
    await view.phone.write("Anybody there?")
    await view.alice.shows("Anybody there?")
    await view.bruno.box.get_by_role("button", name="Log in again").click()
    await view.bruno.says("Back online", "1 message caught up")
    for part in (view.alice, view.bruno, view.phone):
        await part.shows("Anybody there?", "Where was I?")


async def test_the_customer_can_not_be_disconnected_for_long(try_it: TryIts) -> None:
    view = await try_it()
    await view.page.get_by_role("tab", name="Use it").click()
    people = view.page.get_by_role("region", name="Who is online")
    await people.get_by_role("button", name="Disconnect Customer").click()
    await view.page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    await expect(people.get_by_role("status")).to_contain_text("Customer was disconnected")
    await view.page.get_by_role("tab", name="Try it").click()
    await view.phone.write("Still here")
    await view.alice.shows("Still here")


async def test_the_customer_sees_whether_an_agent_has_read(try_it: TryIts) -> None:
    view = await try_it()
    heard = len(view.window.frames)
    for agent in (view.alice, view.bruno):
        await agent.box.get_by_role("button", name="Back to the inbox").click()
    alone = f'"user_ids":["{CUSTOMER}"],"sockets":1'
    await until(lambda: any(alone in frame for frame in view.window.frames[heard:]), what="nobody to look")
    await view.phone.write("Anybody there?")
    await view.phone.ticks("Anybody there?", "delivered")
    await view.bruno.box.get_by_role("button", name="Customer").click()
    await view.phone.ticks("Anybody there?", "read")


@pytest.mark.parametrize("width", [360, 390])
async def test_a_phone_shows_one_window_at_a_time_and_nothing_sticks_out(try_it: TryIts, width: int) -> None:
    view = await try_it(phone=True, viewport={"width": width, "height": 800})
    await expect(view.alice.box).to_be_visible()
    await expect(view.bruno.box).to_be_hidden()
    await expect(view.page.get_by_role("heading", name="Realtime console")).to_be_attached()
    await view.alice.write("Seu pedido saiu.")
    # Delivered, but nobody holds the phone.
    await view.alice.ticks("Seu pedido saiu.", "delivered")
    part = {name: view.page.get_by_role("radio", name=name) for name in ("Alice", "Phone", "Bruno")}
    await part["Phone"].tap()
    await view.phone.shows("Seu pedido saiu.")
    await expect(view.bruno.box.locator("[data-status=read]")).to_be_attached()
    await part["Bruno"].tap()
    await view.bruno.ticks("Seu pedido saiu.", "read")
    await view.bruno.box.get_by_role("button", name="Back to the inbox").tap()
    await part["Phone"].tap()
    await view.phone.write("Obrigada!")
    await expect(part["Bruno"].get_by_role("img", name="1 unread message")).to_be_visible()
    for name in part:
        await part[name].tap()
        wider = await view.window.value("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, name
