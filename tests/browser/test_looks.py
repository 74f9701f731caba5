"""Views, light and dark, on a desk and on a phone, in both languages: pictures, and what axe-core finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser import console
from tests.browser.conftest import Windows
from tests.browser.console import TryIt
from tests.browser.window import ARTEFACTS
from tests.support import node
from tests.support.proxy import Proxy
from tests.support.tokens import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS: dict[str, dict[str, Any]] = {
    "desktop-light": {"color_scheme": "light"},
    "desktop-dark-pt": {"color_scheme": "dark", "locale": "pt-BR"},
    "phone-light-pt": {"color_scheme": "light", "locale": "pt-BR", "phone": True},
    "phone-dark": {"color_scheme": "dark", "phone": True},
}
AXE = node.JS / "node_modules" / "axe-core" / "axe.min.js"
SETTLED = """
() => Promise.allSettled(document.getAnimations()
  .filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished))
"""
FOUND = """
async () => {
  const where = ({ target, any }) => `${target} ${any[0]?.message ?? ""}`;
  const { violations } = await axe.run();
  return violations.map(({ id, help, nodes }) => [id, help, ...nodes.slice(0, 3).map(where)].join(" | "));
}
"""


async def judged(page: Page, name: str, look: str) -> None:
    """Keep a picture of the whole page; fail for what axe-core finds, and for what sticks out."""
    path: Path = ARTEFACTS / "looks" / f"{name}-{look}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # What comes in is not to be judged half transparent.
    await page.evaluate(SETTLED)
    await page.screenshot(path=path, full_page=True, animations="disabled")
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    node.installed()
    await page.evaluate(AXE.read_text())
    assert await page.evaluate(FOUND) == []


@pytest.mark.parametrize("look", ["desktop-dark-pt", "phone-light-pt"])
async def test_try_it(windows: Windows, network: Proxy, look: str) -> None:
    url = f"{network.http_url}/console/?conversation={new_id()}#/try"
    view = TryIt(await windows("try", url, script=console.WITH_KEY, **LOOKS[look]))
    await view.alice.is_online()
    await view.bruno.is_online()
    if not LOOKS[look].get("phone"):
        await talked(view)
        await judged(view.page, "try", look)
        return
    await view.alice.write("Bom dia! Seu pedido saiu hoje.")
    for number, part in enumerate(("alice", "phone", "bruno")):
        await view.page.locator("[data-parts]").get_by_role("radio").nth(number).tap()
        if part == "phone":
            await view.phone.write("Que bom, obrigada!")
            await view.phone.shows("Bom dia!", "Que bom")
        await judged(view.page, f"try-{part}", look)


async def talked(view: TryIt) -> None:
    """Have them talk, with a network cut: everything that there is to see."""
    await view.phone.write("Oi! Cadê o meu pedido?")
    await view.alice.shows("Oi!")
    await view.alice.write("Bom dia! Um momento, por favor.")
    await view.bruno.shows("Oi!", "Bom dia!")
    await view.alice.switch.click()
    await view.bruno.write("Saiu hoje, chega amanhã.")
    await view.phone.shows("Oi!", "Bom dia!", "Saiu hoje")
    await view.alice.switch.click()
    await view.alice.shows("Oi!", "Bom dia!", "Saiu hoje")
    await view.alice.is_online()
    await view.bruno.switch.click()
    await view.bruno.is_away()
    await view.phone.write("Obrigada!")
    await view.alice.shows("Oi!", "Bom dia!", "Saiu hoje", "Obrigada!")
    await expect(view.alice.box.locator("[data-status=read]")).to_have_count(2)


# Each view on either screen; light, dark and both languages are each on either.
@pytest.mark.parametrize(
    ("name", "look"),
    [("watch", "desktop-light"), ("watch", "phone-dark"), ("use", "desktop-dark-pt"), ("use", "phone-light-pt")],
)
async def test_the_other_views(windows: Windows, network: Proxy, name: str, look: str) -> None:
    url = f"{network.http_url}/console/#/{name}"
    window = await windows(name, url, script=console.WITH_KEY, **LOOKS[look])
    await expect(window.page.locator("main h2").first).to_be_visible()
    await judged(window.page, name, look)


@pytest.mark.parametrize("look", ["desktop-light", "phone-dark"])
async def test_the_door(windows: Windows, network: Proxy, look: str) -> None:
    window = await windows("door", f"{network.http_url}/console/", **LOOKS[look])
    field = window.page.get_by_label("API key", exact=True)
    await field.fill("no-key-that-is-known-here")
    window.expect_refusals()
    await field.press("Enter")
    await expect(window.page.get_by_role("alert")).to_be_visible()
    await judged(window.page, "door", look)
    await field.fill(console.API_KEY)
    await field.press("Enter")
    await expect(window.page.get_by_role("tab", name="Try it")).to_be_visible()
