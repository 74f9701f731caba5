"""The browser client, installed and built once, and pages that use it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.client.pages import Page, Pages
from tests.support import node
from tests.support.environment import ROOT
from tests.support.proxy import Proxy
from tests.support.publisher_process import backend
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, replica_factory

__all__ = ["backend", "stage_redis"]

CLIENT = ROOT / "gateway" / "client"
OLDEST = 24
"""Of Node: what builds and tests the package needs newer ones than who uses it."""
BUILD_S = 60.0
API_KEY = "key-of-the-browser-client-tests"


class Package(NamedTuple):
    """The package, installed and built."""

    node: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of its tools, or a script with node; the caller judges its status."""
        tool = CLIENT / "node_modules" / ".bin" / command[0]
        arguments = [str(tool), *command[1:]] if tool.exists() else list(command)
        return self._run([str(self.node), *arguments], NO_COLOR="1", **environment)

    def npm(self, *arguments: str) -> str:
        """Run npm, without scripts; return what it printed."""
        done = self._run([*node.find(OLDEST).npm, *arguments, "--ignore-scripts"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PATH": f"{self.node.parent}{os.pathsep}{os.environ['PATH']}"} | environment
        return subprocess.run(
            command, cwd=CLIENT, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False
        )


@pytest.fixture(scope="session")
def package() -> Package:
    """Install and build the package; skipped where npm's packages can't be had."""
    with node.needed("the browser client"):
        package = Package(node.installed(CLIENT, OLDEST))
    sources = [CLIENT / name for name in ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json")]
    sources += [CLIENT / "tsconfig.build.json", *sorted((CLIENT / "src").iterdir())]
    wanted = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    stamp = CLIENT / "node_modules" / ".built"
    with node.alone(CLIENT):
        if not stamp.exists() or stamp.read_text() != wanted or not (CLIENT / "dist").exists():
            for command in (("vite", "build"), ("tsc", "-p", "tsconfig.build.json")):
                done = package.run(*command)
                assert done.returncode == 0, done.stdout + done.stderr
            stamp.write_text(wanted)
    return package


@pytest.fixture(scope="session")
def replica(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """The replica that they share; people count as gone soon, and tokens end when they say."""
    settings = {
        "GATEWAY_PRESENCE_GRACE_S": "0.2",
        "GATEWAY_TYPING_TIMEOUT_S": "0.5",
        "GATEWAY_JWT_LEEWAY_S": "0",
        "GATEWAY_API_KEYS": API_KEY,
    }
    for start in replica_factory(tmp_path_factory.mktemp("client")):
        yield start(stage_redis.url, **settings)


@pytest_asyncio.fixture
async def proxy(replica: Replica) -> AsyncIterator[Proxy]:
    """The network between the pages and the replica."""
    async with Proxy(replica.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def browser(package: Package) -> Iterator[Pages]:
    """The process in which all pages run."""
    process = Pages(package.node)
    yield process
    assert process.close() == 0, "the pages' process failed; its stderr says why"


OpenPage = Callable[..., Page]


@pytest.fixture
def pages(browser: Pages) -> Iterator[OpenPage]:
    """Open pages: `pages(url, typingCheckMs=500)`; they disconnect after the test.

    `token` or `tokens` has one connect at once, with that token or with a provider of these.
    """
    opened: list[Page] = []

    def open_page(url: str, token: str = "", tokens: Sequence[str | None] = (), **options: object) -> Page:
        page = browser.open(url, **options)
        opened.append(page)
        if tokens:
            page.connect_with(tokens)
        elif token:
            page.connect(token)
        return page

    yield open_page
    for page in opened:
        page.close()
