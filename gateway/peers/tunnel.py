"""Tunnels: websockets whose session is in another process. Bytes pass through in both directions."""

from __future__ import annotations

import asyncio
import http.client
import io
import ssl
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from gateway.engine import send_buffer
from gateway.engine.handshake import VOUCHED, switching_protocols
from gateway.engine.takeover import Taken, take_over, upgradable
from gateway.limits.connects import Connects
from gateway.peers.registry import Peer

# Largest head or body of the other process' answer; a refusal has some hundred bytes.
MAX_ANSWER_BYTES: Final = 65_536
# Time to send the remaining bytes to one side after the other has ended.
LAST_BYTES_S: Final = 2.0


class Answer(NamedTuple):
    """The other process' answer to the request for a websocket."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Tunnels:
    """The tunnels through this process, from the request to the other process on.

    Each counts as a connect of its client. The other process ends it if the client does not authenticate in time.
    A tunnel is `pending` until the other process vouches for the client, but at most `connect_timeout_s`. A tunnel
    without data from the other process for `silence_s`, which is longer than its heartbeats allow, is ended.
    """

    def __init__(self, connects: Connects, connect_timeout_s: float, silence_s: float) -> None:
        self.open: set[Tunnel] = set()
        self.pending: set[Tunnel] = set()
        self.connects = connects
        self.connect_timeout_s = connect_timeout_s
        self.silence_s = silence_s


class Tunnel:
    """One tunnel, until `end`; counted for the client address `remote`, or nowhere here if that is None."""

    def __init__(self, tunnels: Tunnels, remote: str | None) -> None:
        self._tunnels = tunnels
        self._remote = remote
        self._ends: tuple[End, ...] = ()
        self._heard = False
        tunnels.open.add(self)
        if remote is not None:
            tunnels.pending.add(self)
            tunnels.connects.opened(remote)
        self._timer = asyncio.get_running_loop().call_later(tunnels.connect_timeout_s, self._settle)

    @property
    def has_ended(self) -> bool:
        """Return whether `end` was called."""
        return self not in self._tunnels.open

    def join(self, here: End, there: End) -> None:
        """Connect the end at the client with the end at the other process."""
        self._ends = (here, there)
        here.other, there.other = there, here

    def vouch(self) -> None:
        """Note that the client is authenticated, so the tunnel no longer counts as pending."""
        self._tunnels.pending.discard(self)

    def heard(self) -> None:
        """Note that the other process has sent data."""
        self._heard = True

    def end(self) -> None:
        """Close both ends after their unsent bytes; may be called again."""
        if self.has_ended:
            return
        self._timer.cancel()
        self._tunnels.open.discard(self)
        self._tunnels.pending.discard(self)
        if self._remote is not None:
            self._tunnels.connects.closed(self._remote)
        for end in self._ends:
            end.close()

    def _settle(self) -> None:
        self.vouch()
        self._watch()

    def _watch(self) -> None:
        self._heard = False
        self._timer = asyncio.get_running_loop().call_later(self._tunnels.silence_s, self._judge)

    def _judge(self) -> None:
        if self._heard:
            self._watch()
        else:
            self.end()


class End(asyncio.Protocol):
    """One end of a tunnel: writes its data to the other end, no faster than that sends it."""

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, *, is_peer: bool) -> None:
        self.transport: asyncio.Transport | None = transport
        self.other: End | None = None
        self._tunnel = tunnel
        self._is_peer = is_peer
        self._linger: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Close after the unsent bytes; reset the connection if that takes longer than `LAST_BYTES_S`."""
        if self.transport is not None:
            send_buffer.end(self.transport)
            self._linger = asyncio.get_running_loop().call_later(LAST_BYTES_S, send_buffer.reset, self.transport)

    def data_received(self, data: bytes) -> None:
        """Write bytes to the other end."""
        if self._is_peer:
            self._tunnel.heard()
        if self.other is not None and self.other.transport is not None and not self._tunnel.has_ended:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Return False: asyncio closes the transport after its unsent bytes, and `connection_lost` follows."""
        return False

    def pause_writing(self) -> None:
        """Stop reading at the other end while this one can't send."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue to read at the other end."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the tunnel, and with it the other end."""
        self.transport = None
        if self._linger is not None:
            self._linger.cancel()
        self._tunnel.end()
        if self.other is not None:
            self.other.other = None
            self.other = None


class Asked:
    """A connection to another process, for the request of a websocket."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.Transport) -> None:
        self._reader = reader
        self.transport = transport

    @classmethod
    async def connect(cls, peer: Peer, tls: ssl.SSLContext | None) -> Asked:
        """Connect; raises `OSError` if the process can't be reached."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(MAX_ANSWER_BYTES)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(reader)

        if peer.socket:
            transport, _ = await loop.create_unix_connection(protocol, peer.socket)
        else:
            where = urlsplit(peer.url)
            port = where.port or (443 if tls else 80)
            transport, _ = await loop.create_connection(protocol, where.hostname or "", port, ssl=tls)
        return cls(reader, transport)

    async def answer(self, head: bytes) -> Answer:
        """Send the head of the request and return the answer; raises `OSError` if it is malformed."""
        self.transport.write(head)
        try:
            first, _, rest = (await self._reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            headers = http.client.parse_headers(io.BytesIO(rest))
            status = int(first.split(b" ", 2)[1])
            length = 0 if status == 101 else int(headers["Content-Length"] or 0)
            if not first.startswith(b"HTTP/1.1 ") or not 0 <= length <= MAX_ANSWER_BYTES:
                raise ValueError
            return Answer(status, headers, await self._reader.readexactly(length))
        except (ValueError, IndexError, http.client.HTTPException, EOFError, asyncio.LimitOverrunError):
            raise OSError("the answer is not that of a gateway process") from None

    async def hand_over(self, end: End) -> bytes:
        """Move the connection to a tunnel's end and return the bytes after the answer; never waits."""
        self.transport.set_protocol(end)
        self._reader.feed_eof()
        return await self._reader.read()


async def switch(request: web.Request, accept: str, asked: Asked, answer: Answer, tunnel: Tunnel) -> Taken | None:
    """Turn the client's connection into a websocket and join it to the other process; None if one has ended.

    Raises `OSError` if the other process' answer has a wrong Sec-WebSocket-Accept.
    """
    if answer.headers["Sec-WebSocket-Accept"] != accept:
        raise OSError("the other process answered with a wrong Sec-WebSocket-Accept")
    there = End(tunnel, asked.transport, is_peer=True)
    came = await asked.hand_over(there)
    transport = upgradable(request)
    if transport is None or tunnel.has_ended:
        return None
    here = End(tunnel, transport, is_peer=False)
    tunnel.join(here, there)
    if answer.headers[VOUCHED]:
        tunnel.vouch()
    head = switching_protocols(accept, answer.headers["Sec-WebSocket-Extensions"])
    tail = take_over(request, head + came, here)
    if tail:
        asked.transport.write(tail)
    return Taken()
