"""Real clients behind a real nginx that sends each request to the next replica, without stickiness."""

from __future__ import annotations

import pytest

from publisher import conversation
from tests.deploy.conftest import only
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Proxies, Proxy
from tests.e2e.conftest import Browsers
from tests.peers.conftest import Tenant, Trio
from tests.support.browsers import TRANSPORTS, VERSIONS, Version
from tests.support.publisher_process import PublisherProcess

EVENTS = 60


@pytest.fixture
def balanced(trio: Trio, proxies: Proxies) -> Proxy:
    """nginx, which takes turns."""
    return proxies([replica.port for replica in trio], {"    hash $remote_addr;\n": ""})


@only(Nginx)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", ["polling", "upgrade"])
def test_ac_62_each_event_comes_once_through_a_balancer_that_remembers_nothing(
    balanced: Proxy,
    browsers: Browsers,
    backend: PublisherProcess,
    tenant: Tenant,
    version: Version,
    transport: str,
) -> None:
    page = browsers(balanced.url, tenant.token(), version=version, transports=TRANSPORTS[transport])
    page.connected()
    page.join(tenant.conversation)
    for number in range(EVENTS):
        backend.send("emit", tenant.id, "test:event", number, to=conversation(tenant.conversation))
    page.wait_for("test:event", times=EVENTS)
    assert page.events("test:event") == list(range(EVENTS))
    assert page.call("ping", {})["ok"]
    assert page.seen("disconnect") == []
