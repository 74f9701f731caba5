"""A server, or fakeredis, which backends use in their own tests, and one tenant on it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Offset, Room, conversation, parse_offset, wire
from publisher.envelope import Envelope, Options, build_event
from publisher.scripts import SCRIPTS, command
from publisher.verbs import Verbs
from publisher.wire import Message, parse_message
from tests.support.tokens import new_id

PUBLISHED, KNOWN, STALE = 0, 1, 2


class Recorder(Verbs[Envelope]):
    """Sends nothing and gives what would be sent."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()

    def _send(self, envelope: Envelope) -> Envelope:
        return envelope


def body(envelope: Envelope) -> list[Any]:
    """Return an event's name and data."""
    found: list[Any] = json.loads(envelope.args[1])
    return found


class Bus:
    """A server and one tenant on it."""

    def __init__(self, client: redis.Redis, *, is_real: bool) -> None:
        self.client: Any = client
        self.is_real = is_real
        self.org = new_id()
        self.room = conversation(new_id())
        for script in SCRIPTS.values():
            client.script_load(script.source)

    def run(self, envelope: Envelope) -> tuple[int, Offset]:
        (found,) = self.run_all(envelope)
        return found

    def run_all(self, envelope: Envelope) -> list[tuple[int, Offset]]:
        """Publish all events of an envelope; return status and offset of each."""
        found = iter(self.client.evalsha(*command(envelope)))
        return [(status, parse_offset(offset.decode())) for status, offset in zip(found, found, strict=True)]

    def publish(self, data: Any = 1, to: Any = None, **more: Any) -> tuple[int, Offset]:
        options = more.pop("options", Options())
        return self.run(build_event(self.org, "e", data, to or self.room, options, **more))

    def log(self, room: Room | None = None) -> list[tuple[int, dict[bytes, bytes]]]:
        entries = self.client.xrange(wire.log_key(self.org, room or self.room))
        return [(int(ident.partition(b"-")[0]), fields) for ident, fields in entries]

    def data(self, room: Room | None = None) -> list[Any]:
        """What a room's log holds, as the backend gave it."""
        return [json.loads(fields[b"d"])[1] for _, fields in self.log(room)]

    def listen(self, *rooms: Room) -> Listener:
        return Listener(self, rooms or (self.room,))

    def now(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1_000_000 + int(micros)


class Listener:
    """Subscribed to some rooms."""

    def __init__(self, bus: Bus, rooms: tuple[Room, ...]) -> None:
        self._pubsub = bus.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(*(wire.channel(bus.org, room) for room in rooms), "end")
        self._bus = bus

    def heard(self) -> list[Message]:
        """Everything that was published so far."""
        self._bus.client.publish("end", "")
        found: list[Message] = []
        while True:
            push = self._pubsub.get_message(timeout=5.0)
            if push is None:
                continue
            if push["channel"] == b"end":
                self._pubsub.close()
                return found
            found.append(parse_message(push["data"]))


@pytest.fixture(params=["valkey", "fakeredis"])
def bus(request: pytest.FixtureRequest, shared_redis_server: EmbeddedRedis) -> Iterator[Bus]:
    if request.param == "valkey":
        with redis.Redis.from_url(shared_redis_server.url) as client:
            yield Bus(client, is_real=True)
        return
    if importlib.util.find_spec("lupa") is None:
        pytest.skip("fakeredis runs Lua only with lupa: pip install 'fakeredis[lua]'")
    with fakeredis.FakeRedis() as client:
        yield Bus(client, is_real=False)
