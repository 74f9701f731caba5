"""One client of the crowd: a browser that keeps a diary, comes back by itself, and rejoins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterable
from typing import Any

from tests.faults.checker import Asked, Connected, Diary, Got, Joined, Left
from tests.support.channels import PollingChannel, WebSocketChannel
from tests.support.client import RawClient, Transport
from tests.support.waiting import PATIENCE_S, until

RETRY_S = 0.1


class Watcher(RawClient):
    """A client that wants to be in some rooms. `comebacks` counts its connections after the first."""

    def __init__(
        self, name: str, url: str, token: str, tenant: str, user: str, *, transport: Transport = "websocket"
    ) -> None:
        super().__init__(url, token, transport=transport)
        self.name = name
        self.tenant = tenant
        self.user = user
        self.diary = Diary(name)
        self.wanted: set[str] = set()
        self.comebacks = 0
        self.surprises: list[str] = []
        """Contradictions between CONNECT and `connected`, and refused joins."""
        self._joined: set[str] = set()
        self._greeted = False
        self._asked: dict[int, str] = {}
        self._own = (f"{tenant}/user:{user}", f"{tenant}/organization:{tenant}")
        self._rejoining: asyncio.Task[None] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it is connected and in the rooms that it wants."""
        return self.connected and self._greeted and self.wanted <= self._joined

    async def arrive(self, **claims: str | None) -> dict[str, Any]:
        """Connect, claiming what is given; return `connected` as it came."""
        await self.connect(**claims)
        await until(lambda: self._greeted, what=f"{self.name} to be greeted")
        greeting: dict[str, Any] = self.named("connected")[-1].data
        return greeting

    async def come_back(self, url: str | None = None) -> dict[str, Any]:
        """Connect again with what it remembers; return `connected` as it came."""
        return await self.arrive(url=url, pid=self.pid, offset=self.offset)

    # -- rooms

    async def enter(self, rooms: Iterable[str], within_s: float = PATIENCE_S) -> None:
        """Join rooms, and be in them again whenever they were lost."""
        self.wanted.update(rooms)
        self._rejoin()
        await until(lambda: self.wanted <= self._joined, within_s, f"{self.name} to be in {self.wanted}")

    async def exit(self, room: str) -> None:
        """Leave a room, as often as it takes; who is refused is still in it, and owed everything.

        When the answer is lost nobody knows whether it was done, and it is owed nothing.
        """
        self.wanted.discard(room)
        while room in self._joined:
            await self._is_there()
            asked_at = len(self.diary.entries)
            with contextlib.suppress(ConnectionError, TimeoutError):
                answer = await self.call(*_request("leave", room))
                if not answer["ok"]:
                    await asyncio.sleep(RETRY_S)
                    continue
            self._joined.discard(room)
            self.diary.entries.insert(asked_at, Left(f"{self.tenant}/{room}"))

    async def _is_there(self) -> None:
        """Wait for its connection: what is asked before that is answered by nobody."""
        await until(lambda: self.connected and self._greeted, what=f"{self.name} to be connected")

    @property
    def settled_rooms(self) -> list[str]:
        """The rooms that it is in and does not just ask for."""
        return sorted((self.wanted & self._joined) - set(self._asked.values()))

    def _rejoin(self) -> None:
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.get_running_loop().create_task(self._join_all())

    async def _join_all(self) -> None:
        """Join what is missing, as often as it takes: Redis may be away, and the connection may go again."""
        while missing := sorted(self.wanted - self._joined):
            room = missing[0]
            await self._is_there()
            self._asked[self._next_ack + 1] = room
            try:
                answer = await self.call(*_request("join", room))
            except (ConnectionError, TimeoutError):
                self._asked.clear()
                self.diary.entries.append(Asked(f"{self.tenant}/{room}"))
                await asyncio.sleep(RETRY_S)
                continue
            if not answer["ok"] and answer["error"]["code"] != "unavailable":
                self.surprises.append(f"{self.name} can't join {room}: {answer}")
                return
            if not answer["ok"]:
                await asyncio.sleep(RETRY_S)

    # -- what it writes down

    def _received(self, text: str) -> None:
        if self._asked and text[:1] == "3":
            at = text.index("[")
            self._note_joined(int(text[1:at]), *json.loads(text[at:]))
        super()._received(text)

    def _note_joined(self, number: int, answer: dict[str, Any]) -> None:
        """Note the answer to a join where it came: the room's first event may be right behind it."""
        room = self._asked.pop(number, None)
        if room is not None and answer["ok"]:
            self.diary.entries.append(Joined(f"{self.tenant}/{room}", answer["offset"], time.monotonic()))
            self._joined.add(room)

    def _connect(self, data: dict[str, Any]) -> None:
        self.comebacks += self.sid is not None
        self._greeted = False
        super()._connect(data)

    def _event(self, args: list[Any]) -> None:
        super()._event(args)
        received = self.events[-1]
        data, offset, now = received.data, received.offset, received.at
        if received.name == "connected":
            self._note_connected(data, offset, now)
        elif isinstance(data, dict) and "n" in data and offset is not None:
            self.diary.entries.append(Got(data["n"], offset, now))
            self.events.pop()  # the diary has it

    def _note_connected(self, data: dict[str, Any], offset: str | None, now: float) -> None:
        recovered, reason = data["recovered"], data.get("reason")
        if recovered != self.recovered or offset is None or self.sid is None:
            self.surprises.append(
                f"{self.name}: CONNECT says recovered={self.recovered}, connected {data} {offset}"
            )
            return
        self.diary.entries.append(Connected(self.sid, recovered, reason, offset, now, self._own))
        self._greeted = True
        if not recovered:
            self._joined.clear()
        if self.wanted - self._joined:
            self._rejoin()

    # -- what its network does

    def grow_deaf(self) -> None:
        """Read nothing any more, with little room for what comes: over a websocket, or by not polling."""
        channel = self.channel
        if isinstance(channel, WebSocketChannel):
            channel.raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            channel.pause()
        elif isinstance(channel, PollingChannel):
            self._polls_held = asyncio.Event()
            channel.poller.poll = _held(channel.poller.poll, self._polls_held)  # type: ignore[method-assign]

    def hear_again(self) -> None:
        """Read on."""
        channel = self.channel
        if isinstance(channel, WebSocketChannel):
            channel.resume()
        elif isinstance(channel, PollingChannel):
            self._polls_held.set()

    async def close(self) -> None:
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.gather(self._rejoining, return_exceptions=True)
        await super().close()


def _held(get: Any, released: asyncio.Event) -> Any:
    async def get_later() -> Any:
        await released.wait()
        return await get()

    return get_later


def _request(what: str, room: str) -> tuple[str, dict[str, str]]:
    kind, _, ident = room.partition(":")
    if kind == "conversation":
        return f"{what}_conversation", {"conversation_id": ident}
    return f"{what}_room", {"room": room}


async def closed(watchers: Iterable[Watcher]) -> None:
    """Close them all."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(watcher.close() for watcher in watchers), return_exceptions=True)
