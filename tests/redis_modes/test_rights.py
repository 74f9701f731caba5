"""deploy/redis/users.acl has what a Cluster and Sentinels need; the rest of it is tested in tests/deploy."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from publisher.topology import SLOTS
from tests.support.command_line import gateway
from tests.support.environment import ROOT
from tests.support.redis_cluster import ask
from tests.support.redis_server import RedisServers
from tests.support.tokens import SECRET
from tests.support.waiting import until_sync

ROOM = "rt:{t}:room:conversation:x"
NEEDED = [
    ("gateway", "SSUBSCRIBE", ROOM),
    ("gateway", "SSUBSCRIBE", "rt:probe:{7}:ab"),
    ("gateway", "SUNSUBSCRIBE", ROOM),
    ("gateway", "SPUBLISH", "rt:{t}:notices", "{}"),
    ("gateway", "PUBSUB", "SHARDNUMSUB", ROOM),
    ("gateway", "CLUSTER", "SLOTS"),
    ("gateway", "ASKING"),
    ("gateway", "ROLE"),
    ("backend", "SPUBLISH", ROOM, "m"),
    ("backend", "CLUSTER", "SLOTS"),
    ("operator", "SSUBSCRIBE", ROOM),
    ("operator", "PUBSUB", "SHARDCHANNELS", "*"),
    ("operator", "CLUSTER", "SLOTS"),
]
REFUSED = [
    ("gateway", "SPUBLISH", "other", "m"),
    ("gateway", "CLUSTER", "FAILOVER"),
    ("backend", "SSUBSCRIBE", ROOM),
    ("backend", "SPUBLISH", "rt:{t}:notices", "{}"),
    ("operator", "SPUBLISH", ROOM, "m"),
]


def with_users(server: EmbeddedRedis) -> EmbeddedRedis:
    for line in (ROOT / "deploy" / "redis" / "users.acl").read_text().splitlines():
        _, name, *rules = line.split()
        if name != "default":
            ask(server, "ACL", "SETUSER", name, *(rule for rule in rules if not rule.startswith("#")))
    return server


@pytest.fixture
def guarded(redis_servers: RedisServers) -> EmbeddedRedis:
    """A server with these users beside the usual one."""
    return with_users(redis_servers())


@pytest.fixture
def shard(redis_servers: RedisServers) -> EmbeddedRedis:
    """A cluster of one, with these users."""
    server = redis_servers(options=("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
    ask(server, "CLUSTER", "ADDSLOTSRANGE", "0", str(SLOTS - 1))
    until_sync(lambda: b"cluster_state:ok" in ask(server, "CLUSTER", "INFO"), what="the cluster")
    return with_users(server)


def test_what_sharded_pub_sub_takes_is_allowed_and_no_more(guarded: EmbeddedRedis) -> None:
    refused = [words for words in NEEDED if ask(guarded, "ACL", "DRYRUN", *words) != b"OK"]
    allowed = [words for words in REFUSED if ask(guarded, "ACL", "DRYRUN", *words) == b"OK"]
    assert (refused, allowed) == ([], [])


def as_gateway(server: EmbeddedRedis, *rules: str) -> dict[str, Any]:
    """Return what a command takes to be the gateway's own user of a cluster, with these rules on top."""
    ask(server, "ACL", "SETUSER", "gateway", ">secret", *rules)
    return {"JWT_SECRET_KEY": SECRET, "REDIS_URL": f"redis+cluster://gateway:secret@127.0.0.1:{server.port}"}


def test_check_says_which_right_a_cluster_takes_is_missing(shard: EmbeddedRedis) -> None:
    assert "has all rights that a gateway needs" in gateway("check", **as_gateway(shard)).stdout
    said = "a gateway can't run as this user of Redis: the user may not use a slot that is being migrated"
    assert said in gateway("check", **as_gateway(shard, "-asking")).stdout


def test_top_works_as_the_gateways_own_user_of_a_cluster(shard: EmbeddedRedis) -> None:
    done = gateway("top", "--once", **as_gateway(shard))
    assert done.returncode == 0, done.stderr
