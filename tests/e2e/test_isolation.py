"""Nothing published for one organization reaches a page of another, whatever that page asks for."""

from __future__ import annotations

import json

import pytest
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import campaign, conversation, organization, parse_offset, user
from tests.support.browsers import VERSIONS, Browser, Browsers, Version
from tests.support.publisher_process import Failed, PublisherProcess
from tests.support.pytake import as_seen, incoming_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.tokens import mint, new_id

Pages = tuple[Browser, Browser]
OF_PEOPLE = ("conversation:viewers", "user:status", "user:statuses")


@pytest.fixture
def theirs(tenant: Tenant) -> Tenant:
    """Another organization, with a user of the same id; it knows the conversation's id."""
    return Tenant(id=new_id(), alice=tenant.alice, conversation=tenant.conversation)


@pytest.fixture(params=VERSIONS)
def pages(
    request: pytest.FixtureRequest, browsers: Browsers, replica: Replica, tenant: Tenant, theirs: Tenant
) -> Pages:
    """Our page and theirs, both in the conversation as far as they can tell."""
    version: Version = request.param
    ours, spy = (browsers(replica.url, mint(tenant.alice, t.id), version=version) for t in (tenant, theirs))
    for page in (ours, spy):
        page.connected()
        page.join(tenant.conversation)
    return ours, spy


def assert_untouched(spy: Browser, backend: PublisherProcess, theirs: Tenant) -> None:
    """Their page got nothing but what is theirs."""
    backend.call("emit", theirs.id, "end", {}, to=[organization(theirs.id)])
    spy.wait_for("end")
    got = [report["event"] for report in spy.seen("event")]
    assert [name for name in got if name not in ("connected", "joined_conversation", *OF_PEOPLE)] == ["end"]
    for seen in spy.events("conversation:viewers"):
        assert seen["sockets"] == 1, "somebody of another organization is counted among those who look"


def test_joining_another_tenants_conversation_gives_none_of_its_events(
    pages: Pages, backend: PublisherProcess, tenant: Tenant, theirs: Tenant
) -> None:
    ours, spy = pages
    message, campaign_id = incoming_message(tenant.conversation), new_id()
    ours.call("join_room", {"room": campaign(campaign_id)})
    spy.call("join_room", {"room": campaign(campaign_id)})
    backend.call("message_new", tenant.id, message)
    backend.call("message_status", tenant.id, tenant.conversation, message["id"], "read")
    backend.call("unread_update", tenant.id, tenant.alice, tenant.conversation, 1)
    backend.call("campaign_progress", tenant.id, campaign_id, {"progress": 1})
    to = [conversation(tenant.conversation), user(tenant.alice), organization(tenant.id)]
    backend.call("emit", tenant.id, "all:rooms", {}, to=to)
    ours.wait_for("all:rooms")
    assert len([event for event in ours.seen("event") if event["event"] not in OF_PEOPLE]) == 7
    assert_untouched(spy, backend, theirs)


def test_raw_publishes_reach_the_tenant_in_the_channels_name_and_nobody_else(
    pages: Pages,
    backend: PublisherProcess,
    stage_redis: EmbeddedRedis,
    tenant: Tenant,
    theirs: Tenant,
) -> None:
    ours, spy = pages
    message = as_seen(incoming_message(tenant.conversation))
    body = json.dumps(["message:new", message]).encode()
    rooms = [conversation(tenant.conversation), user(tenant.alice), organization(tenant.id)]
    with redis.Redis.from_url(stage_redis.url) as raw:
        for flag in "erc?":
            for room in rooms:
                last = parse_offset(backend.call("emit", tenant.id, "tick", {}, to=user(new_id())).offset)
                header = f"{last.epoch}-{last.seq + 1} 0 {flag} -\n".encode()
                assert raw.publish(f"rt:{{{tenant.id}}}:room:{room}", header + body) == 1
        foreign = f"rt:{{{theirs.id}}}:room:{organization(tenant.id)}"
        unbraced, of_all = f"rt:{tenant.id}:room:{rooms[0]}", f"rt:{{*}}:room:{rooms[0]}"
        for channel in (unbraced, foreign, of_all, str(rooms[0]), "socketio"):
            assert raw.publish(channel, b"0-0 0 e -\n" + body) == 0
    ours.wait_for("message:new", times=6)
    assert_untouched(spy, backend, theirs)


def test_the_history_of_another_tenants_conversation_is_empty(
    pages: Pages, backend: PublisherProcess, tenant: Tenant, theirs: Tenant
) -> None:
    ours, spy = pages
    receipt = backend.call("message_new", tenant.id, incoming_message(tenant.conversation))
    ours.wait_for("message:new")
    asked = {"conversation_id": tenant.conversation}
    assert len(ours.call("join_conversation", asked | {"history": 10})["events"]) == 1
    assert spy.call("join_conversation", asked | {"history": 10})["events"] == []
    since = spy.call("join_conversation", asked | {"since": receipt.offset.replace("-", "-0")[:40]})
    assert since.get("events", []) == []
    assert_untouched(spy, backend, theirs)


def test_typing_stays_in_the_tenant(
    pages: Pages, backend: PublisherProcess, tenant: Tenant, theirs: Tenant
) -> None:
    ours, spy = pages
    assert ours.call("typing_start", {"conversation_id": tenant.conversation})["ok"]
    backend.call("message_new", tenant.id, incoming_message(tenant.conversation))
    ours.wait_for("message:new")
    assert_untouched(spy, backend, theirs)


def test_disconnecting_a_user_leaves_the_namesake_of_another_tenant(
    pages: Pages, backend: PublisherProcess, tenant: Tenant, theirs: Tenant
) -> None:
    ours, spy = pages
    backend.call("leave_room", tenant.id, tenant.alice, conversation(tenant.conversation))
    backend.call("disconnect_user", tenant.id, tenant.alice)
    ours.wait("disconnect")
    assert_untouched(spy, backend, theirs)
    assert not spy.seen("disconnect")


def test_a_publisher_cannot_address_another_tenants_organization(
    backend: PublisherProcess, tenant: Tenant, theirs: Tenant
) -> None:
    with pytest.raises(Failed) as failed:
        backend.call("emit", tenant.id, "x", {}, to=[conversation(tenant.conversation), organization(theirs.id)])
    assert failed.value.kind == "InvalidEvent"
