"""The nodes of a cluster and their slots, as far as they are known. No I/O.

All keys of a tenant are in one slot, so the owner of one of them owns them all.
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
    """The owner of each slot, as the nodes report it; at first, only the addresses of nodes to ask."""

    def __init__(self, seeds: Iterable[Node]) -> None:
        self._seeds = tuple(dict.fromkeys(seeds))
        self._owners: list[Node | None] = [None] * SLOTS
        self._known: tuple[Node, ...] = ()
        self.owners: frozenset[Node] = frozenset()
        """The nodes that own a slot: one per shard."""

    def owner(self, slot: int) -> Node | None:
        """Return the node that owns a slot; None if no node has said so yet."""
        return self._owners[slot]

    def to_ask(self) -> list[Node]:
        """Return the nodes to ask: known masters and replicas, then the configured ones, which may be back."""
        return list(dict.fromkeys((*self._known, *self._seeds)))

    def learn(self, reply: Sequence[Any], asked: Node) -> None:
        """Note a node's answer to CLUSTER SLOTS; an answer without slots changes nothing."""
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
        """Note a node's MOVED: the node that owns a slot by now."""
        node = Node(host if host and host != "?" else asked.host, port)
        self._owners[slot] = node
        self.owners |= {node}


def _node(entry: Sequence[Any], asked: Node) -> Node:
    host = entry[0].decode() if isinstance(entry[0], bytes) else entry[0]
    # A node may not know its own address, or may be set not to tell it; then the address that was asked is right.
    return Node(host if host and host != "?" else asked.host, int(entry[1]))
