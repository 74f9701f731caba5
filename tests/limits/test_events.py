"""Who sends too much is told so, and cut only when it goes on."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.limits.conftest import limited
from tests.support.browsers import Browsers
from tests.support.channels import WebSocketChannel
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until

PER_S, BURST = 10, 20


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    limits = {"GATEWAY_EVENTS_PER_S": str(PER_S), "GATEWAY_EVENTS_BURST": str(BURST)}
    return shared_replicas(shared_redis_server.url, **limits)


async def answers(client: RawClient, count: int) -> list[dict[str, Any]]:
    """Send so many events at once, each with an acknowledgement; return those."""
    calls = [client.call("typing_stop", {"conversation_id": ""}) for _ in range(count)]
    return list(await asyncio.gather(*calls))


async def flood(client: RawClient) -> None:
    """Send far too much, until the connection is cut."""
    for _ in range(1000):
        client.emit("ping")
    await client.dropped()


def codes(acks: list[dict[str, Any]]) -> list[str]:
    return [ack["error"]["code"] for ack in acks]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_beyond_the_burst_each_event_is_refused_with_a_code(
    clients: Clients, replica: Replica, transport: str
) -> None:
    began = time.monotonic()
    client = await clients(replica.url, mint(), transport=transport).connect()
    found = codes(await answers(client, BURST + 15))
    earned = (time.monotonic() - began) * PER_S
    # CONNECT was the first of the burst.
    assert set(found[: BURST - 1]) == {"bad_request"}
    assert set(found) == {"bad_request", "rate_limited"}
    assert BURST - 1 <= found.count("bad_request") <= BURST + earned
    assert client.connected


async def test_the_client_is_told_which_limit_it_hit_and_when_to_go_on(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    refused = (await answers(client, BURST + 5))[-1]["error"]
    assert (refused["limit"], refused["message"]) == ("events_per_s", "too many events")
    # One of the burst was CONNECT, five were too many, one more is to be sent.
    assert 0 < refused["retry_after_ms"] <= 7 / PER_S * 1000
    due = time.monotonic() + refused["retry_after_ms"] / 1000
    await until(lambda: time.monotonic() > due)
    assert codes(await answers(client, 1)) == ["bad_request"]


async def test_without_acknowledgements_one_error_a_second_tells_it(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    for _ in range(BURST + 10):
        client.emit("ping")
    error = (await client.wait_for("error")).data
    assert (error["code"], error["limit"], error["event"]) == ("rate_limited", "events_per_s", "ping")
    await client.call("typing_stop", {})
    assert len(client.named("error")) == 1


async def test_who_goes_on_is_cut_and_comes_back_as_it_was(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    await client.wait_for("connected")
    sid, before = client.sid, limited(replica).get("events_burst", 0)
    await flood(client)
    assert isinstance(client.channel, WebSocketChannel)
    assert client.channel.close_code == 1008
    assert len(client.named("pong")) <= BURST + PER_S
    await client.reconnect()
    assert (client.recovered, client.sid) == (True, sid)
    assert limited(replica)["events_burst"] == before + 1


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_browser_that_was_cut_comes_back_by_itself(browsers: Browsers, replica: Replica, transport: str) -> None:
    page = browsers(replica.url, mint(), transports=[transport])
    page.connected()
    # In one go: what is sent over seconds may be within the rate.
    page.emit("ping", times=4 * BURST)
    # A page that polls hears of it from its poll, or from the answer to what it posts next.
    reasons = ("transport close", "transport error")
    page.wait("disconnect", lambda report: report["reason"] in reasons)
    assert page.connected(times=2)["recovered"]
    assert page.events("error", lambda error: error["limit"] == "events_per_s")


def test_a_browser_may_send_what_piled_up_while_it_was_offline(
    browsers: Browsers, shared_redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    replica = replicas(shared_redis_server.url)
    page = browsers(replica.url, mint(), reconnectionDelay=500)
    page.connected()
    page.cut()
    page.wait("disconnect")
    rooms = [new_id() for _ in range(300)]
    for room in rooms:
        page.emit("join_conversation", {"conversation_id": room})
    page.connected(times=2)
    page.wait_for("joined_conversation", times=300)
    assert [joined["conversation_id"] for joined in page.events("joined_conversation")] == rooms
    assert not limited(replica)


async def test_one_clients_flood_is_no_other_clients_limit(clients: Clients, replica: Replica) -> None:
    loud, calm = [await clients(replica.url, mint()).connect() for _ in range(2)]
    await flood(loud)
    assert codes(await answers(calm, 5)) == ["bad_request"] * 5


PACKETS = {
    "unknown event": '2["no such event"]',
    "unknown namespace": '2/elsewhere,["ping"]',
    "unasked acknowledgement": "3123[]",
    "attachments": '51-["upload",{"_placeholder":true,"num":0}]',
    "event": '2["ping"]',
}


@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS)
async def test_everything_counts(clients: Clients, replica: Replica, packet: str) -> None:
    client = await clients(replica.url, mint()).connect()
    channel = client.channel
    assert isinstance(channel, WebSocketChannel)
    for _ in range(3 * BURST):
        channel.send(packet)
        if packet.startswith("5"):
            channel.send_frame(2, b"x")
    await client.dropped()
    assert channel.close_code == 1008


async def test_a_flood_is_one_line_in_the_log(clients: Clients, replica: Replica) -> None:
    user = new_id()
    client = await clients(replica.url, mint(user)).connect()
    await flood(client)
    await until(lambda: [line for line in replica.log_lines("socket_disconnected") if line["user"] == user])
    lines = [line for line in replica.log_lines("engine_bad_peer") if line["reason"] == "too many messages"]
    assert {line["remote"] for line in lines} == {"127.0.0.1"}
    assert not [line for line in replica.log_lines("socket_denied") if line["user"] == user]


async def test_zero_is_no_limit(clients: Clients, shared_redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(shared_redis_server.url, GATEWAY_EVENTS_PER_S="0")
    client = await clients(replica.url, mint()).connect()
    for _ in range(5000):
        client.emit("ping")
    await client.wait_for("pong", count=5000)
