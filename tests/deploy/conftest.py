"""Fixtures for the deployment's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.deploy.haproxy import Haproxy
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Changes, Proxies, Proxy
from tests.deploy.traefik import Traefik
from tests.deploy.upstream import upstreams

__all__ = ["make_proxy", "proxies", "proxy_kind", "upstreams"]

KINDS: dict[str, type[Proxy]] = {kind.name: kind for kind in (Nginx, Haproxy, Traefik)}


@pytest.fixture(params=KINDS)
def proxy_kind(request: pytest.FixtureRequest) -> type[Proxy]:
    """Each kind of proxy; a test that is for one of them says so with `only(...)`."""
    return KINDS[request.param]


def only(*kinds: type[Proxy]) -> pytest.MarkDecorator:
    """Run the test with these kinds of proxies alone."""
    return pytest.mark.parametrize("proxy_kind", kinds, ids=[kind.name for kind in kinds])


@pytest.fixture
def make_proxy(tmp_path: Path, proxy_kind: type[Proxy]) -> Callable[..., Proxy]:
    """Make a proxy without starting it: `make_proxy([port, …], {"75s": "1s"})`."""

    def make(ports: Iterable[int], changes: Changes | None = None) -> Proxy:
        proxy_kind.find()
        folder = tmp_path / proxy_kind.name
        folder.mkdir(exist_ok=True)
        return proxy_kind(folder, ports, changes or {})

    return make


@pytest.fixture
def proxies(make_proxy: Callable[..., Proxy]) -> Iterator[Proxies]:
    """Start a proxy, as `make_proxy` makes it."""
    started: list[Proxy] = []

    def start(ports: Iterable[int], changes: Changes | None = None) -> Proxy:
        started.append(make_proxy(ports, changes))
        return started[-1].start()

    yield start
    for proxy in started:
        proxy.stop()
