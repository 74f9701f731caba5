"""A Socket.IO v5 client that does to the letter what socket.io-client 4.6+ does, and shows what it saw."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, Self

import pytest_asyncio

from tests.support.channels import Channel, PollingChannel, WebSocketChannel
from tests.support.inbox import Inbox, Received
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import HandshakeRefused

PACKETS_KEPT = 8
Transport = Literal["websocket", "polling"]


class Refused(Exception):
    """The server answered CONNECT with CONNECT_ERROR."""

    def __init__(self, message: str, data: Any) -> None:
        super().__init__(message)
        self.data = data

    @property
    def code(self) -> Any:
        """The contract's code."""
        return (self.data or {}).get("code")


class RawClient(Inbox):
    """One browser. Everything it receives is in `events`, in order, over all its connections."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        transport: Transport = "websocket",
        headers: Mapping[str, str] | None = None,
        query: str = "",
        tls: ssl.SSLContext | None = None,
        statuses: bool = False,
    ) -> None:
        super().__init__()
        self.url = url
        self.token = token
        self.packets: list[str] = []
        """The Socket.IO packets of the latest connection as they came, the first few of them."""
        self.sid: str | None = None
        self.pid: str | None = None
        self.offset: str | None = None
        self.recovered = False
        self.recoveries: list[bool] = []
        """For each CONNECT after the first, whether it recovered."""
        self.connected = False
        self.close_reason = ""
        self.channel: Channel | None = None
        self._transport = transport
        self._headers = dict(headers or {})
        self._query = f"&{query}" if query else ""
        self._tls = tls
        self._statuses = statuses or None
        self._channels: list[Channel] = []
        self._early: list[list[Any]] = []
        self._connecting: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._gone.set()
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._next_ack = 0
        self._staying: asyncio.Task[None] | None = None

    @property
    def session(self) -> dict[str, Any]:
        """What the engine said of the session: sid, upgrades, pingInterval, pingTimeout, maxPayload."""
        assert self.channel is not None
        return self.channel.session

    # -- connecting

    async def connect(
        self, *, url: str | None = None, pid: str | None = None, offset: str | None = None, **auth: Any
    ) -> Self:
        """Connect, with the pid and offset of an earlier connection or as new.

        Raises `Refused`, `HandshakeRefused`, or `OSError` where the connection fails or ends too early.
        """
        self.url = url or self.url
        self._early = []
        self.packets = []
        kind = WebSocketChannel if self._transport == "websocket" else PollingChannel
        channel: Channel = kind(self._received, lambda reason: self._closed(channel, reason), self._tls)
        self._channels.append(channel)
        connecting = self._connecting = asyncio.get_running_loop().create_future()
        self.channel = channel
        wanted = {"token": self.token, "pid": pid, "offset": offset, "statuses": self._statuses} | auth
        packet = "0" + json.dumps({name: value for name, value in wanted.items() if value is not None})
        try:
            await channel.open(f"{self.url}/socket.io/?EIO=4{self._query}", self._headers)
            channel.send(packet)
            async with asyncio.timeout(PATIENCE_S):
                await connecting
        except BaseException:
            channel.drop()
            raise
        finally:
            self._connecting = None
            if not connecting.cancel():
                connecting.exception()
        return self

    async def reconnect(self, url: str | None = None) -> Self:
        """Connect again as the browser does: with what it remembers."""
        return await self.connect(url=url, pid=self.pid, offset=self.offset)

    def stay(self, *urls: str, pause_s: float = 0.05) -> None:
        """From now on, come back whenever the connection ends, to each of `urls` in turn, until refused."""
        self._staying = asyncio.get_running_loop().create_task(self._stay(urls or (self.url,), pause_s))

    async def _stay(self, urls: tuple[str, ...], pause_s: float) -> None:
        attempt = 0
        while True:
            await self._gone.wait()
            try:
                await self.reconnect(urls[attempt % len(urls)])
            except (OSError, HandshakeRefused, TimeoutError):
                await asyncio.sleep(pause_s)
            except Refused as refused:
                self.close_reason = f"refused: {refused.code}"
                return
            attempt += 1

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self.channel is not None:
            self.channel.drop()

    def pause(self) -> None:
        """Stop reading: what the server sends piles up. Websockets only."""
        assert isinstance(self.channel, WebSocketChannel)
        self.channel.pause()

    def resume(self) -> None:
        """Read on."""
        assert isinstance(self.channel, WebSocketChannel)
        self.channel.resume()

    async def dropped(self, within_s: float = PATIENCE_S) -> str:
        """Wait until the connection has ended; return the reason as a browser would see it."""
        async with asyncio.timeout(within_s):
            await self._gone.wait()
        return self.close_reason

    async def close(self) -> None:
        """Leave for good."""
        if self._staying is not None:
            self._staying.cancel()
            await asyncio.gather(self._staying, return_exceptions=True)
        for channel in self._channels:
            await channel.close()

    def _closed(self, channel: Channel, reason: str) -> None:
        if self.channel is not channel:
            return
        self.connected = False
        self.close_reason = self.close_reason if self._gone.is_set() else reason
        if self._connecting is not None and not self._connecting.done():
            self._connecting.set_exception(ConnectionResetError(reason))
        for ack in self._acks.values():
            if not ack.done():
                ack.set_exception(ConnectionResetError(reason))
        self._gone.set()

    # -- sending

    def emit(self, event: str, *args: Any) -> None:
        """Send an event without an acknowledgement."""
        assert self.channel is not None
        self.channel.send("2" + json.dumps([event, *args]))

    async def call(self, event: str, *args: Any, within_s: float = PATIENCE_S) -> Any:
        """Send an event and give what its acknowledgement carries."""
        assert self.channel is not None
        self._next_ack += 1
        ack = self._acks[self._next_ack] = asyncio.get_running_loop().create_future()
        self.channel.send(f"2{self._next_ack}{json.dumps([event, *args])}")
        async with asyncio.timeout(within_s):
            return await ack

    async def join(self, conversation_id: str, **more: Any) -> dict[str, Any]:
        """Join a conversation; return the answer, fails if it is not ok."""
        answer: dict[str, Any] = await self.call("join_conversation", {"conversation_id": conversation_id, **more})
        assert answer["ok"], answer
        return answer

    # -- receiving

    def _received(self, text: str) -> None:
        kind = text[:1]
        if len(self.packets) < PACKETS_KEPT:
            self.packets.append(text)
        if kind == "2":
            args = json.loads(text[text.index("[") :])
            if self.connected:
                self._event(args)
            else:
                self._early.append(args)
        elif kind == "3":
            at = text.index("[")
            ack = self._acks.pop(int(text[1:at]), None)
            if ack is not None and not ack.done():
                (answer,) = json.loads(text[at:])
                ack.set_result(answer)
        elif kind == "0":
            self._connect(json.loads(text[1:]))
        elif kind == "1":
            self.close_reason = "io server disconnect"
            self.connected = False
            self._gone.set()
        elif kind == "4" and self._connecting is not None and not self._connecting.done():
            error = json.loads(text[1:])
            self._connecting.set_exception(Refused(error["message"], error.get("data")))

    def _connect(self, data: dict[str, Any]) -> None:
        """Socket.onconnect, line for line."""
        self.recovered = bool(data.get("pid")) and self.pid == data.get("pid")
        if self.sid is not None:
            self.recoveries.append(self.recovered)
        self.sid = data["sid"]
        self.pid = data.get("pid")
        self.connected = True
        self._gone.clear()
        early, self._early = self._early, []
        for args in early:
            self._event(args)
        if self._connecting is not None and not self._connecting.done():
            self._connecting.set_result(None)

    def _event(self, args: list[Any]) -> None:
        """Socket.emitEvent: an offset is whatever string comes last."""
        self.put(Received(str(args[0]), args[1:]))
        if self.pid and isinstance(args[-1], str):
            self.offset = args[-1]


Clients = Callable[..., RawClient]


@pytest_asyncio.fixture
async def clients() -> AsyncIterator[Clients]:
    """Make clients: `await clients(replica.url, token).connect()`; all are closed after the test."""
    made: list[RawClient] = []

    def make(url: str, token: str | None, **options: Any) -> RawClient:
        made.append(RawClient(url, token, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()
