"""The machine's own Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages behind others are as awake as the one in front: tests look at several at a time.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]


def executable() -> str | None:
    """Find Chromium on the PATH; None where there is none."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


@asynccontextmanager
async def launched(path: str) -> AsyncIterator[Browser]:
    """Start it without a window, with nothing from earlier runs."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        await browser.close()
