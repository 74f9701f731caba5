"""A TCP proxy in front of a server, through which a test breaks the network in every way that networks break.

    await proxy.refuse()    # every connection is reset and new ones are refused, until `start`
    proxy.cut()             # every connection is reset; new ones are taken
    proxy.stall()           # nothing gets through and nothing closes, until `resume`: then what waited arrives
    proxy.lose_replies()    # questions get through, answers are lost; what lost some stays silent for good
    proxy.abandon()         # connections that are open now stay open and silent for good; new ones are fine
    proxy.throttle(50_000)  # bytes a second that each connection gets from the server; None for no limit
    proxy.forbid(b"...")    # every connection whose client says this is reset; None for none

`cut`, `stall`, `lose_replies`, `abandon` and `throttle` also take some of `proxy.links`, to do it to those alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import Literal, Self

KEPT = 65_536
"""Bytes of what a client sent that its link remembers."""
TICK_S = 0.02
"""Between two pieces of what goes through slowly."""


class Pipe(asyncio.Protocol):
    """One end of a link: what it reads is written to its peer."""

    peer: Pipe

    def __init__(self, link: Link, name: Literal["client", "server"]) -> None:
        self.transport: asyncio.Transport | None = None
        self.rate: float | None = None
        self.losing = False
        self._link = link
        self._name = name
        self._holds = 0
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.proxy.open_ends.add(self)
        if self._link.is_cut:
            self.reset()
            return
        # Later: asyncio of Python 3.11.2 begins to read behind this call, whatever is paused in it.
        asyncio.get_running_loop().call_soon(self._pause_if_held)
        for data in self._early:
            transport.write(data)

    def _pause_if_held(self) -> None:
        assert self.transport is not None
        if self._holds and not self.transport.is_closing():
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._name == "client":
            self._link.note(data)
        if self.losing or self._link.is_cut:
            return
        if self.rate is None:
            self.peer.write(data)
        else:
            self.hold()
            self._trickle(data, int(self.rate * TICK_S) + 1)

    def _trickle(self, data: bytes, size: int) -> None:
        self.peer.write(data[:size])
        if len(data) > size:
            asyncio.get_running_loop().call_later(TICK_S, self._trickle, data[size:], size)
        else:
            self.let_go()

    def write(self, data: bytes) -> None:
        """Send to whoever is at this end, as soon as there is someone."""
        if self.transport is None:
            self._early.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.peer.hold()

    def resume_writing(self) -> None:
        self.peer.let_go()

    def hold(self) -> None:
        """Read no more until every `hold` has been let go: what is sent waits in TCP's own buffers."""
        self._holds += 1
        if self._holds == 1 and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def let_go(self) -> None:
        """Take one `hold` back."""
        self._holds -= 1
        if self._holds == 0 and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def reset(self) -> None:
        """End with a reset instead of a good-bye."""
        if self.transport is not None and not self.transport.is_closing():
            raw = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.peer.reset()
        elif self.peer.transport is not None:
            self.peer.transport.close()
        self._link.ended()
        self._link.proxy.open_ends.discard(self)


class Link:
    """One connection through the proxy; `asked` is the beginning of what its client sent."""

    def __init__(self, proxy: Proxy) -> None:
        self.client = Pipe(self, "client")
        self.server = Pipe(self, "server")
        self.client.peer, self.server.peer = self.server, self.client
        self.asked = b""
        self.is_cut = False
        self.is_stalled = False
        self.proxy = proxy

    def note(self, data: bytes) -> None:
        """Remember the beginning of what the client sends."""
        if len(self.asked) < KEPT:
            self.asked += data
        if self.proxy.forbidden is not None and self.proxy.forbidden in data:
            self.cut()

    def ended(self) -> None:
        """Note that an end is gone."""
        self.proxy.links.discard(self)
        self.proxy.abandoned.discard(self)

    def cut(self) -> None:
        """Reset both ends."""
        self.is_cut = True
        self.client.reset()
        self.server.reset()

    def stall(self) -> None:
        """Let nothing through."""
        if not self.is_stalled:
            self.is_stalled = True
            self.client.hold()
            self.server.hold()

    def resume(self) -> None:
        """Let everything through again, first what waited."""
        if self.is_stalled:
            self.is_stalled = False
            self.client.let_go()
            self.server.let_go()


class Proxy:
    """The proxy; `url` is where its server, taken for a Redis, seems to be, `http_url` the same for a replica.

    Of several servers each connection gets the next one that answers, as from a load balancer.
    It lives on the test's loop: whoever holds the loop up holds up the network, too.
    """

    def __init__(self, *server_ports: int) -> None:
        self.links: set[Link] = set()
        self.abandoned: set[Link] = set()
        self.open_ends: set[Pipe] = set()
        self.accepted = 0
        """Connections so far."""
        self.port = 0
        self.forbidden: bytes | None = None
        self._server_ports = list(server_ports)
        self._stalled = False
        self._losing = False
        self._rate: float | None = None
        self._listener: socket.socket | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_listening(self) -> bool:
        """Whether it takes connections."""
        return self._listener is not None

    async def start(self) -> Self:
        """Take connections, on the port that it had before if it had one."""
        # No server of asyncio's: one that is closed in the turn after it took a connection forgets that open.
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        self.port = self._listener.getsockname()[1]
        return self

    async def refuse(self, *, cut: bool = True) -> None:
        """Refuse new connections, until `start`; without `cut` those that are there stay."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        if cut:
            self.cut([*self.links, *self.abandoned])
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """End for good, and leave no socket open: one that the loop has just taken needs some of its turns."""
        await self.refuse()
        await asyncio.sleep(0)
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        while self.open_ends:
            for end in self.open_ends:
                end.reset()
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def links_that_asked(self, words: bytes) -> list[Link]:
        """Return the links whose client has sent these bytes, such as b"SUBSCRIBE"."""
        return [link for link in self.links if words in link.asked]

    def point_to(self, *server_ports: int) -> None:
        """Bring new connections to other servers, as an address that moves does; `cut` ends the old ones."""
        self._server_ports = list(server_ports)

    # -- faults

    def cut(self, links: Iterable[Link] | None = None) -> None:
        """Reset every connection; new ones are taken."""
        for link in self._chosen(links):
            link.cut()

    def stall(self, links: Iterable[Link] | None = None) -> None:
        """Let nothing through either way, and close nothing: a half-open network."""
        self._stalled = self._stalled or links is None
        for link in self._chosen(links):
            link.stall()

    def lose_replies(self, links: Iterable[Link] | None = None) -> None:
        """Let questions through and swallow the answers; no connection skips bytes, so these end silent."""
        self._losing = self._losing or links is None
        for link in self._chosen(links):
            link.server.losing = True

    def abandon(self, links: Iterable[Link] | None = None) -> None:
        """Leave the connections there are open and silent for good."""
        for link in self._chosen(links):
            link.stall()
            self.links.discard(link)
            self.abandoned.add(link)

    def throttle(self, bytes_per_s: float | None, links: Iterable[Link] | None = None) -> None:
        """Slow down what the server says."""
        if links is None:
            self._rate = bytes_per_s
        for link in self._chosen(links):
            link.server.rate = bytes_per_s

    def forbid(self, words: bytes | None) -> None:
        """Reset every connection whose client says this from now on, as a firewall does with protocols."""
        self.forbidden = words

    def resume(self) -> None:
        """Let everything through again, first what was held; what was lost stays lost."""
        self._stalled = self._losing = False
        for link in self._chosen(None):
            link.resume()

    def _chosen(self, links: Iterable[Link] | None) -> list[Link]:
        return list(self.links if links is None else links)

    # -- connections

    def _accept(self, listener: socket.socket) -> None:
        try:
            taken, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        link = Link(self)
        link.server.rate = self._rate
        link.server.losing = self._losing
        if self._stalled:
            link.stall()
        self.links.add(link)
        self.accepted += 1
        task = asyncio.ensure_future(self._connect(link, taken))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, link: Link, taken: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: link.client, taken)
        for _ in self._server_ports:
            self._server_ports.append(port := self._server_ports.pop(0))
            try:
                await loop.create_connection(lambda: link.server, "127.0.0.1", port)
            except OSError:
                continue
            return
        link.cut()
