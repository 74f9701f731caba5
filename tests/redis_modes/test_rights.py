"""deploy/redis/users.acl has what a Cluster and Sentinels need; the rest of it is tested in tests/deploy."""

from __future__ import annotations

import pytest

from gateway.embedded import EmbeddedRedis
from tests.support.environment import ROOT
from tests.support.redis_cluster import ask
from tests.support.redis_server import RedisServers

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


@pytest.fixture
def guarded(redis_servers: RedisServers) -> EmbeddedRedis:
    """A server with these users beside the usual one."""
    server = redis_servers()
    for line in (ROOT / "deploy" / "redis" / "users.acl").read_text().splitlines():
        _, name, *rules = line.split()
        if name != "default":
            ask(server, "ACL", "SETUSER", name, *(rule for rule in rules if not rule.startswith("#")))
    return server


def test_what_sharded_pub_sub_takes_is_allowed_and_no_more(guarded: EmbeddedRedis) -> None:
    refused = [
        (user, *command) for user, *command in NEEDED if ask(guarded, "ACL", "DRYRUN", user, *command) != b"OK"
    ]
    allowed = [
        (user, *command) for user, *command in REFUSED if ask(guarded, "ACL", "DRYRUN", user, *command) == b"OK"
    ]
    assert (refused, allowed) == ([], [])
