"""Lanes: one for each shard, and order within a tenant wherever its slot goes."""

from __future__ import annotations

from concurrent.futures import Future

from redis.exceptions import MovedError, TryAgainError

from publisher import Options, conversation
from publisher.address import Node
from publisher.buffer import Buffer, Item
from publisher.calls import PUBLISHED, Taken
from publisher.envelope import Envelope, build_event
from publisher.lanes import Lanes, heed
from publisher.topology import SLOTS, Topology, slot_of
from tests.support.tokens import new_id

A, B = Node("a", 1), Node("b", 1)


class Lane:
    """A queue that nobody sends."""

    def __init__(self) -> None:
        self.buffer = Buffer(100, 1 << 20)

    def put(self, envelope: Envelope) -> None:
        self.buffer.put(Item(envelope, Future()))


def event() -> Envelope:
    return build_event(new_id(), "e", 1, conversation(new_id()), Options())


def halves() -> Topology:
    topology = Topology([A])
    topology.learn([[0, SLOTS // 2, ["a", 1]], [SLOTS // 2 + 1, SLOTS - 1, ["b", 1]]], A)
    return topology


def test_a_single_server_has_one_lane() -> None:
    lanes = Lanes(None, Lane)
    assert lanes.of(event()) is lanes.of(event())
    assert lanes.counters() is lanes.of(event()).buffer.counters


def test_each_shard_has_its_own_lane() -> None:
    topology = halves()
    lanes = Lanes(topology, Lane)
    for _ in range(20):
        one, other = event(), event()
        same = topology.owner(slot_of(one.keys[0])) == topology.owner(slot_of(other.keys[0]))
        assert (lanes.of(one) is lanes.of(other)) is same


def test_a_slot_that_moved_keeps_its_lane_until_that_is_empty() -> None:
    topology, first = halves(), event()
    lanes = Lanes(topology, Lane)
    lane = lanes.of(first)
    lane.put(first)
    slot = slot_of(first.keys[0])
    there = B if topology.owner(slot) == A else A
    topology.moved(slot, there.host, there.port, A)
    assert lanes.of(first) is lane
    lane.buffer.settle(lane.buffer.take(1, now=0.0), [[Taken(PUBLISHED, "e-1")]])
    assert lanes.of(first) is not lane


def test_a_redirection_is_learnt_and_sent_again() -> None:
    topology = halves()
    results = heed(topology, [[0, b"e-1"], MovedError("7 b:1")], A)
    assert topology.owner(7) == B
    assert results[0] == [0, b"e-1"]
    assert isinstance(results[1], TryAgainError)
