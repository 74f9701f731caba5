"""`rediss://`, with an authority of one's own and client certificates: every part that connects to Redis."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from publisher import AsyncPublisher, Publisher, PublishError, conversation
from tests.support.client import Clients
from tests.support.command_line import gateway, running
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import PATIENCE_S, until, until_sync
from tests.tls.authority import Authority, Pair
from tests.tls.front import TlsFront

# A TLS connection that a publisher has closed may still wait for the other side's goodbye when its loop ends.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass(frozen=True)
class SecureRedis:
    """A Redis that takes TLS only, from clients with a certificate of the authority."""

    port: int
    ca: Path
    client: Pair

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    @property
    def environment(self) -> dict[str, Any]:
        """What a gateway needs."""
        return {
            "REDIS_URL": self.url,
            "GATEWAY_REDIS_CA_FILE": str(self.ca),
            "GATEWAY_REDIS_CERT_FILE": str(self.client.cert),
            "GATEWAY_REDIS_KEY_FILE": str(self.client.key),
        }

    @property
    def options(self) -> dict[str, Any]:
        """What a publisher needs, in redis-py's words."""
        files = {"ssl_ca_certs": self.ca, "ssl_certfile": self.client.cert, "ssl_keyfile": self.client.key}
        return {name: str(path) for name, path in files.items()}


@contextmanager
def behind_a_front(authority: Authority) -> Iterator[int]:
    pair = authority.issue("redis")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(pair.cert, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with EmbeddedRedis() as server, TlsFront(server.port, context) as front:
        yield front.port


@contextmanager
def of_its_own(authority: Authority) -> Iterator[int]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on the PATH; the embedded Valkey speaks no TLS")
    pair, port = authority.issue("redis"), free_port()
    command = [binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key)]
    command += ["--tls-ca-cert-file", str(authority.file), "--dir", str(authority.file.parent)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_sync(lambda: _listens(port) or process.poll() is not None, what="redis-server to be there")
        if process.poll() is not None:
            pytest.skip("this redis-server was built without TLS")
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=[behind_a_front, of_its_own], ids=["Valkey behind TLS", "Redis with TLS"])
def secure_redis(request: pytest.FixtureRequest, authority: Authority) -> Iterator[SecureRedis]:
    """The server: an embedded one behind TLS, and a real one with TLS where there is one."""
    with request.param(authority) as port:
        yield SecureRedis(port, authority.file, authority.issue("client"))


@pytest.fixture(scope="module")
def replica(secure_redis: SecureRedis, shared_replicas: Replicas) -> Replica:
    """A replica on it."""
    return shared_replicas(secure_redis.url, **secure_redis.environment)


async def test_events_reach_a_socket_through_tls(
    secure_redis: SecureRedis, replica: Replica, clients: Clients
) -> None:
    organization, room = new_id(), new_id()
    client = await clients(replica.url, mint(None, organization)).connect()
    options = {"strict": True, "timeout_s": PATIENCE_S} | secure_redis.options
    async with AsyncPublisher.from_url(secure_redis.url, **options) as events:
        await events.message_new(organization, incoming_message(room))
        joined = await client.join(room, history=10)
        assert [event["event"] for event in joined["events"]] == ["message:new"]
        for n in range(200):
            # Several records each: what arrives is not one message at a time.
            await events.emit(organization, "n", {"n": n, "filler": "x" * 40_000}, to=conversation(room))
    await client.wait_for("n", count=200)
    assert [event.data["n"] for event in client.named("n")] == list(range(200))


def test_a_blocking_publisher_takes_the_same_options(secure_redis: SecureRedis, replica: Replica) -> None:
    with Publisher.from_url(secure_redis.url, strict=True, timeout_s=PATIENCE_S, **secure_redis.options) as events:
        assert events.emit(new_id(), "n", 1, to=conversation(new_id())).offset
    asked = "&".join(f"{name}={path}" for name, path in secure_redis.options.items())
    with Publisher.from_url(f"{secure_redis.url}?{asked}", strict=True, timeout_s=PATIENCE_S) as events:
        assert events.emit(new_id(), "n", 1, to=conversation(new_id())).offset


def test_a_publisher_that_does_not_know_the_authority_sends_nothing(secure_redis: SecureRedis) -> None:
    with Publisher.from_url(secure_redis.url, strict=True) as events, pytest.raises(PublishError):
        events.emit(new_id(), "n", 1, to=conversation(new_id()))


def test_the_command_line_takes_the_gateways_files(secure_redis: SecureRedis, tmp_path: Path) -> None:
    organization, room = new_id(), conversation(new_id())
    command = ["publish", "--org", organization, "--to", room, "--event", "heard:it", "{}"]

    def heard() -> bool:
        done = gateway(*command, **secure_redis.environment)
        assert done.returncode == 0, done.stderr
        return "heard:it" in tail.output()

    with running(tmp_path, "tail", "--org", organization, **secure_redis.environment) as tail:
        until_sync(heard, what="tail to hear something")
    check = gateway("check", JWT_SECRET_KEY=SECRET, **secure_redis.environment)
    assert check.returncode == 0, check.stdout
    assert f"at rediss://127.0.0.1:{secure_redis.port}/0 answers in" in check.stdout


WITHOUT: dict[str, tuple[str, ...]] = {
    "the authority": ("GATEWAY_REDIS_CA_FILE",),
    "a client certificate": ("GATEWAY_REDIS_CERT_FILE", "GATEWAY_REDIS_KEY_FILE"),
}


@pytest.mark.parametrize("missing", WITHOUT)
@pytest.mark.parametrize("command", [["serve"], ["publish", "--org", new_id(), "--to", "user:u", "{}"]])
def test_what_is_missing_is_one_line(secure_redis: SecureRedis, missing: str, command: list[str]) -> None:
    environment = {name: value for name, value in secure_redis.environment.items() if name not in WITHOUT[missing]}
    done = gateway(*command, JWT_SECRET_KEY=SECRET, GATEWAY_PORT="0", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gateway: Redis can't be reached at {secure_redis.url}: ")


# -- settings that would not do what they say


def test_files_for_tls_with_an_address_that_takes_none_are_an_error(authority: Authority) -> None:
    done = gateway("serve", JWT_SECRET_KEY=SECRET, GATEWAY_REDIS_CA_FILE=str(authority.file))
    said = "gateway: GATEWAY_REDIS_CA_FILE is set, but nothing is encrypted: REDIS_URL is not rediss://\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_file_that_is_not_there_is_named() -> None:
    nowhere, ca = "rediss://127.0.0.1:1/0", "/no/such/ca.pem"
    done = gateway("check", JWT_SECRET_KEY=SECRET, REDIS_URL=nowhere, GATEWAY_REDIS_CA_FILE=ca)
    assert done.returncode == 2
    assert "error GATEWAY_REDIS_CA_FILE: there is no file /no/such/ca.pem\n" in done.stdout


def test_another_address_on_the_command_line_needs_none_of_the_files(
    redis_server: EmbeddedRedis, authority: Authority
) -> None:
    command = ["publish", "--org", new_id(), "--conversation", new_id(), "--redis-url", redis_server.url, "{}"]
    done = gateway(*command, REDIS_URL="rediss://127.0.0.1:1/0", GATEWAY_REDIS_CA_FILE=str(authority.file))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["offset"]


# -- a connection that breaks


async def test_a_connection_that_is_cut_comes_back_and_nothing_is_lost(
    authority: Authority, replicas: Replicas, clients: Clients
) -> None:
    pair, organization, room = authority.issue("redis"), new_id(), new_id()
    context: Any = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    with EmbeddedRedis() as server, TlsFront(server.port, context) as front:
        url = f"rediss://127.0.0.1:{front.port}/0"
        replica = replicas(url, GATEWAY_REDIS_CA_FILE=str(authority.file))
        client = await clients(replica.url, mint(None, organization)).connect()
        await client.join(room)
        async with AsyncPublisher.from_url(server.url) as events:
            for n in range(30):
                await events.emit(organization, "n", n, to=conversation(room))
                if n % 10 == 5:
                    front.cut()
        await client.wait_for("n", count=30)
        assert [event.data for event in client.named("n")] == list(range(30))
        await until(lambda: replica.health()["status"] == "healthy")
        assert replica.health()["redis_reconnects"] >= 2
        assert client.connected
        await asyncio.to_thread(replica.close)
