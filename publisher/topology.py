"""The nodes of a cluster and their slots, as far as they are known. No I/O.

All keys of a tenant are in one slot, so whoever asks for a tenant's first key asks the right node for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from publisher.address import Node

SLOTS = REDIS_CLUSTER_HASH_SLOTS


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key or channel."""
    return key_slot(key.encode() if isinstance(key, str) else key)


class Topology:
    """The nodes' own account of their slots; before the first one, nothing but addresses to ask."""

    def __init__(self, seeds: Iterable[Node]) -> None:
        self._seeds = tuple(dict.fromkeys(seeds))
        self._owners: list[Node | None] = [None] * SLOTS
        self._known: tuple[Node, ...] = ()
        self.owners: frozenset[Node] = frozenset()
        """The nodes that have a slot: one for each shard."""

    def owner(self, slot: int) -> Node | None:
        """Return the node that has a slot, None where nobody said so yet."""
        return self._owners[slot]

    def to_ask(self) -> list[Node]:
        """Return the nodes to ask: masters, replicas, and those named at first, which may have come back."""
        return list(dict.fromkeys((*self._known, *self._seeds)))

    def learn(self, reply: Sequence[Any], asked: Node) -> None:
        """Take in what a node answers to CLUSTER SLOTS; one that knows no slots changes nothing."""
        owners: list[Node | None] = [None] * SLOTS
        known: dict[Node, None] = {}
        for first, last, *nodes in reply:
            found = [_node(node, asked) for node in nodes]
            known |= dict.fromkeys(found)
            owners[int(first) : int(last) + 1] = [found[0]] * (int(last) - int(first) + 1)
        if known:
            self._owners, self._known = owners, tuple(known)
            self.owners = frozenset(node for node in owners if node is not None)

    def moved(self, slot: int, host: str, port: int, asked: Node) -> None:
        """Take in what a node said with MOVED: which node has a slot by now."""
        node = Node(host if host and host != "?" else asked.host, port)
        self._owners[slot] = node
        self.owners |= {node}


def _node(entry: Sequence[Any], asked: Node) -> Node:
    host = entry[0].decode() if isinstance(entry[0], bytes) else entry[0]
    # A node that does not know its own address, or is told not to say it, is where it was asked.
    return Node(host if host and host != "?" else asked.host, int(entry[1]))
