"""What really happened: every event that Redis published, in order, whoever learned of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.simulation.world import World

_IDENT: Final = re.compile(rb'"n":"([a-z0-9-]+)"')
_REVOKED: Final = re.compile(rb'\n\{"do":"(?:leave","room":"([^"]+)|disconnect)"')
_CONFLATE: Final = re.compile(rb'"conflate":"([a-z0-9:]+)"')


@dataclass(slots=True)
class Committed:
    """An event that Redis has put into the logs of its rooms and published."""

    ident: str
    tenant: str
    rooms: list[str]
    offset: str
    seq: int
    at: float
    conflate: str | None = None
    """The key under which only the latest counts."""
    is_lost: bool = False
    """Whether Redis lost it with its last writes: who has it has it, nobody is owed it."""


class Revoked(NamedTuple):
    """A message to the gateways that a user is not in a room any more, or, without a room, is sent away."""

    tenant: str
    user: str
    room: str | None
    seq: int
    at: float


class Truth:
    """The events by their idents, as Redis published them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.revoked: list[Revoked] = []
        self.events: dict[str, Committed] = {}
        self.twice: list[str] = []
        """Events that were published with two offsets."""
        self.again: dict[str, None] = {}
        """Events that Redis lost and got once more: a page may have such a one at either offset."""
        self.watch: Callable[[Committed], object] | None = None
        """Is told of each event when Redis publishes it."""

    def published(self, channel: bytes, message: bytes) -> None:
        """Take down a message on a room's channel."""
        ident = _IDENT.search(message)
        if ident is None:
            self._control(channel, message)
            return
        name = ident[1].decode()
        offset = message.partition(b" ")[0].decode()
        tenant, room = _room_of(channel)
        known = self.events.get(name)
        if known is None or known.is_lost:
            if known is not None:
                self.again[name] = None
            seq = int(offset.partition("-")[2])
            conflated = _CONFLATE.search(message)
            key = conflated[1].decode() if conflated is not None else None
            event = self.events[name] = Committed(name, tenant, [room], offset, seq, self._world.now, key)
            if self.watch is not None:
                self.watch(event)
        elif known.offset != offset:
            self.twice.append(f"{name} was published at {known.offset} and at {offset}")
        else:
            known.rooms.append(room)

    def _control(self, channel: bytes, message: bytes) -> None:
        """Take down a revocation; no other message on a user's own room is one."""
        revoked = _REVOKED.search(message)
        if revoked is not None:
            tenant, own = _room_of(channel)
            seq = int(message.partition(b" ")[0].decode().partition("-")[2])
            room = revoked[1].decode() if revoked[1] is not None else None
            self.revoked.append(Revoked(tenant, own.partition(":")[2], room, seq, self._world.now))

    def lose(self, last_seq: Callable[[str], int]) -> None:
        """Take down that Redis has lost what is behind the last seq that it knows of each tenant."""
        for event in self.events.values():
            if event.seq > last_seq(event.tenant):
                event.is_lost = True


def _room_of(channel: bytes) -> tuple[str, str]:
    """Return the tenant and the room of a channel, `rt:{<tenant>}:room:<room>`."""
    head, _, room = channel.decode().partition("}:room:")
    return head.removeprefix("rt:{"), room
