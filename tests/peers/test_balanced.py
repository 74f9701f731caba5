"""Real clients behind a real nginx that sends each request to the next replica, without stickiness."""

from __future__ import annotations

from itertools import count

import pytest

from publisher import organization
from tests.deploy.conftest import only
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Proxies, Proxy
from tests.peers.conftest import Tenant, Trio
from tests.support.browsers import TRANSPORTS, VERSIONS, Browsers, Version
from tests.support.publisher_process import PublisherProcess
from tests.support.waiting import until_sync

EVENTS, PAGES = 60, 4


@pytest.fixture
def balanced(trio: Trio, proxies: Proxies) -> Proxy:
    """nginx, which takes turns."""
    return proxies([replica.port for replica in trio], {"    hash $remote_addr;\n": ""})


@only(Nginx)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", ["polling", "upgrade"])
def test_each_event_comes_once_through_a_balancer_that_remembers_nothing(
    balanced: Proxy,
    browsers: Browsers,
    backend: PublisherProcess,
    tenant: Tenant,
    version: Version,
    transport: str,
) -> None:
    numbers = count()

    def publish() -> int:
        backend.call("emit", tenant.id, "test:event", number := next(numbers), to=organization(tenant.id))
        return number

    pages = [
        browsers(balanced.url, tenant.token(), version=version, transports=TRANSPORTS[transport])
        for _ in range(PAGES)
    ]
    settled = "upgrade" if transport == "upgrade" else "connect"
    until_sync(lambda: publish() and all(page.seen(settled) and page.seen("connect") for page in pages))
    for _ in range(EVENTS):
        last = publish()
    for page in pages:
        page.wait_for("test:event", lambda number: number == last)
        got = page.events("test:event")
        assert got == list(range(got[0], last + 1))
        assert page.call("ping", {})["ok"]
        assert page.seen("disconnect") == []
