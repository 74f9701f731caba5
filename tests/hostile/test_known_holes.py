"""The holes of a Socket.IO server inside the backend, each tried by the real socket.io-client.

Who may connect at all is tested in `tests/e2e`: `test_connecting` (refresh tokens, and that every version of the
client can read why it is refused) and `test_origins`.
"""

from __future__ import annotations

import time

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, organization
from tests.support.browsers import Browsers
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until_sync


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    limits = {"GATEWAY_MAX_ROOMS_PER_SOCKET": "5", "GATEWAY_EVENTS_PER_S": "20", "GATEWAY_EVENTS_BURST": "40"}
    return shared_replicas(shared_redis_server.url, **limits)


def test_a_page_that_joins_another_tenants_conversation_gets_nothing_of_it(
    browsers: Browsers, replica: Replica, shared_redis_server: EmbeddedRedis, publishers: Publishers
) -> None:
    ours, theirs, talk = new_id(), new_id(), new_id()
    backend = publishers(shared_redis_server.url, "async")
    spy = browsers(replica.url, mint(organization_id=theirs))
    spy.connected()
    spy.join(talk)
    for _ in range(10):
        backend.call("emit", ours, "secret", {}, to=[conversation(talk), organization(ours)])
    backend.call("emit", theirs, "end", {}, to=conversation(talk))
    spy.wait_for("end")
    assert spy.events("secret") == []


def test_a_page_does_not_outlive_its_token(browsers: Browsers, replica: Replica) -> None:
    ends_at = time.time() + 2
    page = browsers(replica.url, mint(exp=ends_at))
    page.connected()
    page.wait_for("auth:expiring")
    # The transport ends, not the connection for good: the page comes back by itself, and is told why it may not.
    assert page.wait("disconnect")["reason"] == "transport close"
    assert time.time() >= ends_at
    assert page.refused()["data"] == {"code": "token_expired"}


def test_a_page_that_joins_without_end_is_told_so(browsers: Browsers, replica: Replica) -> None:
    page = browsers(replica.url, mint())
    page.connected()
    answers = [page.call("join_conversation", {"conversation_id": new_id()}) for _ in range(8)]
    assert answers[0]["ok"]
    assert answers[-1]["error"]["code"] == "too_many_rooms"
    assert not page.seen("disconnect")


def test_a_page_that_sends_without_end_is_told_so_and_then_closed(browsers: Browsers, replica: Replica) -> None:
    page = browsers(replica.url, mint(), reconnection=False)
    page.connected()

    def closed_after_more() -> object:
        for _ in range(100):
            page.emit("ping")
        return page.seen("disconnect")

    until_sync(closed_after_more)
    assert page.wait("disconnect")["reason"] == "transport close"
    page.wait_for("error", lambda error: error["code"] == "rate_limited")


def test_a_page_that_claims_to_be_connected_already_runs_nothing(browsers: Browsers, replica: Replica) -> None:
    # socket.io-client refuses to send reserved events; a changed one does.
    page = browsers(replica.url, mint(), reconnection=False)
    page.connected()
    answer = page.call("connected", {"user_id": new_id()})
    assert answer["error"]["code"] == "unknown_event"
