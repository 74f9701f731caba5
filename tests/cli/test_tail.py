"""`gateway tail`: what is said of a message that no publisher wrote, and of a slot that goes."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
import redis

from gateway.cli.tail import line
from gateway.core.hub import MAX_SEQ
from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from publisher import wire
from publisher.rooms import user
from publisher.topology import SLOTS
from tests.support.command_line import SCRIPTS, environment, running
from tests.support.redis_server import RedisServers
from tests.support.tokens import new_id
from tests.support.waiting import until_sync

ROOM = b"rt:{org}:room:user:ana"


@pytest.mark.parametrize("raw", [b"nonsense", b'4e1a-%d 0 r -\n["a:b",{}]' % (MAX_SEQ + 1)])
def test_what_no_publisher_wrote_is_one_line(raw: bytes) -> None:
    said = line(ROOM, raw, show_payload=True)
    assert said == f"?  user:ana  malformed message of {len(raw)} bytes"


def test_what_is_no_text_is_shown_all_the_same() -> None:
    said = line(ROOM, b'4e1a-1795416139993970 0 r -\n["a:b","\xff"]', show_payload=True)
    assert said.endswith('"\N{REPLACEMENT CHARACTER}"')


def test_a_terminal_gets_no_command_out_of_what_is_published(redis_server: EmbeddedRedis) -> None:
    org, room = new_id(), user("ana")
    master, slave = pty.openpty()
    command = [str(SCRIPTS / "gateway"), "tail", "--org", org, "--room", room, "--payload"]
    with subprocess.Popen(command, env=environment(REDIS_URL=redis_server.url), stdout=slave) as tail:
        os.close(slave)
        with redis.Redis.from_url(redis_server.url) as client:
            raw = '4e1a-1795416139993970 0 r -\n["a:b","Olá \x9b2J\x1b]0;title\x07"]'
            until_sync(lambda: client.publish(wire.channel(org, room), raw), what="tail to listen")
        said = os.read(master, 4096).decode()
        tail.terminate()
    os.close(master)
    assert r'"Olá \x9b2J\x1b]0;title\x07"' in said
    assert not [char for char in said.strip() if not char.isprintable()]


def test_it_ends_with_a_word_when_its_slot_goes_to_another_node(
    redis_servers: RedisServers, tmp_path: Path
) -> None:
    server = redis_servers(options=("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
    org, room = new_id(), user("ana")
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        until_sync(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), what="the cluster")
        url = server.url.replace("redis://", "redis+cluster://").removesuffix("/0")
        with running(tmp_path, "tail", "--org", org, "--room", room, REDIS_URL=url) as command:
            channel = wire.channel(org, room)
            until_sync(
                lambda: client.execute_command("PUBSUB", "SHARDNUMSUB", channel)[1] == 1, what="tail to listen"
            )
            client.execute_command("CLUSTER", "DELSLOTSRANGE", 0, SLOTS - 1)
            until_sync(lambda: "slot has moved to another node" in command.errors(), what="the word")
