"""The network: which hosts listen, the connections between them, and what the world does to these.

Bytes of one connection arrive in order (`transport.py`), those of two connections in any order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tests.simulation.process import Process
from tests.simulation.transport import NOBODY, Handle, Link, Transport
from tests.simulation.world import World

READ: Final = 1 << 18
"""Bytes of one read, at most."""
CONNECT_PATIENCE_S: Final = 127.0
NEAR_S: Final = 0.0005
"""Latency of the connections within the data centre."""


class Listener:
    """A listening port; asyncio's `Server`, as far as aiohttp uses it."""

    def __init__(self, network: Network, process: Process, factory: Callable[[], Any], port: int) -> None:
        self.process = process
        self.factory = factory
        self.sockets = [Handle((process.name, port))]
        self._network = network
        self._port = port

    def close(self) -> None:
        self._network.listeners.pop((self.process.name, self._port), None)

    async def wait_closed(self) -> None:
        """Return: nothing is left to close."""


class Network:
    """All hosts, by their processes' names, and the connections between them.

    Data may be later than the latency of its connection, by up to `jitter` times as much. `pieces` is the share of
    reads that get only a part of what has arrived.
    """

    def __init__(
        self, world: World, *, jitter: float = 0.1, pieces: float = 0.0, client_latency_s: float = NEAR_S
    ) -> None:
        self.world = world
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.transports: dict[str, dict[Transport, None]] = {}
        """The connections of each process."""
        self.route: Callable[[str, int], tuple[str, int]] = lambda host, port: (host, port)
        """Where a connection to a name goes, such as that of a load balancer."""
        self._jitter = jitter
        self.pieces = pieces
        self._client_latency_s = client_latency_s
        self._dark: dict[str, None] = {}
        """Hosts that are gone: what is sent to them is not answered."""
        self._stalls: dict[tuple[str, str], float] = {}
        """Pairs of hosts between which nothing goes through, each with the moment until which."""
        self._numbers = 0

    # -- what the world does to it

    def stall(self, here: str, there: str, until: float) -> None:
        """Let nothing through between two hosts until a moment; nothing is lost."""
        for pair in ((here, there), (there, here)):
            self._stalls[pair] = max(until, self._stalls.get(pair, 0.0))

    def links(self, here: str, there: str | None = None) -> list[Transport]:
        """Return the ends at a host of its connections, or of those with another host."""
        found = self.transports.get(here, {})
        return [end for end in found if there is None or end.peer.process.name == there]

    def kill_link(self, end: Transport, *, never_heals: bool = False) -> None:
        """Let nothing through on a connection ever again, without a word to either end."""
        end.link.is_dead = True
        end.link.never_heals = never_heals
        for side in (end, end.peer):
            if side.unread:
                side.watch()

    def heal(self) -> None:
        """Let packets through everywhere: what is sent again on a dead connection is answered with RST."""
        for ends in [*self.transports.values()]:
            for end in [*ends]:
                if end.link.is_dead and not end.link.never_heals:
                    end.hear_reset()

    def reset_link(self, end: Transport) -> None:
        """Break a connection: both ends get RST."""
        for side in (end, end.peer):
            side.hear_reset()
        end.link.is_dead = True

    def bury(self, process: Process, *, silently: bool = False) -> None:
        """End what a dead process had open."""
        if silently:
            self._dark[process.name] = None
        for key in [key for key in self.listeners if key[0] == process.name]:
            del self.listeners[key]
        for end in self.transports.pop(process.name, {}):
            end.bury(silently=silently)

    # -- for the transports

    def arrival(self, end: Transport) -> float:
        """Return the moment at which what is sent now arrives."""
        latency_s = end.link.latency_s
        due = self.world.now + latency_s * (1.0 + self._jitter * self.world.random.random())
        until = self._stalls.get((end.process.name, end.peer.process.name))
        if until is not None and until > due:
            if until - self.world.now > end.get_extra_info("socket").patience_s:
                end.watch()
            # The sender tries again, less and less often.
            return until + latency_s + self.world.random.random() * 0.2
        return due

    def piece(self, size: int) -> int:
        """Return how many of so many bytes are read at once."""
        if self.pieces and size > 1 and self.world.random.random() < self.pieces:
            return self.world.random.randrange(1, size)
        return min(size, READ)

    def aborts_by_reset(self) -> bool:
        return self.world.random.random() < 0.5

    def forget(self, end: Transport) -> None:
        self.transports.get(end.process.name, {}).pop(end, None)

    # -- for the processes

    def listen(self, process: Process, factory: Callable[[], Any], port: int) -> Listener:
        if port == 0:
            port = 40_000 + len(self.listeners)
        if (process.name, port) in self.listeners:
            raise OSError(98, "Address already in use")
        listener = self.listeners[process.name, port] = Listener(self, process, factory, port)
        return listener

    async def connect(self, process: Process, factory: Callable[[], Any], host: str, port: int) -> tuple[Any, Any]:
        """Connect, or raise what a kernel would."""
        there = self.route(host, port)
        self._numbers += 1
        number = self._numbers
        latency_s = self._client_latency_s if process.name.startswith("page") else NEAR_S
        arrived: asyncio.Future[Transport] = process.create_future()
        here = (process.name, 50_000 + number)
        self.world.at(
            max(self.world.now, self._stalls.get((process.name, there[0]), 0.0)) + latency_s,
            lambda: self._knock(process, Link(number, latency_s), here, there, arrived),
        )
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                transport = await arrived
        except BaseException:
            if arrived.done() and not arrived.cancelled() and arrived.exception() is None:
                arrived.result().close_now()
            raise
        protocol = factory()
        transport.start(protocol)
        return transport, protocol

    def _knock(
        self,
        process: Process,
        link: Link,
        here: tuple[str, int],
        there: tuple[str, int],
        arrived: asyncio.Future[Transport],
    ) -> None:
        if not process.is_alive or arrived.done() or there[0] in self._dark:
            return
        listener = self.listeners.get(there)
        if listener is None:
            error = ConnectionRefusedError(111, f"Connect call failed {there}")
            self.world.after(link.latency_s, lambda: process.do(lambda: _refuse(arrived, error)))
            return
        ends = (
            Transport(self, process, link, here, there),
            Transport(self, listener.process, link, there, here),
        )
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        for end in ends:
            self.transports.setdefault(end.process.name, {})[end] = None
        options = listener.sockets[0].options
        ends[1].get_extra_info("socket").options.update(options)
        ends[0].protocol = ends[1].protocol = NOBODY
        listener.process.do(lambda: _accept(ends[1], listener))
        self.world.after(link.latency_s, lambda: process.do(lambda: _admit(ends[0], arrived)))


def _accept(end: Transport, listener: Listener) -> None:
    if not end.is_lost:
        end.start(listener.factory())


def _admit(end: Transport, arrived: asyncio.Future[Transport]) -> None:
    if arrived.done():
        end.close_now()
    else:
        arrived.set_result(end)


def _refuse(arrived: asyncio.Future[Transport], error: OSError) -> None:
    if not arrived.done():
        arrived.set_exception(error)
