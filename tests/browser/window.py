"""Browser windows that notice what goes wrong in them, and leave a picture behind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.support.environment import ROOT
from tests.support.waiting import PATIENCE_S, until

ARTEFACTS = ROOT / ".artifacts" / "browser"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
BROKEN_NETWORK = r"net::ERR_|WebSocket connection to .* failed|blocked by CORS policy"
"""What Chromium itself says in the console of a page that can't reach its server."""
REFUSALS = r"the server responded with a status of 4\d\d"
"""The same of one that is refused something."""


@dataclass
class Window:
    """One window with cookies and storage of its own."""

    name: str
    context: BrowserContext
    page: Page
    frames: list[str] = field(default_factory=list)
    """What came over its websockets, as text."""
    requests: list[str] = field(default_factory=list)
    """What it asked for over HTTP."""
    _errors: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note every error, violations of the content security policy among them, and what comes and goes."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._on_frame))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _on_frame(self, frame: str | bytes) -> None:
        self.frames.append(frame if isinstance(frame, str) else frame.decode())

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self._errors.append(message.text)

    def expect_broken_network(self) -> None:
        """Forgive what the browser says when the test breaks its network, before and after this."""
        self._expected.append(BROKEN_NETWORK)

    def expect_refusals(self) -> None:
        """Forgive what the browser says when the server refuses something."""
        self._expected.append(REFUSALS)

    @property
    def troubles(self) -> list[str]:
        """Errors of its console and its scripts so far."""
        return [text for text in self._errors if not any(re.search(one, text) for one in self._expected)]

    async def value(self, expression: str) -> Any:
        """Evaluate JavaScript."""
        return await self.page.evaluate(expression)

    async def wait(self, expression: str, what: str = "") -> Any:
        """Wait until JavaScript gives something true, and give that."""
        return await until(lambda: self.value(expression), PATIENCE_S, what or expression)

    async def picture(self, path: Path) -> Path:
        """Keep a picture of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path, animations="disabled", caret="initial")
        return path


async def opened(
    browser: Browser, name: str, url: str, *, phone: bool = False, script: str = "", **options: Any
) -> Window:
    """Open a window; `options` are those of Playwright's `new_context`, such as `locale` or `color_scheme`.

    `script` is JavaScript that runs before any of the page's.
    """
    usual: dict[str, Any] = {"locale": "en-US", "viewport": PHONE if phone else DESKTOP, "has_touch": phone}
    context = await browser.new_context(**usual | options)
    await context.add_init_script(script)
    await context.tracing.start(snapshots=True)
    window = Window(name, context, await context.new_page())
    window.watch()
    await window.page.goto(url)
    return window


async def closed(window: Window, folder: Path, *, failed: bool) -> None:
    """Close it, with a picture of its end and, after a failure, a trace (`playwright show-trace`)."""
    await window.picture(folder / f"{window.name}.png")
    trace = folder / f"{window.name}.zip" if failed else None
    await window.context.tracing.stop(path=trace)
    await window.context.close()
