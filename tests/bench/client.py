"""One Socket.IO client of the load: a bare asyncio.Protocol that speaks just enough, as cheaply as Python can."""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable
from typing import Any

from tests.bench.tally import Ledger
from tests.bench.worker import BenchError

STAMP = re.compile(rb'"seq":(\d+),"t_ns":(\d+)')
# A client mask of zeros is as good as another on the loopback, and costs nothing.
NO_MASK = bytes(4)
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FIN, COMPRESSED, OPCODE = 0x80, 0x40, 0x0F
DEFLATE = b"permessage-deflate"
DEFLATE_TAIL = b"\x00\x00\xff\xff"
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
REQUEST = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n%b\r\n"
)


def masked(opcode: int, payload: bytes) -> bytes:
    """Frame a message as a client must."""
    size = len(payload)
    if size < 126:
        return bytes((FIN | opcode, 0x80 | size)) + NO_MASK + payload
    return bytes((FIN | opcode, 0x80 | 126)) + size.to_bytes(2, "big") + NO_MASK + payload


class Client(asyncio.Protocol):
    """One browser's socket in one conversation, through all its connections.

    `arrived` is done once the socket is in its room, or has come back and has everything up to `owed`.
    """

    def __init__(self, token: str, room: str, latencies_us: list[int], *, deflate: bool) -> None:
        self._token = token
        self._room = room
        self._request = REQUEST % (OFFER if deflate else b"")
        self._deflate = deflate
        self._latencies_us = latencies_us
        self.ledger = Ledger()
        self.received_bytes = 0
        self.recovered = False
        self.deflated = False
        self.cut: str | None = None
        """Why the server closed the connection, if it did."""
        self._pid = self._offset = ""
        self._transport: Any = None

    async def connect(self, port: int, owed: int = 0) -> None:
        """Connect, or come back; raises `BenchError` or `OSError`."""
        loop = asyncio.get_running_loop()
        self._arrived = loop.create_future()
        self._owed = owed
        self._is_open, self._is_back, self.recovered, self.cut = False, False, False, None
        self._rest = b""
        self._inflate: Callable[[bytes], bytes] = zlib.decompressobj(-15).decompress if self._deflate else bytes
        await loop.create_connection(lambda: self, "127.0.0.1", port)
        await self._arrived

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._transport.abort()

    # -- the connection

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._close(f"connection lost: {exc}")

    def _close(self, why: str) -> None:
        self.cut = self.cut or why
        if not self._arrived.done():
            self._arrived.set_exception(BenchError(why))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._rest:
            data = self._rest + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._close(f"no websocket: {head[:200]!r}")
                return
            self._is_open, self.deflated = True, DEFLATE in head.lower()
        self._rest = self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        """Take all finished frames; return what is left over."""
        at, end = 0, len(data)
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size >= 126:
                begin += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : begin], "big")
            if end < begin + size:
                break
            self._frame(data[at], data[begin : begin + size])
            at = begin + size
        return data[at:]

    def _frame(self, first: int, payload: bytes) -> None:
        opcode = first & OPCODE
        if opcode == TEXT:
            if first & COMPRESSED:
                payload = self._inflate(payload + DEFLATE_TAIL)
            self._packet(payload)
        elif opcode == PING:
            self._transport.write(masked(PONG, payload))
        elif opcode == CLOSE:
            self._close("closed by the server")

    # -- the packets

    def _packet(self, text: bytes) -> None:
        if text.startswith(b"42"):
            self._event(text)
        elif text.startswith(b"40"):
            self._connected(json.loads(text[2:]).get("pid", ""))
        elif text.startswith(b"0"):
            resume = {"pid": self._pid, "offset": self._offset} if self._offset else {}
            self._send(b"40" + json.dumps({"token": self._token, "statuses": True} | resume).encode())
        elif text == b"2":
            self._send(b"3")
        else:
            self._close(f"refused: {text[:200]!r}")

    def _event(self, text: bytes) -> None:
        if stamp := STAMP.search(text):
            self._latencies_us.append((time.time_ns() - int(stamp[2])) // 1000)
            self.ledger.note(int(stamp[1]))
            if self._is_back:
                self._arrive_if_complete()
        elif text.startswith(b'42["joined_conversation"') and not self._arrived.done():
            self._arrived.set_result(None)
        # An event's own arguments are objects: a string at the end is the offset of a recoverable one.
        if text.endswith(b'"]'):
            self._offset = text[text.rindex(b',"') + 2 : -2].decode()

    def _connected(self, pid: str) -> None:
        self.recovered = bool(pid) and pid == self._pid
        self._pid = pid
        if self.recovered:
            # What was missed comes before this packet or after it.
            self._is_back = True
            self._arrive_if_complete()
        else:
            self._send(b'42["join_conversation",{"conversation_id":"%b"}]' % self._room.encode())

    def _arrive_if_complete(self) -> None:
        if not self._arrived.done() and self.ledger.is_complete(self._owed):
            self._arrived.set_result(None)

    def _send(self, text: bytes) -> None:
        self._transport.write(masked(TEXT, text))
