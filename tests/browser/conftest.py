"""Chromium, windows that fail their test for an error in a page, and the stage of the plain page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from gateway.console.demo_data import ALICE, BRUNO, ORGANIZATION
from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher
from tests.browser import chromium, console, latencies
from tests.browser.console import TryIt
from tests.browser.site import Site
from tests.browser.window import ARTEFACTS, Window, closed, opened
from tests.support import node
from tests.support.proxy import Proxy
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, replica_factory
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE_S

__all__ = ["stage_redis"]

FAILED = pytest.StashKey[bool]()

expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test failed, for its windows."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long messages took from one window into another; no test depends on it."""
    for line in latencies.summary():
        terminalreporter.write_line(line)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, once for all tests; skipped where there is none."""
    path = chromium.executable()
    if path is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    async with chromium.launched(path) as launched:
        yield launched


@pytest.fixture
def artefacts(request: pytest.FixtureRequest) -> Path:
    """The folder of this test's pictures."""
    return ARTEFACTS / re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")


Windows = Callable[..., Awaitable[Window]]


@pytest_asyncio.fixture(loop_scope="session")
async def behind_windows() -> AsyncIterator[AsyncExitStack]:
    """What the test's windows are connected through; it ends when they are closed, so that none sees it go."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def windows(
    browser: Browser, artefacts: Path, request: pytest.FixtureRequest, behind_windows: AsyncExitStack
) -> AsyncIterator[Windows]:
    """Open windows: `await windows("alice", url, phone=True)`; an error in one of them fails the test."""
    every: list[Window] = []

    async def open_window(name: str, url: str, **options: Any) -> Window:
        every.append(await opened(browser, name, url, **options))
        return every[-1]

    yield open_window
    troubles = [f"{window.name}: {text}" for window in every for text in window.troubles]
    failed = request.node.stash.get(FAILED, False) or bool(troubles)
    for window in every:
        await closed(window, artefacts, failed=failed)
    assert not troubles, "\n".join(troubles)


# -- the plain page


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(stage_redis: EmbeddedRedis) -> AsyncIterator[Site]:
    """The site with the plain page, and its backend."""
    node.installed()
    site = await Site(stage_redis.url).start()
    yield site
    await site.stop()


@pytest.fixture(scope="session")
def replica(stage_redis: EmbeddedRedis, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """The replica that pages connect to; another origin than the site's."""
    for start in replica_factory(tmp_path_factory.mktemp("browser")):
        yield start(stage_redis.url, GATEWAY_CORS_ORIGINS=site.url, GATEWAY_PRESENCE_GRACE_S="0.5")


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(replica: Replica, behind_windows: AsyncExitStack) -> Proxy:
    """The network between the pages and the replica."""
    return await behind_windows.enter_async_context(Proxy(replica.port))


@pytest.fixture
def events(site: Site) -> AsyncPublisher:
    """A backend beside the one that the console plays."""
    return site.events


# -- the console


@pytest.fixture
def conversation() -> Tenant:
    """A conversation of the test's own, in the organization that the console tries things in."""
    return Tenant(id=ORGANIZATION, alice=ALICE, bruno=BRUNO)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def wire() -> AsyncIterator[Proxy]:
    """The network between the console and its gateway; it is where the console comes from, too."""
    async with Proxy() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def console_replica(
    stage_redis: EmbeddedRedis, wire: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    """The gateway that serves the console."""
    console.build()
    settings = {
        "GATEWAY_API_KEYS": console.API_KEY,
        "GATEWAY_CONSOLE_TOKENS": "true",
        "GATEWAY_CORS_ORIGINS": wire.http_url,
        "GATEWAY_PRESENCE_GRACE_S": "0.5",
    }
    for start in replica_factory(tmp_path_factory.mktemp("console")):
        replica = start(stage_redis.url, **settings)
        wire.point_to(replica.port)
        yield replica


@pytest_asyncio.fixture(loop_scope="session")
async def network(wire: Proxy, console_replica: Replica, behind_windows: AsyncExitStack) -> Proxy:
    """The console's network, whole again after the test."""

    async def mend() -> None:
        wire.forbid(None)
        await wire.refuse()
        await wire.start()

    behind_windows.push_async_callback(mend)
    return wire


TryIts = Callable[..., Awaitable[TryIt]]


@pytest.fixture
def try_it(windows: Windows, network: Proxy, conversation: Tenant) -> TryIts:
    """Open the console: `await try_it("first", phone=True)` gives it once both agents are connected."""

    async def open_console(name: str = "console", **options: Any) -> TryIt:
        url = f"{network.http_url}/console/?conversation={conversation.conversation}#/try"
        script = console.WITH_KEY + ";" + options.pop("script", "")
        return await TryIt(await windows(name, url, script=script, **options)).is_ready()

    return open_console
