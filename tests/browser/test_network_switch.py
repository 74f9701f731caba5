"""`gateway dev` and its console, as who tries it meets it: cut a network, see what was missed come back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from gateway.dev.embedded_redis import free_port
from tests.browser import console
from tests.browser.conftest import Windows
from tests.browser.console import TryIt
from tests.support.command_line import running
from tests.support.tokens import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `gateway dev` serves its console."""
    console.build()
    with running(tmp_path_factory.mktemp("dev"), "dev", "--port", str(free_port())) as command:
        found = re.search(r"http://127\.0\.0\.1:\d+/console", command.printed("Ctrl-C ends it."))
        assert found is not None
        yield found[0]


async def opened(windows: Windows, address: str) -> TryIt:
    """Open the console with a conversation of the test's own."""
    return await TryIt(await windows("console", f"{address}?conversation={new_id()}#/try")).is_ready()


async def test_what_came_while_the_network_was_cut_is_caught_up_in_order_and_once(
    windows: Windows, address: str
) -> None:
    view = await opened(windows, address)
    await view.phone.write("before")
    await view.alice.shows("before")
    await view.alice.switch.click()
    await view.alice.says("Offline", "nothing missed yet")
    missed = ["one", "two", "three"]
    for text in missed:
        await view.phone.write(text)
    await view.bruno.shows("before", *missed)
    await view.alice.says("Offline", "3 messages missed")
    await view.alice.shows("before")
    await view.alice.switch.click()
    await view.alice.says("Back online", "3 messages caught up")
    await view.phone.write("after")
    await view.alice.shows("before", *missed, "after")
    await view.alice.caught_up(*missed)
    assert await view.bruno.messages.filter(has_text="caught up").count() == 0


async def test_a_cut_network_stays_cut_until_it_is_switched_on(windows: Windows, address: str) -> None:
    view = await opened(windows, address)
    await view.alice.switch.click()
    await expect(view.bruno.box.get_by_role("img", name="Alice is offline")).to_be_visible()
    asked = [url for url in view.window.requests if "/socket.io/" in url]
    await view.bruno.sees("Alice", "offline")
    # The client tries to come back each second; nothing of that leaves the window.
    await view.phone.write("still away")
    await view.bruno.shows("still away")
    assert [url for url in view.window.requests if "/socket.io/" in url] == asked
    await view.alice.switch.click()
    await view.bruno.sees("Alice", "online")
    await view.alice.caught_up("still away")


async def test_what_is_written_without_a_network_goes_out_with_it_and_once(windows: Windows, address: str) -> None:
    view = await opened(windows, address)
    await view.alice.switch.click()
    await view.alice.write("patience")
    await view.alice.ticks("patience", "waiting for the network")
    await view.bruno.write("I am quicker")
    await view.bruno.shows("I am quicker")
    await view.alice.switch.click()
    await view.alice.ticks("patience", "read")
    for part in (view.alice, view.bruno, view.phone):
        await part.shows("I am quicker", "patience")


async def test_several_cuts_in_a_row_lose_nothing(windows: Windows, address: str) -> None:
    view = await opened(windows, address)
    sent: list[str] = []
    for cut in range(3):
        await view.alice.switch.click()
        await view.alice.is_away()
        sent.append(f"cut {cut}")
        await view.bruno.write(sent[-1])
        await view.bruno.shows(*sent)
        await view.alice.switch.click()
        await view.alice.is_online()
    await view.alice.shows(*sent)
    await view.alice.caught_up(*sent)


async def test_typing_ends_with_the_connection_of_the_typist(windows: Windows, address: str) -> None:
    view = await opened(windows, address)
    typing = view.bruno.box.get_by_text("Alice is typing…")
    await view.alice.box.get_by_role("textbox").press_sequentially("Well")
    await expect(typing).to_be_visible()
    await view.alice.switch.click()
    await expect(typing).to_be_hidden()
