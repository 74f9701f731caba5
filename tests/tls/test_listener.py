"""The port itself: who gets a handshake, with which certificate, and what a start with a bad one says."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.support.command_line import gateway
from tests.support.replica import Replica, Replicas
from tests.support.tokens import SECRET, mint
from tests.support.waiting import PATIENCE_S, until
from tests.tls.authority import Authority, Pair, encrypted
from tests.tls.conftest import TlsClients

GRACE_S = 1.5
SLACK_S = 20.0
"""What a busy machine may add; the TLS of a peer that says nothing may take half a minute to end by itself."""


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect, without a name for the server to go by."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    try:
        return context.wrap_socket(raw, server_hostname="127.0.0.1")
    except BaseException:
        raw.close()
        raise


def shown_certificate(port: int, authority: Authority) -> bytes:
    """Return the certificate that a new connection is shown, checked."""
    with handshake(port, authority.client_context()) as secured:
        return secured.getpeercert(binary_form=True) or b""


def in_file(pair: Pair) -> bytes:
    """Return the certificate that is in a pair's file."""
    end = "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text().partition(end)[0] + end)


def test_health_and_metrics_are_there(secure: Replica) -> None:
    assert secure.log_lines("gateway_started")[0]["url"] == secure.url
    assert secure.url.startswith("https://")
    assert secure.health()["status"] == "healthy"
    assert secure.get("/health/live")[0] == 200
    assert secure.get("/metrics")[0] == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_versions_are_spoken(secure: Replica, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    with handshake(secure.port, context) as secured:
        assert secured.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_version_is_refused_by_the_server(secure: Replica, authority: Authority) -> None:
    context = authority.client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"alert protocol version|EOF"):
        handshake(secure.port, context)


def test_a_request_without_tls_gets_no_answer_and_no_line_in_the_log(secure: Replica) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.recv(4096)
    assert secure.health()["status"] == "healthy"
    secure.assert_log_is_clean()


def test_a_handshake_that_does_not_go_on_is_given_up(
    redis_server: EmbeddedRedis, replicas: Replicas, authority: Authority
) -> None:
    replica = replicas(redis_server.url, GATEWAY_CONNECT_TIMEOUT_S="0.5", **authority.issue("hasty").environment)
    with socket.create_connection(("127.0.0.1", replica.port), timeout=PATIENCE_S) as mute:
        assert mute.recv(1) == b""


# -- a certificate that is renewed


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """The files that the replica under test looks into."""
    return authority.issue("live", ec=False)


@pytest.fixture
def renewing(redis_server: EmbeddedRedis, replicas: Replicas, pair: Pair) -> Replica:
    """A replica whose certificate is going to change."""
    return replicas(redis_server.url, may_log=["certificate_reload_failed"], **pair.environment)


@pytest.mark.parametrize("ec", [False, True], ids=["the same kind of key", "another kind of key"])
async def test_sighup_shows_the_new_certificate_and_drops_nobody(
    renewing: Replica, authority: Authority, pair: Pair, tls_clients: TlsClients, ec: bool
) -> None:
    client = await tls_clients(renewing.url, mint()).connect()
    before = shown_certificate(renewing.port, authority)
    pair.replace_with(authority.issue("renewed", ec=ec))
    renewing.hang_up()
    await until(lambda: renewing.log_lines("certificate_loaded"))
    assert shown_certificate(renewing.port, authority) == in_file(pair) != before
    assert "timestamp" in await client.call("ping")
    assert client.connected


BROKEN = {
    "no PEM": lambda pair, other: pair.cert.write_text("renewal failed"),
    "half written": lambda pair, other: pair.cert.write_bytes(other.cert.read_bytes()[:300]),
    "gone": lambda pair, other: pair.key.unlink(),
    "another key's": lambda pair, other: pair.cert.write_bytes(other.cert.read_bytes()),
}


@pytest.mark.parametrize("breaks", BROKEN)
async def test_a_broken_file_leaves_the_old_certificate_and_one_line(
    renewing: Replica, authority: Authority, pair: Pair, tls_clients: TlsClients, breaks: str
) -> None:
    client = await tls_clients(renewing.url, mint()).connect()
    before = shown_certificate(renewing.port, authority)
    BROKEN[breaks](pair, authority.issue("broken"))
    renewing.hang_up()
    (line,) = await until(lambda: renewing.log_lines("certificate_reload_failed"))
    assert "GATEWAY_TLS_" in line["reason"]
    assert shown_certificate(renewing.port, authority) == before
    assert client.connected
    pair.replace_with(authority.issue("mended"))
    renewing.hang_up()
    await until(lambda: renewing.log_lines("certificate_loaded"))
    assert shown_certificate(renewing.port, authority) == in_file(pair)


# -- the end


async def test_sigterm_drains_in_time_also_with_peers_that_say_nothing(
    redis_server: EmbeddedRedis, replicas: Replicas, authority: Authority, tls_clients: TlsClients
) -> None:
    environment = authority.issue("draining").environment
    replica = replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S=str(GRACE_S), **environment)
    clients = [
        await tls_clients(replica.url, mint(), transport=transport).connect()
        for transport in ("websocket", "polling", "websocket")
    ]
    stopped, *others = reversed(clients)
    stopped.pause()  # answers no close frame, and no farewell of TLS
    with socket.create_connection(("127.0.0.1", replica.port)):
        began = time.monotonic()
        replica.terminate()
        for client in others:
            assert await client.dropped() == "transport close"
        assert await replica.ended() == 0
    assert time.monotonic() - began < GRACE_S + SLACK_S
    assert len(replica.log_lines("socket_disconnected")) == len(clients)


# -- a start that can't work


NOWHERE = Path("/no-such-file.pem")
# Of a pair and another one, and what is said of it.
WRONG: dict[str, tuple[Callable[[Pair, Pair], Pair], str]] = {
    "a certificate that is not there": (lambda pair, other: pair._replace(cert=NOWHERE), "GATEWAY_TLS_CERT: "),
    "a key that is not there": (lambda pair, other: pair._replace(key=NOWHERE), "GATEWAY_TLS_KEY: "),
    "another key": (lambda pair, other: pair._replace(key=other.key), "not the key of the certificate"),
    "a key that wants a password": (lambda pair, other: encrypted(pair), "not encrypted"),
    "a key as a certificate": (
        lambda pair, other: pair._replace(cert=pair.key),
        "not a PEM file with a certificate",
    ),
    "a folder": (lambda pair, other: pair._replace(cert=pair.cert.parent), "GATEWAY_TLS_CERT: "),
}


@pytest.mark.parametrize(("made_wrong", "says"), WRONG.values(), ids=WRONG)
def test_a_bad_certificate_is_one_line(
    authority: Authority, made_wrong: Callable[[Pair, Pair], Pair], says: str
) -> None:
    environment: dict[str, Any] = made_wrong(authority.issue("first"), authority.issue("second")).environment
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    done = gateway("serve", JWT_SECRET_KEY=SECRET, REDIS_URL=nowhere, GATEWAY_PORT="0", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: GATEWAY_TLS_")
    assert says in line
