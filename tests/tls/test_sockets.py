"""Sockets over TLS: what the lean engine does with a connection, it does with a secured one."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.engine.reader import TEXT
from publisher import AsyncPublisher, Publisher, conversation
from tests.support.browsers import TRANSPORTS, Node
from tests.support.channels import WebSocketChannel
from tests.support.pytake import incoming_message
from tests.support.replica import Replica
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.websocket import frame, opened
from tests.tls.authority import Authority
from tests.tls.conftest import TlsClients

TRANSPORT_NAMES = ["websocket", "polling"]


@pytest.fixture
def organization() -> str:
    """A tenant of the test's own."""
    return new_id()


@pytest.mark.parametrize("transport", TRANSPORT_NAMES)
async def test_a_socket_joins_gets_events_and_recovers(
    secure: Replica, shared_redis_server: EmbeddedRedis, tls_clients: TlsClients, organization: str, transport: str
) -> None:
    room = new_id()
    client = await tls_clients(secure.url, mint(None, organization), transport=transport).connect()
    await client.join(room)
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        first, second = incoming_message(room), incoming_message(room)
        await events.message_new(organization, first)
        await client.wait_for("message:new")
        client.drop()
        await events.message_new(organization, second)
    await client.reconnect()
    await client.wait_for("message:new", count=2)
    assert client.recovered
    wanted = [str(message["id"]) for message in (first, second)]
    assert [event.data["id"] for event in client.named("message:new")] == wanted


def test_who_does_not_know_the_authority_does_not_connect(secure: Replica) -> None:
    with socket.create_connection(("127.0.0.1", secure.port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_an_unmodified_client_connects_and_hears(
    node: Node,
    secure: Replica,
    shared_redis_server: EmbeddedRedis,
    authority: Authority,
    organization: str,
    transports: list[str],
) -> None:
    room = new_id()
    page = node.open(secure.url, mint(None, organization), transports=transports, ca=authority.file.read_text())
    page.connected()
    if len(transports) > 1:
        page.wait("upgrade")
    page.join(room)
    with Publisher.from_url(shared_redis_server.url) as events:
        events.emit(organization, "large", "x" * 30_000, to=conversation(room))  # two TLS records
    assert page.wait_for("large") == "x" * 30_000
    page.cut()
    assert page.connected(times=2)["recovered"]
    page.close()


async def test_what_comes_in_one_segment_with_the_handshake_is_not_lost(
    secure: Replica, authority: Authority
) -> None:
    connect = b"40" + json.dumps({"token": mint()}).encode()
    tail = frame(TEXT, connect) + frame(TEXT, b'42["ping"]')
    async with opened(secure.port, path="/socket.io/", tail=tail, tls=authority.client_context()) as peer:
        while not (await peer.packet()).startswith('42["pong",'):
            pass


async def test_a_flood_of_questions_is_answered_whole_and_in_order(
    secure: Replica, tls_clients: TlsClients
) -> None:
    """More than the inbox takes: the transport's reading is paused and resumed on the way."""
    client = await tls_clients(secure.url, mint()).connect()
    rooms = [new_id() for _ in range(200)]
    answers = await asyncio.gather(*(client.join(room) for room in rooms))
    assert [answer["conversation_id"] for answer in answers] == rooms


async def test_a_reader_that_stops_is_cut_and_its_neighbour_loses_nothing(
    secure: Replica, shared_redis_server: EmbeddedRedis, tls_clients: TlsClients, organization: str
) -> None:
    room, count = new_id(), 400
    slow, prompt = [await tls_clients(secure.url, mint(None, organization)).connect() for _ in range(2)]
    for client in (slow, prompt):
        await client.join(room)
    cut_before = secure.health()["slow_cut"]
    slow.pause()
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        for n in range(count):
            await events.emit(organization, "n", {"n": n, "filler": "x" * 20_000}, to=conversation(room))
            await prompt.wait_for("n", count=n + 1)  # so that it is none of the slow ones
    assert [event.data["n"] for event in prompt.named("n")] == list(range(count))
    await until(lambda: secure.health()["slow_cut"] == cut_before + 1, what="the slow reader to be cut")
    assert secure.memory_kib() < 400_000
    slow.resume()
    await slow.dropped()
    await slow.reconnect()
    assert slow.recovered


# -- ends


async def sockets(replica: Replica, count: int) -> None:
    """Wait until the replica has so many sockets, and as many transports."""

    def counts() -> bool:
        page = replica.get("/metrics")[1]
        return f"\ngateway_sockets {count:.1f}\n" in page and f"\ngateway_engine_sessions {count:.1f}\n" in page

    await until(counts, what=f"{count} sockets to be left")


async def test_the_servers_end_says_why_and_closes_the_connection(
    secure: Replica, shared_redis_server: EmbeddedRedis, tls_clients: TlsClients, organization: str
) -> None:
    user = new_id()
    client = await tls_clients(secure.url, mint(user, organization)).connect()
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        await events.disconnect_user(organization, user)
    assert await client.dropped() == "io server disconnect"
    channel = client.channel
    assert isinstance(channel, WebSocketChannel)
    await until(lambda: channel.close_code == 1008, what="the close frame")
    await sockets(secure, 0)


@pytest.mark.parametrize("transport", TRANSPORT_NAMES)
async def test_a_reset_is_noticed(secure: Replica, tls_clients: TlsClients, transport: str) -> None:
    client = await tls_clients(secure.url, mint(), transport=transport).connect()
    await sockets(secure, 1)
    client.drop()
    await sockets(secure, 0)


async def test_an_end_of_the_stream_without_a_word_of_tls_is_noticed(
    secure: Replica, tls_clients: TlsClients
) -> None:
    client = await tls_clients(secure.url, mint()).connect()
    await sockets(secure, 1)
    channel = client.channel
    assert isinstance(channel, WebSocketChannel)
    # Behind the back of the TLS layer, as when a process dies.
    channel.raw_socket.shutdown(socket.SHUT_WR)
    await sockets(secure, 0)
    await client.dropped()


async def test_connections_that_are_cut_leave_nothing(
    secure: Replica, tls_clients: TlsClients, organization: str
) -> None:
    for _ in range(10):
        batch = [tls_clients(secure.url, mint(None, organization)) for _ in range(20)]
        await asyncio.gather(*(client.connect() for client in batch))
        for client in batch:
            client.drop()
    await sockets(secure, 0)
