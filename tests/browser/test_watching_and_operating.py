"""The views "Watch it" and "Use it", under the console's own policy: any violation fails its window's test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from gateway.console.demo_data import ALICE, ORGANIZATION
from gateway.dev.embedded_redis import free_port
from tests.browser import console
from tests.browser.conftest import Windows
from tests.support.client import Clients
from tests.support.command_line import running
from tests.support.proxy import Proxy
from tests.support.replica import Replica
from tests.support.tokens import mint, new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def at(windows: Windows, network: Proxy, view: str) -> Page:
    """Open a view."""
    window = await windows(view, f"{network.http_url}/console/#/{view}", script=console.WITH_KEY)
    return window.page


def card(page: Page, title: str) -> Locator:
    """Find a part of a view by its heading."""
    return page.get_by_role("region", name=title, exact=True)


async def of_room(part: Locator, conversation_id: str) -> None:
    """Fill in a conversation, pasted as a whole."""
    await part.get_by_label("Room id").fill(f"conversation:{conversation_id}")


# -- watch it


async def test_the_figures_follow_what_happens(
    windows: Windows, network: Proxy, console_replica: Replica, clients: Clients
) -> None:
    page = await at(windows, network, "watch")
    replica = card(page, "Replicas").locator("tbody tr").filter(has_text=console_replica.url)
    await expect(replica).to_contain_text("ready")
    before = console_replica.health()["sockets"]
    client = await clients(console_replica.url, mint(ALICE, ORGANIZATION)).connect()
    tile = card(page, "Now").locator("dl > div").filter(has=page.get_by_text("Sockets", exact=True))
    await expect(tile.locator("dd").first).to_have_text(str(before + 1))
    await client.close()


async def test_what_the_lines_show_is_said_in_words(windows: Windows, network: Proxy) -> None:
    page = await at(windows, network, "watch")
    lines = page.get_by_role("img", name=re.compile(r"^Sockets: \d+ now, \d+ at most$"))
    await expect(lines).to_have_count(1)


async def test_a_gateway_that_does_not_answer_is_said_and_found_again(windows: Windows, network: Proxy) -> None:
    window = await windows("watch", f"{network.http_url}/console/#/watch", script=console.WITH_KEY)
    page = window.page
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
    window.expect_broken_network()
    await network.refuse()
    await expect(page.get_by_role("alert")).to_contain_text("has not answered since")
    await network.start()
    await expect(page.get_by_text("live", exact=True)).to_be_visible()


async def test_a_page_of_dev_goes_on_when_dev_is_started_anew(windows: Windows, tmp_path: Path) -> None:
    console.build()
    port = str(free_port())
    with running(tmp_path, "dev", "--port", port) as command:
        command.printed("Ctrl-C ends it.")
        window = await windows("watch", f"http://127.0.0.1:{port}/console#/watch")
        window.expect_broken_network()
        window.expect_refusals()
        await expect(window.page.get_by_text("live", exact=True)).to_be_visible()
        command.interrupt()
    with running(tmp_path, "dev", "--port", port) as command:
        # Its key is another one now: refused, the page asks for it once.
        async with window.page.expect_response(re.compile("/console/api/session")) as answered:
            command.printed("Ctrl-C ends it.")
        assert (await answered.value).ok
        async with window.page.expect_response(re.compile("/console/api/overview")) as answered:
            pass
        assert (await answered.value).ok
        await expect(window.page.get_by_text("live", exact=True)).to_be_visible()
    assert len([url for url in window.requests if "/session" in url]) == 2


async def test_nothing_is_asked_for_while_another_view_is_looked_at(windows: Windows, network: Proxy) -> None:
    window = await windows("watch", f"{network.http_url}/console/#/watch", script=console.WITH_KEY)
    page = window.page
    await expect(card(page, "Replicas")).to_be_visible()
    await page.get_by_role("tab", name="Use it").click()
    await expect(card(page, "Who is online")).to_be_visible()
    asked = len([url for url in window.requests if "/overview" in url])
    # The other view asks again when it is told to; meanwhile this one would have.
    for _ in range(3):
        async with page.expect_response("**/api/v1/presence*"):
            await card(page, "Who is online").get_by_role("button", name="Refresh").click()
        await page.wait_for_timeout(500)
    assert len([url for url in window.requests if "/overview" in url]) == asked


async def test_a_room_is_followed_as_it_is_published_to(
    windows: Windows, network: Proxy, console_replica: Replica
) -> None:
    page = await at(windows, network, "watch")
    part = card(page, "A room, live")
    conversation_id = new_id()
    await of_room(part, conversation_id)
    await part.get_by_role("button", name="Follow").click()
    await expect(part.get_by_text("following", exact=True)).to_be_visible()
    await published(page, conversation_id, "one:first", {"text": "secret"})
    await expect(part.get_by_role("listitem")).to_contain_text(["one:first"])
    await expect(part).not_to_contain_text("secret")
    await part.get_by_role("switch", name="Show payloads").click()
    await expect(part.get_by_text("following", exact=True)).to_be_visible()
    await published(page, conversation_id, "one:second", {"text": "shown"})
    await expect(part.get_by_role("listitem")).to_contain_text(["one:second"])
    await expect(part).to_contain_text("shown")


async def published(page: Page, conversation_id: str, event: str, data: object) -> None:
    """Publish as a backend would."""
    to = [f"conversation:{conversation_id}"]
    body = {"organization_id": ORGANIZATION, "event": event, "data": data, "to": to}
    url = f"{page.url.partition('/console')[0]}/api/v1/events"
    assert (await page.request.post(url, data=body, headers={"X-API-Key": console.API_KEY})).ok


# -- use it


async def test_an_event_is_published_and_found_in_the_rooms_history(windows: Windows, network: Proxy) -> None:
    page = await at(windows, network, "use")
    publish, history = card(page, "Publish an event"), card(page, "A room's history")
    await of_room(publish, new_id())
    await publish.get_by_label("Data").fill('{"text": "Olá, mundo"}')
    # Nothing but the keyboard from here on.
    await publish.get_by_label("Data").press("Control+Enter")
    receipt = publish.get_by_role("status").filter(has_text="Published")
    offset = await receipt.locator("code").inner_text()
    await history.get_by_role("button", name="Load").press("Enter")
    row = history.get_by_role("button", name="Show the payload of message:new")
    await row.press("Enter")
    await expect(row).to_have_attribute("aria-expanded", "true")
    await expect(history).to_contain_text("Olá, mundo")
    await expect(history).to_contain_text(offset)


async def test_what_is_no_json_can_not_be_published(windows: Windows, network: Proxy) -> None:
    publish = card(await at(windows, network, "use"), "Publish an event")
    await publish.get_by_label("Data").fill('{"text": ')
    await expect(publish.get_by_role("alert")).to_contain_text("Not JSON")
    await expect(publish.get_by_role("button", name="Publish", exact=True)).to_be_disabled()


async def test_a_key_that_is_known_is_shown_as_such(windows: Windows, network: Proxy) -> None:
    publish = card(await at(windows, network, "use"), "Publish an event")
    await of_room(publish, new_id())
    await publish.get_by_text("More options").click()
    await publish.get_by_label("Key").fill(f"once-{new_id()}")
    for said in ("Published", "Nothing was sent"):
        await publish.get_by_role("button", name="Publish", exact=True).click()
        await expect(publish.locator("[data-tone]").filter(has_text=said)).to_be_visible()


async def test_a_refusal_of_the_gateways_names_the_field(windows: Windows, network: Proxy) -> None:
    window = await windows("use", f"{network.http_url}/console/#/use", script=console.WITH_KEY)
    window.expect_refusals()
    publish = card(window.page, "Publish an event")
    await publish.get_by_label("Event").fill("NO SUCH NAME")
    await publish.get_by_role("button", name="Publish", exact=True).click()
    await expect(publish.get_by_role("alert")).to_contain_text("event:")


async def test_a_minted_token_connects(
    windows: Windows, network: Proxy, console_replica: Replica, clients: Clients
) -> None:
    part = card(await at(windows, network, "use"), "Mint a token")
    user = new_id()
    await part.get_by_label("User").fill(user)
    await part.get_by_role("button", name="Mint", exact=True).click()
    await expect(part).to_contain_text(f'"sub": "{user}"')
    token = await part.locator("code", has_text=re.compile(r"^ey")).inner_text()
    client = await clients(console_replica.url, token).connect()
    assert (await client.wait_for("connected")).data["user_id"] == user
    await client.close()


async def test_a_user_is_disconnected_after_a_question(
    windows: Windows, network: Proxy, console_replica: Replica, clients: Clients
) -> None:
    user = new_id()
    client = await clients(console_replica.url, mint(user, ORGANIZATION)).connect()
    page = await at(windows, network, "use")
    people = card(page, "Who is online")
    await people.get_by_role("button", name=f"Disconnect {user}").click()
    box, height = await page.get_by_role("dialog").bounding_box(), await page.evaluate("innerHeight")
    assert box is not None
    assert box["y"] + box["height"] / 2 == pytest.approx(height / 2, abs=2)
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await people.get_by_role("button", name=f"Disconnect {user}").click()
    await page.get_by_role("dialog").get_by_role("button", name="Disconnect", exact=True).click()
    await client.dropped()
    await expect(people.get_by_role("status").filter(has_text=user)).to_be_visible()


async def test_the_language_is_the_browsers_and_another_when_it_is_chosen(
    windows: Windows, network: Proxy
) -> None:
    url = f"{network.http_url}/console/#/use"
    page = (await windows("use", url, script=console.WITH_KEY, locale="pt-BR")).page
    await expect(page.get_by_role("heading", name="Ferramentas")).to_be_visible()
    assert await page.evaluate("document.documentElement.lang") == "pt-BR"
    await page.get_by_role("radio", name="English").click()
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()
    assert await page.evaluate("document.documentElement.lang") == "en"
    await page.reload()
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()


async def test_the_theme_is_the_systems_and_another_when_it_is_chosen(windows: Windows, network: Proxy) -> None:
    url = f"{network.http_url}/console/#/use"
    page = (await windows("use", url, script=console.WITH_KEY, color_scheme="dark")).page
    await expect(page.get_by_role("heading", name="Tools")).to_be_visible()
    shown = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(shown)
    await page.get_by_role("radio", name="Light").click()
    assert await page.evaluate(shown) != dark
    await page.get_by_role("radio", name="As the system").click()
    assert await page.evaluate(shown) == dark
