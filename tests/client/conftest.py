"""The browser client, installed and built once, and pages that use it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.client.pages import Page, Pages
from tests.e2e.conftest import Tenant
from tests.support import node
from tests.support.environment import ROOT
from tests.support.proxy import Proxy
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica, replica_factory

CLIENT = ROOT / "gateway" / "client"
OLDEST = 24
"""Of Node: what builds and tests the package needs newer ones than who uses it."""
BUILD_S = 60.0
NO_REGISTRY = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|E40[134]|no Node from version")
API_KEY = "key-of-the-browser-client-tests"


class Package(NamedTuple):
    """The package, installed and built."""

    node: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of its tools, or a script with node; the caller judges its status."""
        tool = CLIENT / "node_modules" / ".bin" / command[0]
        arguments = [str(tool), *command[1:]] if tool.exists() else list(command)
        path = f"{self.node.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(self.node), *arguments],
            cwd=CLIENT,
            env=os.environ | {"PATH": path, "NO_COLOR": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )

    def npm(self, *arguments: str) -> str:
        """Run npm, without scripts; return what it printed."""
        npm = node.find(OLDEST).npm
        done = subprocess.run(
            [*npm, *arguments, "--ignore-scripts"],
            cwd=CLIENT,
            env=os.environ | {"PATH": f"{self.node.parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def package() -> Package:
    """Install and build the package; skipped where npm's packages can't be had."""
    try:
        package = Package(node.installed(CLIENT, OLDEST))
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        if not NO_REGISTRY.search(str(error)):
            raise
        pytest.skip(f"the browser client's packages can't be installed here: {str(error)[-300:]}")
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


@pytest.fixture
def tenant() -> Tenant:
    """An organization of the test's own."""
    return Tenant()


@pytest.fixture(scope="session")
def stage_redis() -> Iterator[EmbeddedRedis]:
    """The Redis that all tests share, each with a tenant of its own."""
    with EmbeddedRedis() as server:
        yield server


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
def backend(stage_redis: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend, in another process."""
    process = PublisherProcess(stage_redis.url)
    yield process
    assert process.close() == 0


@pytest.fixture(scope="session")
def browser(package: Package) -> Iterator[Pages]:
    """The process in which all pages run."""
    process = Pages(package.node)
    yield process
    process.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def pages(browser: Pages) -> Iterator[OpenPage]:
    """Open pages: `pages(url, typingCheckMs=500)`; they disconnect after the test."""
    opened: list[Page] = []

    def open_page(url: str, **options: object) -> Page:
        opened.append(browser.open(url, **options))
        return opened[-1]

    yield open_page
    for page in opened:
        page.close()
