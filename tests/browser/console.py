"""The console: built once from its sources, and its view "Try it" as a user sees it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Locator, expect

from gateway.console import build as builder
from gateway.console.build import WEB
from gateway.console.shell import DIST, INDEX
from tests.browser.window import Window
from tests.support import node
from tests.support.environment import ROOT

BUILT = WEB / "node_modules" / ".built"
"""What the page was built from, as a hash."""
API_KEY = "key-of-the-console-in-browser-tests"
WITH_KEY = f"if (origin !== 'null') sessionStorage.setItem('console.key', {json.dumps(API_KEY)})"


def build() -> None:
    """Build the page unless it is there as its sources are; skips where npm's packages can't be had."""
    wanted = _hash([WEB / "package-lock.json", WEB / "vite.config.ts", WEB / "index.html"])
    with node.alone(WEB):
        if BUILT.exists() and BUILT.read_text() == wanted and (DIST / INDEX).exists():
            return
        with node.needed("the console"):
            builder.build()
        BUILT.write_text(wanted)


def _hash(files: list[Path]) -> str:
    sources = [WEB / "src", WEB / "public", ROOT / "gateway" / "client" / "src"]
    every = files + [path for folder in sources for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in every)).hexdigest()


@dataclass(frozen=True)
class Part:
    """One of the three: an agent's window, or the phone."""

    box: Locator

    @property
    def messages(self) -> Locator:
        """Its messages, oldest first."""
        return self.box.get_by_role("log").locator("[data-message]")

    async def write(self, text: str) -> None:
        """Send a message."""
        field = self.box.get_by_role("textbox")
        await field.fill(text)
        await field.press("Enter")

    async def shows(self, *texts: str) -> None:
        """Wait until these messages, and no others, are to be seen, in this order."""
        await expect(self.messages).to_contain_text(list(texts))

    def tick(self, text: str, status: str) -> Locator:
        """Find a message's ticks, if they say this."""
        return self.messages.filter(has_text=text).get_by_role("img", name=status, exact=True)

    async def ticks(self, text: str, status: str) -> None:
        """Wait until a message's ticks say this."""
        await expect(self.tick(text, status)).to_be_visible()


@dataclass(frozen=True)
class Agent(Part):
    """An agent's window."""

    @property
    def switch(self) -> Locator:
        """The switch of the network."""
        return self.box.get_by_role("switch")

    async def is_online(self) -> None:
        """Wait until the gateway has let it in."""
        await expect(self.box).to_have_attribute("data-state", "online")

    async def is_away(self) -> None:
        """Wait until it has noticed that there is no connection."""
        await expect(self.box).to_have_attribute("data-state", "connecting")

    async def says(self, *words: str) -> None:
        """Wait for a banner with all these words."""
        for text in words:
            await expect(self.box.get_by_role("status")).to_contain_text(text)

    async def sees(self, colleague: str, presence: str) -> None:
        """Wait until the other agent is online or offline here."""
        await expect(self.box.get_by_role("img", name=f"{colleague} is {presence}")).to_be_visible()

    async def caught_up(self, *texts: str) -> None:
        """Wait until these messages, and no others, are marked as caught up."""
        await expect(self.messages.filter(has_text="caught up")).to_contain_text(list(texts))


class TryIt:
    """The view, in one window."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.page = window.page
        self.alice = Agent(self.page.locator("section[data-agent=Alice]"))
        self.bruno = Agent(self.page.locator("section[data-agent=Bruno]"))
        self.phone = Part(self.page.locator("section[data-phone]"))

    async def is_ready(self) -> TryIt:
        """Wait until both agents are in the conversation, and see each other."""
        for agent, other in ((self.alice, "Bruno"), (self.bruno, "Alice")):
            await agent.is_online()
            looking = agent.box.get_by_text(f"{other} is also looking at this")
            await expect(looking).to_have_count(1)
        return self

    async def turn_phone(self, state: str) -> None:
        """Turn the phone "Off", "In the pocket" or "Open"."""
        await self.page.get_by_role("radio", name=state, exact=True).click()
