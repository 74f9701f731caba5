"""`gateway check`: what it says of Redis."""

from __future__ import annotations

import pytest

from tests.support.command_line import gateway
from tests.support.redis_server import RedisServers
from tests.support.tokens import SECRET


def lines(redis_servers: RedisServers, *options: str) -> list[str]:
    """Return what it says of a server that was started with these options."""
    url = redis_servers(options=options).url
    done = gateway("check", JWT_SECRET_KEY=SECRET, REDIS_URL=url)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def warned(found: list[str]) -> str:
    return "\n".join(line for line in found if line.startswith("warn"))


FIT = ("--appendonly", "yes", "--maxmemory", "100mb")


def test_a_server_that_is_fit_is_warned_of_in_nothing(redis_servers: RedisServers) -> None:
    found = lines(redis_servers, *FIT)
    assert any("answers in" in line and line.startswith("ok") for line in found)
    assert any("has all rights that a gateway needs" in line for line in found)
    assert any("s apart" in line and line.startswith("ok") for line in found)
    for word in ("maxmemory", "appendonly", "this user"):
        assert word not in warned(found)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((*FIT, "--maxmemory-policy", "allkeys-lru"), "maxmemory-policy is allkeys-lru"),
        ((*FIT, "--maxmemory", "0"), "maxmemory is 0"),
        ((*FIT, "--appendonly", "no"), "appendonly is no"),
    ],
)
def test_what_may_cost_the_history_is_one_warning(
    redis_servers: RedisServers, options: tuple[str, ...], says: str
) -> None:
    assert says in warned(lines(redis_servers, *options))
