"""One end of a connection that is slow, stalls, breaks, half-opens and loses nothing while it lives, as TCP's do.

Bytes arrive in order, in pieces of any size. A sender has room for `WINDOW` bytes that its peer's process has not
read; what is more waits in its transport, which then says `pause_writing`. A connection ends by FIN, behind its
bytes, or by RST, which overtakes them. If its link is dead, nothing arrives any more, and its ends learn of it
from nothing but time.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.network import Network

WINDOW: Final = 1 << 17
"""Bytes that are under way or unread at the other end, at most: the kernels' buffers of both ends."""
HIGH_WATER: Final = 1 << 16
KERNEL_PATIENCE_S: Final = 900.0
"""Seconds without an acknowledgement after which a kernel gives a connection up, if it is told no other time."""

FIN: Final = b"FIN"
"""The mark behind the last byte, recognized by identity."""


class Handle:
    """What the product sees of a file: options that it sets, and no number."""

    family = socket.AF_INET

    def __init__(self, name: tuple[str, int]) -> None:
        self._name = name
        self.options: dict[tuple[int, int], Any] = {}

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options[level, option] = value

    def getsockname(self) -> tuple[str, int]:
        return self._name

    def fileno(self) -> int:
        return -1

    @property
    def patience_s(self) -> float:
        """Return the time of TCP_USER_TIMEOUT, or the kernel's own."""
        set_ms: int | None = self.options.get((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        return KERNEL_PATIENCE_S if set_ms is None else set_ms / 1000


class Link:
    """What both ends of a connection share."""

    __slots__ = ("is_dead", "latency_s", "never_heals", "number")

    def __init__(self, number: int, latency_s: float) -> None:
        self.number = number
        self.latency_s = latency_s
        self.is_dead = False
        self.never_heals = False
        """Whether nothing ever answers on it, as behind a firewall that has forgotten the connection."""


class _Nobody(asyncio.Protocol):
    """Has a connection before its protocol does."""


NOBODY: Final = _Nobody()


class Transport(asyncio.Transport):
    """One end of a connection."""

    def __init__(
        self, network: Network, process: Process, link: Link, here: tuple[str, int], there: tuple[str, int]
    ) -> None:
        super().__init__({"sockname": here, "peername": there, "socket": Handle(here)})
        self.process = process
        self.link = link
        self.peer: Transport = self
        """The other end."""
        self.protocol: Any = None
        self._cancelled = False
        self._network = network
        self._world = network.world
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        # Sending: what waits for room, what is under way with the moment at which it arrives, and how much of both
        # the peer's process has not read.
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flying: deque[tuple[float, bytes]] = deque()
        self.unread = 0
        self._is_flying = False
        self._last_due = 0.0
        self._writer_paused = False
        self._watched = False
        # Receiving.
        self._arrived: deque[bytes] = deque()
        self._reading = False
        self._posted = False
        # The end.
        self._closing = False
        self._eof_sent = False
        self._reset: OSError | None = None
        self.is_lost = False
        """Whether this end is gone: nothing is sent or received any more."""

    def __repr__(self) -> str:
        return f"<{self.process.name} #{self.link.number}>"

    # -- asyncio's transport

    def start(self, protocol: Any) -> None:
        """Give the connection to its protocol."""
        self.protocol = protocol
        protocol.connection_made(self)
        self._reading = True
        if self._reset is not None:
            # As with a selector, which tells of an error in a later turn than the one that accepts.
            self.process.call_soon(self._lose_by_reset)
        self._look()

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._closing:
            self._reading = True
            self._look()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low
        self._watch_high_water()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        if self._closing or self._eof_sent or not data:
            return
        data = bytes(data)
        if not self._waiting:
            room = WINDOW - self.unread
            if len(data) <= room:
                self._send(data)
                return
            if room > 0:
                self._send(data[:room])
                data = data[room:]
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._watch_high_water()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._eof_sent and not self._closing:
            self._eof_sent = True
            if not self._waiting:
                self._fly(FIN)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if not self._waiting:
            self.process.call_soon(self.close_now)

    def abort(self) -> None:
        if self.is_lost:
            return
        self._closing = True
        self._reading = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self.process.call_soon(self._abort_now)

    # -- sending

    def _send(self, data: bytes) -> None:
        self.unread += len(data)
        self._fly(data)

    def _fly(self, data: bytes) -> None:
        if self.link.is_dead:
            self.watch()
            return
        due = self._network.arrival(self)
        self._last_due = due = max(due, self._last_due)
        self._flying.append((due, data))
        if not self._is_flying:
            self._is_flying = True
            self._world.at(due, self._land)

    def _land(self) -> None:
        """Bring what has arrived to the other end."""
        self._is_flying = False
        if self.link.is_dead:
            self._flying.clear()
            return
        now, flying, peer = self._world.now, self._flying, self.peer
        while flying and flying[0][0] <= now:
            peer._arrived.append(flying.popleft()[1])
        if flying:
            self._is_flying = True
            self._world.at(flying[0][0], self._land)
        if peer.is_lost:
            # Nobody is there: the kernel answers with RST.
            peer._arrived.clear()
            self.hear_reset()
        else:
            peer._look()

    def _read_by_peer(self, size: int) -> None:
        self.unread -= size
        if self._waiting:
            self._world.after(self.link.latency_s, self._flush_in_process)

    def _flush_in_process(self) -> None:
        if self.process.is_alive and not self.is_lost:
            self.process.call_soon(self._flush)

    def _flush(self) -> None:
        while self._waiting and self.unread < WINDOW:
            data, room = self._waiting.popleft(), WINDOW - self.unread
            if len(data) > room:
                self._waiting.appendleft(data[room:])
                data = data[:room]
            self._waiting_bytes -= len(data)
            self._send(data)
        if self._writer_paused and self._waiting_bytes <= self._low:
            self._writer_paused = False
            self.protocol.resume_writing()
        if not self._waiting and not self.is_lost:
            if self._closing:
                self.close_now()
            elif self._eof_sent:
                self._fly(FIN)

    def _watch_high_water(self) -> None:
        if self._waiting_bytes > self._high and not self._writer_paused:
            self._writer_paused = True
            self.protocol.pause_writing()

    def watch(self) -> None:
        """Give the connection up if nothing of what is sent from now on is acknowledged in time."""
        if not self._watched:
            self._watched = True
            patience_s = self.get_extra_info("socket").patience_s
            self._world.after(patience_s, lambda: self._fail_later(TimeoutError(110, "Connection timed out")))

    # -- receiving

    def _look(self) -> None:
        """Have the process read, if there is something to read."""
        if self._reading and not self._posted and (self._arrived or self._reset) and self.process.is_alive:
            self._posted = True
            self.process.post(self)

    def _run(self) -> None:
        """Read, in the process' own turn."""
        self._posted = False
        if self.is_lost or not self._reading:
            return
        if self._reset is not None:
            self._lose(self._reset)
            return
        data = self._read()
        if data:
            self._world.trace.note(self._world.now, f"{self!r} < {len(data)}")
            self.peer._read_by_peer(len(data))
            self.protocol.data_received(data)
            if self._arrived or self._reset is not None:
                self._look()
        elif self._arrived:
            self._arrived.clear()
            self._hear_eof()

    def _read(self) -> bytes:
        """Take bytes from what has arrived: all of them, or as many as the network lets through at once."""
        arrived = self._arrived
        if arrived[0] is FIN:
            return b""
        if len(arrived) == 1:
            data = arrived.popleft()
        else:
            pieces = []
            while arrived and arrived[0] is not FIN:
                pieces.append(arrived.popleft())
            data = b"".join(pieces)
        most = self._network.piece(len(data))
        if most < len(data):
            arrived.appendleft(data[most:])
            data = data[:most]
        return data

    def _hear_eof(self) -> None:
        if not self.protocol.eof_received() and not self._closing:
            self.close()

    # -- the end

    def hear_reset(self) -> None:
        """Have the process learn that the connection was reset."""
        self._fail_later(ConnectionResetError(104, "Connection reset by peer"))

    def _fail_later(self, error: OSError) -> None:
        """Have the process learn that the connection is broken, unless it is gone."""
        if self.is_lost or self._reset is not None or not self.process.is_alive:
            return
        self._reset = error
        self._arrived.clear()
        if self.protocol is not NOBODY:
            # A selector tells of an error also where nothing is read.
            self.process.call_soon(self._lose_by_reset)

    def _lose_by_reset(self) -> None:
        if self._reset is not None:
            self._lose(self._reset)

    def _abort_now(self) -> None:
        if not self.is_lost:
            if self._network.aborts_by_reset():
                self._send_reset()
            else:
                self._fly(FIN)
            self._lose(None)

    def close_now(self) -> None:
        """Close at once: by FIN, or by RST if something was not read."""
        if not self.is_lost:
            if self._arrived:
                # What was not read is answered with RST.
                self._send_reset()
            elif not self._eof_sent:
                self._fly(FIN)
            self._lose(None)

    def _send_reset(self) -> None:
        self._flying.clear()
        if not self.link.is_dead:
            self._world.at(self._network.arrival(self), self.peer.hear_reset)

    def _lose(self, error: OSError | None) -> None:
        """Tell the protocol that this is the end."""
        if self.is_lost:
            return
        self.is_lost = self._closing = True
        self._reading = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self._arrived.clear()
        self._network.forget(self)
        self._world.trace.note(self._world.now, f"{self!r} ends {error}")
        self.protocol.connection_lost(error)

    def bury(self, *, silently: bool) -> None:
        """End with the process; silently if its host is gone as well."""
        self.is_lost = self._closing = True
        self._waiting.clear()
        if silently:
            self.link.is_dead = True
        elif self._arrived:
            self._send_reset()
        else:
            self._fly(FIN)
        self._arrived.clear()
