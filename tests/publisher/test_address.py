"""Where Redis is: every spelling, and what is none."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import pytest

from publisher.address import Node, parse_address


def test_a_single_server_is_left_to_redis_py() -> None:
    for url in ("redis://u:p@host:1/2?ssl_cert_reqs=none", "rediss://host", "unix:///run/redis.sock"):
        address = parse_address(url)
        assert (address.kind, address.url, address.nodes) == ("server", url, ())


@pytest.mark.parametrize("path", ["mymaster/3", "3/mymaster"])
def test_sentinels_are_hosts_a_master_and_a_database_in_either_order(path: str) -> None:
    address = parse_address(f"redis+sentinel://u:p%40ss@a,b:1,[::1]:2/{path}?sentinel_password=s&socket_timeout=1")
    assert address.kind == "sentinel"
    assert address.nodes == (Node("a", 26379), Node("b", 1), Node("::1", 2))
    assert (address.master, address.db, address.sentinel_login) == ("mymaster", 3, {"password": "s"})
    assert address.at(Node("::1", 5)) == "redis://u:p%40ss@[::1]:5/3?socket_timeout=1"


def test_a_python_that_takes_brackets_at_the_beginning_alone_is_no_hindrance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def strict(text: str, scheme: str = "") -> SplitResult:
        """As newer Pythons do, and Debian's 3.11.2."""
        if text.partition("//")[2].partition("@")[2].partition("[")[0]:
            raise ValueError("Invalid IPv6 URL")
        return urlsplit(text, scheme)

    monkeypatch.setattr("publisher.address.urlsplit", strict)
    address = parse_address("redis+cluster://:p@a,[::1]:2")
    assert address.nodes == (Node("a", 6379), Node("::1", 2))


def test_a_cluster_is_some_of_its_nodes() -> None:
    address = parse_address("rediss+cluster://:p@a,b:7001")
    assert (address.kind, address.nodes) == ("cluster", (Node("a", 6379), Node("b", 7001)))
    assert address.at(Node("c", 7)) == "rediss://:p@c:7/0"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+socket://a", "begins with"),
        ("http://a", "redis.sentinel:// or redis.cluster:// .* not with http://"),
        ("http+cluster://a", "begins with"),
        ("redis+cluster://a/1", "no other database"),
        ("redis+cluster://", "host:port"),
        ("redis+cluster://a,,b", "host:port"),
        ("redis+cluster://a:x", "host:port"),
        ("redis+cluster://a:99999", "host:port"),
        ("redis+sentinel://a:1", "mymaster"),
        ("redis+sentinel://a:1/m/n", "mymaster"),
        ("redis+sentinel://a:1/1/2/m", "mymaster"),
    ],
)
def test_a_url_that_is_none_is_one_line_without_its_password(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        parse_address(url.replace("://", "://user:s3cret@"))
    assert "s3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_url_at_all_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="begins with") as raised:
        parse_address("user:s3cret@host")
    assert "s3cret" not in str(raised.value)
