from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.limits.addresses import client_address, remote_of, share_of

TRUSTED = ("10.0.0.0/8", "fd00::/8", "203.0.113.7/32")


def is_trusted(address: str) -> bool:
    return address in ("10.0.0.1", "10.0.0.2", "fd00::1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6,198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
    ],
    ids=[
        "a stranger says what it likes",
        "a proxy is believed",
        "what the client sent itself is not",
        "nor in a header of its own",
        "a chain of proxies",
        "all are proxies",
        "no header",
        "an empty header",
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy(peer: str, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, is_trusted) == client


@pytest.mark.parametrize(
    ("entry", "client"),
    [
        ("198.51.100.1:50123", "198.51.100.1"),
        ("[2001:db8::1]:50123", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_ports_and_spellings_make_no_difference(entry: str, client: str) -> None:
    assert client_address("10.0.0.1", [entry], is_trusted) == client


@pytest.mark.parametrize(
    "entry",
    [
        "unknown",
        "unix:",
        "_hidden",
        "198.51.100.1 6.6.6.6",
        "198.51.100.256",
        "0198.51.100.1",
        "fe80::1%eth0\r\nX: y",
        "[",
        "'; --",
        "1" * 8000,
    ],
)
def test_what_is_no_address_leaves_the_peers(entry: str) -> None:
    assert client_address("10.0.0.1", [f"6.6.6.6, {entry}"], is_trusted) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "remote"),
    [
        ("10.1.2.3", "198.51.100.1"),
        ("203.0.113.7", "198.51.100.1"),
        ("203.0.113.8", "203.0.113.8"),
        ("fd12::1", "198.51.100.1"),
        ("::ffff:10.1.2.3", "198.51.100.1"),
        ("", "198.51.100.1"),
    ],
)
def test_a_request_is_judged_by_its_connection(peer: str, remote: str) -> None:
    request = make_mocked_request("GET", "/", {"X-Forwarded-For": "198.51.100.1"}).clone(remote=peer)
    assert remote_of([ip_network(network) for network in TRUSTED])(request) == remote


def test_without_trusted_proxies_no_header_counts() -> None:
    request = make_mocked_request("GET", "/", {"X-Forwarded-For": "198.51.100.1"}).clone(remote="10.0.0.1")
    assert remote_of(())(request) == "10.0.0.1"


def test_an_ipv6_client_has_a_whole_network() -> None:
    assert share_of("2001:db8:0:1::1") == share_of("2001:db8:0:1:ffff::2") != share_of("2001:db8:0:2::1")
    assert share_of("198.51.100.1") == "198.51.100.1"
    assert share_of("") == ""
