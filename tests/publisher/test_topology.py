"""Who has which slot."""

from __future__ import annotations

from publisher.address import Node
from publisher.topology import SLOTS, Topology, slot_of

HERE = Node("a", 1)
REPLY = [
    [0, 8191, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.2", 7001, b"id"]],
    [8192, SLOTS - 1, [b"", 7002, b"id"], [None, 7003, b"id"]],
]


def test_all_keys_of_a_tenant_are_in_one_slot() -> None:
    assert len({slot_of(f"rt:{{t}}:{rest}") for rest in ("meta", "log:conversation:x", "room:user:y")}) == 1
    assert slot_of(b"123456789") == 12739  # the specification's own example, 0x31C3


def test_before_anybody_said_something_there_is_only_whom_to_ask() -> None:
    topology = Topology([HERE, HERE])
    assert (topology.owner(5), topology.owners, topology.to_ask()) == (None, frozenset(), [HERE])


def test_masters_have_the_slots_and_a_node_without_a_name_is_where_it_was_asked() -> None:
    topology = Topology([HERE])
    topology.learn(REPLY, HERE)
    assert topology.owner(0) == topology.owner(8191) == Node("10.0.0.1", 7000)
    assert topology.owner(8192) == Node("a", 7002)
    assert topology.owners == {Node("10.0.0.1", 7000), Node("a", 7002)}
    assert set(topology.to_ask()) >= {HERE, Node("10.0.0.2", 7001), Node("a", 7003)}


def test_one_that_knows_no_slots_changes_nothing() -> None:
    topology = Topology([HERE])
    topology.learn(REPLY, HERE)
    topology.learn([], Node("new", 1))
    assert topology.owner(0) == Node("10.0.0.1", 7000)


def test_moved_is_believed_for_its_slot() -> None:
    topology = Topology([HERE])
    topology.learn(REPLY, HERE)
    topology.moved(3, "10.0.0.9", 7009, HERE)
    topology.moved(4, "", 7008, HERE)
    assert topology.owner(3) == Node("10.0.0.9", 7009)
    assert topology.owner(4) == Node("a", 7008)
    assert topology.owner(5) == Node("10.0.0.1", 7000)
