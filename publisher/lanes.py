"""Lanes: one queue of events per shard of a cluster, so that a shard that is away delays no other's events.

A single server has one lane. All events of a tenant have one slot, and stay in order: a slot that has moved to
another shard keeps its lane until that lane is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from redis.exceptions import AskError, MovedError, TryAgainError

from publisher.address import Node
from publisher.buffer import LANE_TTL_S, Buffer, Item
from publisher.counters import Counters
from publisher.envelope import Envelope, Options
from publisher.scripts import command
from publisher.topology import Topology, slot_of


class Lane(Protocol):
    """The part that the lanes of both publishers have in common."""

    buffer: Buffer


L = TypeVar("L", bound=Lane)
LANE_MS = int(LANE_TTL_S * 1000)


class Lanes(Generic[L]):
    """The lanes of one publisher, each created when it is first needed."""

    def __init__(self, topology: Topology | None, make: Callable[[], L]) -> None:
        self._topology = topology
        self._make = make
        self._lanes: dict[Node | None, L] = {}
        self._homes: dict[int, tuple[Node | None, L]] = {}
        if topology is None:
            self._lane(None)

    def __iter__(self) -> Iterator[L]:
        return iter(self._lanes.values())

    def of(self, envelope: Envelope) -> L:
        """Return the lane that sends an envelope, the same for all events of a tenant."""
        if self._topology is None:
            return self._lane(None)
        slot = slot_of(envelope.keys[0])
        owner = self._topology.owner(slot)
        home = self._homes.get(slot)
        if home is None or (home[0] != owner and not len(home[1].buffer)):
            home = self._homes[slot] = owner, self._lane(owner)
        return home[1]

    def _lane(self, owner: Node | None) -> L:
        lane = self._lanes.get(owner)
        if lane is None:
            lane = self._lanes[owner] = self._make()
        return lane

    @property
    def unsent(self) -> int:
        """Return the number of events in all lanes."""
        return sum(len(lane.buffer) for lane in self)

    def counters(self) -> Counters:
        """Return the counters of all lanes: live ones for a single server, current sums for a cluster."""
        if self._topology is None:
            return self._lanes[None].buffer.counters
        total = Counters()
        for lane in self:
            for name in Counters.__slots__:
                setattr(total, name, getattr(total, name) + getattr(lane.buffer.counters, name))
        return total


def command_of(items: Sequence[Item], lane: str) -> tuple[Any, ...]:
    """Return the arguments of `evalsha` for items of one tenant that go into one call."""
    numbers = [item.number for item in items]
    return command(*(item.envelope for item in items), lane=lane, lane_ms=LANE_MS, numbers=numbers)


def slot_of_item(item: Item) -> int:
    """Return the number of the cluster's slot that has an item's tenant."""
    return slot_of(item.envelope.keys[0])


def heed(topology: Topology | None, results: list[Any], asked: Node | None) -> list[Any]:
    """Note redirections in the topology; return the results with each redirection as `TryAgainError`, a retry.

    A server answers ASK for single keys while a slot moves; our scripts must wait until all their keys have moved.
    """
    if topology is None or asked is None:
        return results
    for result in results:
        if isinstance(result, MovedError):
            topology.moved(result.slot_id, result.host, result.port, asked)
    return [TryAgainError("the slot moves") if isinstance(result, AskError) else result for result in results]


def sharded(options: Options | None) -> Options:
    """Return the options with `sharded` set, as a cluster needs it."""
    return replace(options or Options(), sharded=True)
