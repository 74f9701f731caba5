"""A page loses its network and comes back: recovered where the client knows how, and with a way where not."""

from __future__ import annotations

from typing import Any

import pytest

from publisher import organization
from tests.support.browsers import TRANSPORTS, Browser, Browsers, Version
from tests.support.publisher_process import PublisherProcess
from tests.support.pytake import as_seen, incoming_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant

AWAY_MS = 250
"""Long enough that what is published meanwhile is missed."""
OLD: list[Version] = ["4.0", "4.5"]


def _open(browsers: Browsers, replica: Replica, tenant: Tenant, version: Version, transport: str) -> Browser:
    away = {"reconnectionDelay": AWAY_MS, "reconnectionDelayMax": AWAY_MS}
    page = browsers(replica.url, tenant.token(), version=version, transports=TRANSPORTS[transport], **away)
    page.connected()
    return page


def _lose(page: Browser) -> None:
    times = len(page.seen("disconnect")) + 1
    page.cut()
    page.wait("disconnect", times=times)


def _publish(backend: PublisherProcess, tenant: Tenant, count: int) -> list[dict[str, Any]]:
    messages = [incoming_message(tenant.conversation, f"{n}") for n in range(count)]
    for message in messages:
        backend.send("message_new", tenant.id, message)
    backend.call("unsent")
    return [as_seen(message) for message in messages]


def assert_seen_exactly(
    page: Browser, backend: PublisherProcess, tenant: Tenant, expected: list[dict[str, Any]]
) -> None:
    """Everything that is under way has arrived, and it is `expected` in this order."""
    backend.call("emit", tenant.id, "end", {}, to=[organization(tenant.id)])
    page.wait_for("end")
    assert page.events("message:new") == expected


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_newest_client_recovers_what_it_missed_once_and_in_order(
    browsers: Browsers, replica: Replica, backend: PublisherProcess, tenant: Tenant, transport: str
) -> None:
    page = _open(browsers, replica, tenant, "newest", transport)
    page.join(tenant.conversation)
    before = _publish(backend, tenant, 3)
    page.wait_for("message:new", times=3)
    _lose(page)
    missed = _publish(backend, tenant, 20)
    first, second = page.connected(), page.connected(times=2)
    assert second["recovered"] is True
    assert (second["sid"], second["pid"]) == (first["sid"], first["pid"])
    after = _publish(backend, tenant, 3)
    assert_seen_exactly(page, backend, tenant, before + missed + after)
    assert [data["recovered"] for data in page.events("connected")] == [False, True]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_five_losses_in_a_row_lose_nothing(
    browsers: Browsers, replica: Replica, backend: PublisherProcess, tenant: Tenant, transport: str
) -> None:
    page = _open(browsers, replica, tenant, "newest", transport)
    page.join(tenant.conversation)
    expected = []
    for n in range(5):
        _lose(page)
        expected += _publish(backend, tenant, n)
        page.connected(times=n + 2)
    assert [report["recovered"] for report in page.seen("connect")] == [False, *[True] * 5]
    assert_seen_exactly(page, backend, tenant, expected)


def test_a_page_that_never_got_an_event_recovers(
    browsers: Browsers, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = _open(browsers, replica, tenant, "newest", "websocket")
    assert page.call("join_conversation", {"conversation_id": tenant.conversation})["ok"]
    _lose(page)
    missed = _publish(backend, tenant, 3)
    assert page.connected(times=2)["recovered"] is True
    assert_seen_exactly(page, backend, tenant, missed)


def test_a_recovered_page_still_types_and_leaves(
    browsers: Browsers, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = _open(browsers, replica, tenant, "newest", "websocket")
    page.join(tenant.conversation)
    _lose(page)
    page.connected(times=2)
    conversation = {"conversation_id": tenant.conversation}
    assert page.call("typing_start", conversation) == {"ok": True}
    assert page.call("leave_conversation", conversation)["ok"]
    _publish(backend, tenant, 1)
    assert_seen_exactly(page, backend, tenant, [])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", OLD)
def test_an_old_client_comes_back_as_new_and_catches_up_with_since(
    browsers: Browsers,
    replica: Replica,
    backend: PublisherProcess,
    tenant: Tenant,
    version: Version,
    transport: str,
) -> None:
    page = _open(browsers, replica, tenant, version, transport)
    page.join(tenant.conversation)
    _publish(backend, tenant, 2)
    page.wait_for("message:new", times=2)
    seen = page.report_of("message:new", times=2)["args"][-1]
    _lose(page)
    missed = _publish(backend, tenant, 5)
    first, second = page.connected(), page.connected(times=2)
    assert second["recovered"] is False
    assert second["sid"] != first["sid"]
    answer = page.call("join_conversation", {"conversation_id": tenant.conversation, "since": seen})
    assert [event["data"] for event in answer["events"]] == missed
    assert answer["complete"] is True
    after = _publish(backend, tenant, 1)
    page.wait_for("message:new", times=3)
    assert page.events("message:new")[2:] == after


def test_a_page_that_disconnected_itself_begins_anew(
    browsers: Browsers, replica: Replica, backend: PublisherProcess, tenant: Tenant
) -> None:
    page = _open(browsers, replica, tenant, "newest", "websocket")
    page.join(tenant.conversation)
    page.disconnect()
    page.wait("disconnect")
    page.connect()
    assert page.connected(times=2)["recovered"] is False
    assert page.events("connected")[1]["reason"] == "unknown"
    _publish(backend, tenant, 1)
    assert_seen_exactly(page, backend, tenant, [])
