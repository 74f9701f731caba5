"""The paths of PyTake's three call sites, from the publisher's process to the pages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from publisher import Receipt, campaign, conversation, organization, user
from tests.e2e.conftest import note_latency
from tests.support.browsers import TRANSPORTS, VERSIONS, Browser, Browsers, Version, now
from tests.support.publisher_process import Failed, PublisherProcess
from tests.support.pytake import as_seen, incoming_message, sent_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.tokens import new_id

MATRIX = [(version, transport) for version in VERSIONS for transport in TRANSPORTS]


class Room:
    """A conversation that two pages of Alice's and one of Bruno's show."""

    def __init__(self, pages: list[Browser], tenant: Tenant) -> None:
        self.pages = pages
        self.alice, self.alices_other, self.bruno = pages
        self.tenant = tenant
        for page in pages:
            page.connected()
            page.join(tenant.conversation)


def _open(browsers: Browsers, replica: Replica, tenant: Tenant, version: Version, transport: str) -> Room:
    users = (tenant.alice, tenant.alice, tenant.bruno)
    chosen = {"version": version, "transports": TRANSPORTS[transport]}
    return Room([browsers(replica.url, tenant.token(who), **chosen) for who in users], tenant)


@pytest.fixture(params=MATRIX, ids=["-".join(pair) for pair in MATRIX])
def room(request: pytest.FixtureRequest, browsers: Browsers, replica: Replica, tenant: Tenant) -> Room:
    """The conversation, over every client and transport."""
    return _open(browsers, replica, tenant, *request.param)


@pytest.fixture
def quick_room(browsers: Browsers, replica: Replica, tenant: Tenant) -> Room:
    """The conversation, over one client and transport."""
    return _open(browsers, replica, tenant, "newest", "websocket")


@pytest.fixture(params=["backend", "worker"])
def publisher(request: pytest.FixtureRequest) -> PublisherProcess:
    """Both kinds of publisher."""
    process: PublisherProcess = request.getfixturevalue(request.param)
    return process


def assert_seen_once(pages: list[Browser], publisher: PublisherProcess, tenant: Tenant, expected: Any) -> None:
    """What all pages have seen of `message:new` is `expected`, also once everything under way has arrived."""
    publisher.call("emit", tenant.id, "end", {}, to=[organization(tenant.id)])
    for page in pages:
        page.wait_for("end")
        assert page.events("message:new") == expected


def test_a_message_reaches_the_same_users_other_page_and_another_user_once(
    room: Room, publisher: PublisherProcess
) -> None:
    message = incoming_message(room.tenant.conversation)
    began = now()
    receipt = publisher.call("message_new", room.tenant.id, message)
    for page in room.pages:
        page.wait_for("message:new")
        assert page.report_of("message:new")["args"] == [as_seen(message), receipt.offset]
    note_latency(began, *room.pages, event="message:new")
    assert_seen_once(room.pages, publisher, room.tenant, [as_seen(message)])


def test_send_message_then_its_statuses(room: Room, backend: PublisherProcess) -> None:
    tenant, message = room.tenant, sent_message(room.tenant.conversation)
    backend.call("message_new", tenant.id, message)
    for n, status in enumerate(("delivered", "read"), 1):
        at = datetime.now(UTC)
        began = now()
        backend.call("message_status", tenant.id, UUID(tenant.conversation), message["id"], status, at)
        expected = {
            "message_id": str(message["id"]),
            "status": status,
            "timestamp": at.isoformat().replace("+00:00", "Z"),
            "conversation_id": tenant.conversation,
        }
        for page in room.pages:
            page.wait_for("message:status", times=n)
            assert page.events("message:status")[-1] == expected
        note_latency(began, *room.pages, event="message:status")
    for page in room.pages:
        assert page.events("message:new") == [as_seen(message)]
        assert [data["status"] for data in page.events("message:status")] == ["delivered", "read"]


def test_a_whole_conversation_arrives_in_order(room: Room, worker: PublisherProcess) -> None:
    cid = room.tenant.conversation
    messages = [(incoming_message if n % 3 else sent_message)(cid, f"{n}") for n in range(30)]
    for message in messages:
        worker.send("message_new", room.tenant.id, message)
    assert_seen_once(room.pages, worker, room.tenant, [as_seen(message) for message in messages])


def test_a_status_never_goes_back(quick_room: Room, publisher: PublisherProcess) -> None:
    tenant, message_id = quick_room.tenant, uuid4()
    for status, duplicate in (("sent", False), ("read", False), ("delivered", True), ("read", True)):
        receipt = publisher.call("message_status", tenant.id, tenant.conversation, message_id, status)
        assert receipt.duplicate is duplicate
    publisher.call("message_status", tenant.id, tenant.conversation, message_id, "failed")
    quick_room.bruno.wait_for("message:status", times=3)
    assert [data["status"] for data in quick_room.bruno.events("message:status")] == ["sent", "read", "failed"]


def test_a_webhook_that_comes_twice_is_shown_once(quick_room: Room, publisher: PublisherProcess) -> None:
    message = incoming_message(quick_room.tenant.conversation)
    first = publisher.call("message_new", quick_room.tenant.id, message)
    again = publisher.call("message_new", quick_room.tenant.id, message)
    assert again == Receipt(first.offset, duplicate=True)
    assert_seen_once(quick_room.pages, publisher, quick_room.tenant, [as_seen(message)])


def test_skip_sid_leaves_out_the_senders_page_alone(room: Room, publisher: PublisherProcess) -> None:
    message = sent_message(room.tenant.conversation)
    sid = room.alice.seen("connect")[0]["sid"]
    publisher.call("message_new", room.tenant.id, message, skip_sid=sid)
    assert_seen_once(room.pages[1:], publisher, room.tenant, [as_seen(message)])
    assert_seen_once([room.alice], publisher, room.tenant, [])


def test_overlapping_rooms_give_one_event(quick_room: Room, publisher: PublisherProcess) -> None:
    tenant = quick_room.tenant
    talks, users = map(conversation, (tenant.conversation, new_id())), map(user, (tenant.alice, tenant.bruno))
    to = [*talks, organization(tenant.id), *users]
    publisher.call("emit", tenant.id, "message:new", {"n": 1}, to=to)
    assert_seen_once(quick_room.pages, publisher, tenant, [{"n": 1}])


def test_a_users_events_reach_all_pages_of_that_user_and_nobody_else(
    quick_room: Room, publisher: PublisherProcess
) -> None:
    tenant = quick_room.tenant
    notification = {
        "notification_id": uuid4(),
        "type": "assignment",
        "subject": "Nova conversa",
        "message": "Uma conversa é sua",
        "metadata": {"conversation_id": UUID(tenant.conversation)},
        "created_at": datetime.now(UTC),
    }
    publisher.call("unread_update", tenant.id, UUID(tenant.alice), UUID(tenant.conversation), 3)
    publisher.call("notification_new", tenant.id, tenant.alice, notification)
    for page in (quick_room.alice, quick_room.alices_other):
        page.wait_for("notification:new")
        unread = {"conversation_id": tenant.conversation, "unread_count": 3}
        assert page.events("conversation:unread_update") == [unread]
        seen = page.events("notification:new")[0]
        assert seen["notification_id"] == str(notification["notification_id"])
        assert seen["metadata"] == {"conversation_id": tenant.conversation}
    assert_seen_once([quick_room.bruno], publisher, tenant, [])
    assert not quick_room.bruno.events("conversation:unread_update")
    assert not quick_room.bruno.events("notification:new")


def test_a_campaigns_progress_reaches_those_who_watch_it(quick_room: Room, publisher: PublisherProcess) -> None:
    tenant, campaign_id = quick_room.tenant, uuid4()
    answer = quick_room.alice.call("join_room", {"room": campaign(campaign_id)})
    assert answer["ok"], answer
    progress = {
        "campaign_name": "Natal",
        "status": "running",
        "progress": Decimal("12.5"),
        "stats": {"sent": 125, "failed": 0},
    }
    publisher.call("campaign_progress", tenant.id, campaign_id, progress)
    seen = quick_room.alice.wait_for("campaign:progress")
    assert seen["campaign_id"] == str(campaign_id)
    assert seen["stats"] == {"sent": 125, "failed": 0}
    assert datetime.fromisoformat(seen["timestamp"]).tzinfo
    assert_seen_once([quick_room.bruno], publisher, tenant, [])
    assert not quick_room.bruno.events("campaign:progress")


def test_an_event_of_the_backends_own_arrives_as_it_was_given(
    quick_room: Room, publisher: PublisherProcess
) -> None:
    data = {"text": 'quotes " and \u2028, 漢字, 🙂, </script>', "none": None, "deep": [[{"n": 2**53 - 1}]]}
    publisher.call(
        "emit", quick_room.tenant.id, "inbox:moved", data, to=conversation(quick_room.tenant.conversation)
    )
    for page in quick_room.pages:
        assert page.wait_for("inbox:moved") == data


def test_a_large_event_arrives_whole(room: Room, backend: PublisherProcess) -> None:
    # Text of several bytes a letter: sizes are counted in bytes here and in letters there.
    data = {"text": "ação 漢字 🙂 " * 20_000}
    backend.call("emit", room.tenant.id, "report:ready", data, to=conversation(room.tenant.conversation))
    for page in room.pages:
        assert page.wait_for("report:ready") == data


def test_a_bad_argument_raises_at_the_call(publisher: PublisherProcess, tenant: Tenant) -> None:
    with pytest.raises(Failed, match="organization_id must be a UUID") as failed:
        publisher.call("message_new", "pytake", incoming_message(tenant.conversation))
    assert failed.value.kind == "InvalidEvent"
