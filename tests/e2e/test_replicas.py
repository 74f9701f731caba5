"""Two replicas behind one Redis, with pages on each."""

from __future__ import annotations

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, organization, user
from tests.support.browsers import TRANSPORTS, VERSIONS, Browser, Browsers, Version
from tests.support.client import Clients
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.pytake import as_seen, incoming_message, sent_message
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant, member
from tests.support.tokens import new_id

Cluster = tuple[Replica, Replica]


@pytest.fixture(scope="module")
def cluster(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Cluster:
    """Two replicas."""
    return shared_replicas(shared_redis_server.url), shared_replicas(shared_redis_server.url)


@pytest.fixture(scope="module", params=["async", "blocking"])
def publisher(
    request: pytest.FixtureRequest, shared_redis_server: EmbeddedRedis, shared_publishers: Publishers
) -> PublisherProcess:
    """Both kinds of publisher."""
    return shared_publishers(shared_redis_server.url, request.param)


@pytest.fixture
def pages(cluster: Cluster, browsers: Browsers, tenant: Tenant) -> list[Browser]:
    """Every client over every transport, for two users, at each replica in turn."""
    opened = []
    for n, version in enumerate(VERSIONS):
        for m, transports in enumerate(TRANSPORTS.values()):
            for k, who in enumerate((tenant.alice, tenant.bruno)):
                url = cluster[(n + m + k) % 2].url
                opened.append(browsers(url, tenant.token(who), version=version, transports=transports))
    for page in opened:
        page.connected()
        page.emit("join_conversation", {"conversation_id": tenant.conversation})
    for page in opened:
        page.wait_for("joined_conversation")
    return opened


def _of(user_id: str, pages: list[Browser]) -> list[Browser]:
    return [page for page in pages if page.events("connected")[0]["user_id"] == user_id]


def _settle(pages: list[Browser], publisher: PublisherProcess, tenant: Tenant) -> None:
    publisher.call("emit", tenant.id, "end", {}, to=[organization(tenant.id)])
    for page in pages:
        page.wait_for("end")


def test_every_page_on_every_replica_sees_each_event_once(
    pages: list[Browser], publisher: PublisherProcess, tenant: Tenant
) -> None:
    messages = [(incoming_message if n % 2 else sent_message)(tenant.conversation, f"{n}") for n in range(20)]
    for message in messages:
        publisher.send("message_new", tenant.id, message)
        publisher.send("message_status", tenant.id, tenant.conversation, message["id"], "read")
    _settle(pages, publisher, tenant)
    for page in pages:
        assert page.events("message:new") == [as_seen(message) for message in messages]
        assert [data["message_id"] for data in page.events("message:status")] == [str(m["id"]) for m in messages]


def test_overlapping_rooms_give_each_page_one_event(
    pages: list[Browser], publisher: PublisherProcess, tenant: Tenant
) -> None:
    to = [conversation(tenant.conversation), user(tenant.alice), user(tenant.bruno), organization(tenant.id)]
    publisher.call("emit", tenant.id, "message:new", {"n": 1}, to=to)
    _settle(pages, publisher, tenant)
    assert [page.events("message:new") for page in pages] == [[{"n": 1}]] * len(pages)


def test_skip_sid_leaves_out_one_page_of_them_all(
    pages: list[Browser], publisher: PublisherProcess, tenant: Tenant
) -> None:
    message, (sender, *others) = sent_message(tenant.conversation), pages
    publisher.call("message_new", tenant.id, message, skip_sid=sender.seen("connect")[0]["sid"])
    _settle(pages, publisher, tenant)
    assert sender.events("message:new") == []
    assert [page.events("message:new") for page in others] == [[as_seen(message)]] * len(others)


def test_typing_crosses_replicas_once(pages: list[Browser], tenant: Tenant) -> None:
    typist, *others = pages
    typist.emit("typing_start", {"conversation_id": tenant.conversation})
    others[0].emit("typing_start", {"conversation_id": tenant.conversation})
    for page in (typist, *others):
        page.wait_for("user_typing")
        assert len(page.events("user_typing")) == 1


def test_a_user_who_was_logged_out_is_disconnected_everywhere_for_good(
    pages: list[Browser], publisher: PublisherProcess, tenant: Tenant
) -> None:
    publisher.call("disconnect_user", tenant.id, tenant.alice)
    ours, others = _of(tenant.alice, pages), _of(tenant.bruno, pages)
    for page in ours:
        page.wait("disconnect", lambda report: report["reason"] == "io server disconnect")
    publisher.call("message_new", tenant.id, incoming_message(tenant.conversation))
    _settle(others, publisher, tenant)
    assert [len(page.seen("connect")) for page in pages] == [1] * len(pages)
    assert not any(page.events("message:new") for page in ours)
    assert all(page.events("message:new") for page in others)


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_polling_page_is_told_once_that_it_was_disconnected(
    cluster: Cluster, browsers: Browsers, publisher: PublisherProcess, tenant: Tenant, version: Version
) -> None:
    page = browsers(cluster[0].url, tenant.token(), version=version, transports=["polling"])
    page.connected()
    publisher.call("disconnect_user", tenant.id, tenant.alice)
    page.wait("disconnect", lambda report: report["reason"] == "io server disconnect")
    assert len(page.seen("disconnect")) == 1


def test_access_that_was_taken_away_is_gone_everywhere(
    pages: list[Browser], publisher: PublisherProcess, tenant: Tenant
) -> None:
    publisher.call("leave_room", tenant.id, tenant.alice, conversation(tenant.conversation))
    publisher.call("message_new", tenant.id, incoming_message(tenant.conversation))
    _settle(pages, publisher, tenant)
    for page in _of(tenant.alice, pages):
        assert not page.events("message:new")
        assert page.events("left_conversation") == [{"conversation_id": tenant.conversation}]
    for page in _of(tenant.bruno, pages):
        assert len(page.events("message:new")) == 1
        assert not page.events("left_conversation")


@pytest.mark.parametrize("end", ["drop", "kill"])
async def test_a_client_moves_to_the_other_replica_and_misses_nothing(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    publishers: Publishers,
    clients: Clients,
    tenant: Tenant,
    end: str,
) -> None:
    first, second = replicas(redis_server.url), replicas(redis_server.url)
    publisher = publishers(redis_server.url)
    client = await member(clients, first.url, tenant)
    sid = client.sid
    {"drop": client.drop, "kill": first.kill}[end]()
    await client.dropped()
    missed = incoming_message(tenant.conversation)
    await publisher.acall("message_new", tenant.id, missed)
    await client.reconnect(second.url)
    assert client.recovered
    assert client.sid == sid
    live = incoming_message(tenant.conversation)
    await publisher.acall("message_new", tenant.id, live)
    await client.wait_for("message:new", count=2)
    assert [event.data for event in client.named("message:new")] == [as_seen(missed), as_seen(live)]


def test_a_tenant_on_one_replica_is_unknown_to_the_other(cluster: Cluster, browsers: Browsers) -> None:
    idle = Tenant(id=new_id())
    before = cluster[1].health()["tenants"]
    browsers(cluster[0].url, idle.token()).connected()
    assert cluster[1].health()["tenants"] == before
