"""Replicas, browsers and the network between them, with every delay in the hands of the test.

The gateway's own code runs, from the socket layer down to the connection: subscriptions, resync, hub, sessions,
engine sockets. Redis is a real one. What is simulated is everything that takes time: a command waits until it is
let to Redis, a reply or a published message until it is let to the replica, a frame until its browser reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hiredis

from gateway.app.assemble import assemble
from gateway.auth import Tokens
from gateway.core.frames import Frame
from gateway.core.limits import Limits
from gateway.engine import EngineOptions, EngineSocket
from gateway.presence.store import RoomPresence, online_key
from gateway.redis.commands import Commands
from gateway.redis.connection import AnswerLost, RedisUnavailable, ReplyError
from gateway.settings import Settings
from publisher import Offset, Room, parse_offset
from publisher.envelope import Envelope, Options, build_control, build_event
from publisher.ids import new_id
from publisher.scripts import SCRIPTS, command

Push = Sequence[Any]


class RawClient:
    """A connection that says what it is told to, and waits."""

    def __init__(self, port: int) -> None:
        self._socket = sockets.create_connection(("127.0.0.1", port), 5.0)
        self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(replyError=ReplyError)

    def send(self, *words: Any) -> None:
        self._socket.sendall(hiredis.pack_command(words))

    def read(self) -> Any:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        return reply

    def call(self, *words: Any) -> Any:
        self.send(*words)
        return self.read()

    def close(self) -> None:
        self._socket.close()


class Server:
    """Redis for one tenant: executes at once, and spreads what is published to the links that subscribed."""

    def __init__(self, port: int, tenant: str) -> None:
        self.links: list[SimConnection] = []
        self.tenant = tenant
        self._asking = RawClient(port)
        self._hearing = RawClient(port)
        self._end = f"end:{new_id(9)}".encode()
        self._hearing.call("PSUBSCRIBE", f"rt:{{{tenant}}}:room:*")
        self._hearing.call("SUBSCRIBE", self._end)
        for script in SCRIPTS.values():
            self._asking.call("SCRIPT", "LOAD", script.source)

    def execute(self, words: Sequence[Any]) -> Any:
        reply = self._asking.call(*words)
        if words[0] in ("EVALSHA", "PUBLISH"):
            self._spread()
        return reply

    def publish(self, envelope: Envelope) -> Offset:
        _, offset = self.execute(("EVALSHA", *command(envelope)))
        return parse_offset(offset.decode())

    def now(self) -> int:
        seconds, micros = self._asking.call("TIME")
        return int(seconds) * 1_000_000 + int(micros)

    def lose_everything(self) -> None:
        keys = self._asking.call("KEYS", f"rt:{{{self.tenant}}}:*")
        if keys:
            self._asking.call("DEL", *keys)

    def online(self) -> set[str]:
        return {user.decode() for user in self._asking.call("ZRANGE", online_key(self.tenant), 0, -1)}

    def hurry(self) -> None:
        """Let nothing that is told of people wait any longer."""
        prefix = f"rt:{{{self.tenant}}}:"
        for what in self._asking.call("ZRANGE", f"{prefix}due", 0, -1):
            if not what.startswith(b"typing "):
                self._asking.call("ZADD", f"{prefix}due", 0, what)
        for key in self._asking.call("KEYS", f"{prefix}told*"):
            self._asking.call("DEL", key)

    def _spread(self) -> None:
        self._asking.call("PUBLISH", self._end, b"")
        while (push := self._hearing.read())[1] != self._end:
            for link in self.links:
                if push[2] in link.subscribed:
                    link.arriving.append((None, [b"message", push[2], push[3]]))

    def close(self) -> None:
        self._asking.close()
        self._hearing.close()


class SimConnection:
    """What `gateway.redis.connection.Connection` is to its users, with two queues in place of a network."""

    demoted = False
    server = None

    def __init__(
        self,
        source: SimSource,
        *,
        on_push: Callable[[Push], Any] | None = None,
        on_lost: Callable[[], None],
    ) -> None:
        self.subscribed: set[bytes] = set()
        self.leaving: deque[tuple[asyncio.Future[Any] | None, tuple[Any, ...]]] = deque()
        self.arriving: deque[tuple[asyncio.Future[Any] | None, Any]] = deque()
        self._source = source
        self._on_push = on_push
        self._on_lost = on_lost
        self._up = False

    @property
    def is_up(self) -> bool:
        return self._up

    @property
    def kind(self) -> str:
        return "ask" if self._on_push is None else "hear"

    async def open(self, timeout_s: float = 5.0) -> None:
        await self._source.opened()
        self._up = True
        self._source.server.links.append(self)
        self._source.links[self.kind] = self

    def waiting_s(self) -> float:
        return 0.0

    def ask(self, *words: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._up:
            self.leaving.append((future, words))
        else:
            future.set_exception(RedisUnavailable("Redis is away"))
        return future

    def send(self, *words: Any) -> None:
        if self._up:
            self.leaving.append((None, words))

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.lose)

    async def close(self) -> None:
        self._on_lost = lambda: None
        self.lose()

    # -- what the test does

    def let_out(self) -> None:
        """Let one command to Redis."""
        future, words = self.leaving.popleft()
        if words[0] in ("SUBSCRIBE", "UNSUBSCRIBE"):
            for channel in map(_bytes, words[1:]):
                change = self.subscribed.add if words[0] == "SUBSCRIBE" else self.subscribed.discard
                change(channel)
                self.arriving.append((None, [words[0].lower().encode(), channel, 0]))
        elif words[0] == "PING" and self._on_push is not None:
            self.arriving.append((None, [b"pong", _bytes(words[1])]))
        else:
            self.arriving.append((future, self._source.server.execute(words)))

    def let_in(self) -> None:
        """Let one reply or push to the replica."""
        future, reply = self.arriving.popleft()
        if future is None:
            assert self._on_push is not None
            rest = self._on_push(reply)
            while rest is not None:
                rest = rest()
        elif not future.done():
            if isinstance(reply, ReplyError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def lose(self) -> None:
        """Break, with whatever is under way."""
        if not self._up:
            return
        self._up = False
        self._source.server.links.remove(self)
        futures = [future for future, _ in (*self.arriving, *self.leaving) if future is not None]
        self.arriving.clear()
        self.leaving.clear()
        for future in futures:
            if not future.done():
                future.set_exception(AnswerLost("the connection to Redis broke"))
        self._on_lost()


def _bytes(word: str | bytes) -> bytes:
    return word.encode() if isinstance(word, str) else word


class Pause:
    """Stands in for `asyncio.sleep`: over when the test lets everybody on."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def sleep(self, delay_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future

    def end(self) -> bool:
        """End every pause there is now; False where there is none."""
        waiting, self.waiting = self.waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return bool(waiting)


class SimSource:
    """Where the links of one replica come from."""

    has_sentinels = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self.links: dict[str, SimConnection] = {}
        self.opening: deque[asyncio.Future[None]] = deque()

    async def aclose(self) -> None:
        """There is nothing to leave."""

    def connection(self, *, on_push: Callable[[Push], Any] | None = None, on_lost: Callable[[], None]) -> Any:
        return SimConnection(self, on_push=on_push, on_lost=on_lost)

    async def opened(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opening.append(future)
        await future


class Replica:
    """One replica's whole inside, without its HTTP."""

    def __init__(self, server: Server, settings: Settings, limits: Limits, pause: Pause) -> None:
        self.source = SimSource(server)
        source: Any = self.source
        self.commands = Commands(source, limits=limits)
        self.timers: list[Callable[[], object]] = []
        parts = assemble(
            settings,
            self.commands,
            Tokens(settings),
            EngineOptions(),
            pace_later=lambda _, callback: self.timers.append(callback),
            sleep=pause.sleep,
        )
        self.subscriptions, self.members, self.server = parts.subscriptions, parts.members, parts.server

    async def start(self) -> None:
        await self.commands.start()
        await self.subscriptions.start()

    async def stop(self) -> None:
        await self.server.control.stop()
        await self.subscriptions.stop()
        await self.commands.stop()
        self.server.eio._context.timers.stop()

    def links(self) -> list[SimConnection]:
        return [link for link in self.source.links.values() if link.is_up]

    def pass_time(self) -> bool:
        """Let as much time pass as conflated events wait; False when none do."""
        timers, self.timers = self.timers, []
        for fire in timers:
            fire()
        return bool(timers)

    def probe(self) -> None:
        """As the subscriber's own probe does, at one moment."""
        subscriber, server = self.subscriptions.subscriber.of(""), self.source.server
        link = self.source.links["hear"]
        if link.is_up and subscriber.probe.channel in link.subscribed:
            now = str(server.now()).encode()
            link.arriving.append((None, [b"message", subscriber.probe.channel, now]))

    def step(self) -> bool:
        """Let everything on by one; False when nothing is under way."""
        moved = False
        if self.source.opening:
            future = self.source.opening.popleft()
            if not future.done():
                future.set_result(None)
            moved = True
        for link in self.links():
            if link.leaving:
                link.let_out()
                moved = True
            if link.arriving:
                link.let_in()
                moved = True
        return moved


@dataclass
class Event:
    """What a backend published."""

    number: int
    seq: int
    rooms: tuple[Room, ...]
    skip_sid: str | None
    conflate: str | None = None

    def stands_for(self, other: Event) -> bool:
        """Return whether who got this one is not owed the other any more."""
        return self.conflate is not None and self.conflate == other.conflate and self.seq > other.seq


@dataclass
class Span:
    """A browser's time in a room."""

    since: int
    """Seq after which it must have everything, if `sure`."""
    sure: bool = True
    """Whether it must; otherwise it only may."""


class Question(NamedTuple):
    """What a browser asked of a room, and its time there until then."""

    event: str
    room: Room
    since: int | None
    before: Span | None


class SimChannel:
    """The transport of one engine socket: frames wait until the browser reads them."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.ended = False

    @property
    def buffered(self) -> int:
        return sum(len(frame.wire) for frame in self.frames)

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    def send_all(self, frames: Iterable[Frame]) -> None:
        self.frames.extend(frames)

    def end(self, reason: str, code: int, text: str) -> None:
        self.ended = True

    def resume(self) -> None:
        """Read on: nothing was held back."""

    def widen(self, max_bytes: int) -> None:
        """Take larger messages: what is sent here is small."""


class Shown:
    """What a page shows of people, from nothing but what it was told, and one look at its beginning."""

    def __init__(self) -> None:
        self.online: set[str] | None = None
        """None until it has looked."""
        self.viewers: dict[Room, set[str]] = {}
        self.typing: dict[Room, set[str]] = {}

    def hear_of_users(self, online: Iterable[str], offline: Iterable[str]) -> None:
        if self.online is not None:
            self.online = (self.online | set(online)) - set(offline)

    def hear(self, name: str, data: dict[str, Any]) -> None:
        room = Room(f"conversation:{data['conversation_id']}")
        if name == "conversation:viewers":
            self.viewers[room] = set(data["user_ids"])
        elif name == "user_typing":
            typing = self.typing.setdefault(room, set())
            (typing.add if data["typing"] else typing.discard)(data["user_id"])

    def forget(self, room: Room) -> None:
        self.viewers.pop(room, None)
        self.typing.pop(room, None)


@dataclass
class Browser:
    """socket.io-client, and an account of what it must get, may get, and got."""

    world: World
    user: str
    token: str
    pid: str | None = None
    sid: str | None = None
    offset: str | None = None
    channel: SimChannel | None = None
    socket: EngineSocket | None = None
    live: list[int] = field(default_factory=list)
    """Numbers of the events that came live or in a replay, in the order in which they came."""
    answered: list[int] = field(default_factory=list)
    """Numbers of the events that came in the answer to a join."""
    spans: dict[Room, Span] = field(default_factory=dict)
    asked: dict[int, Question] = field(default_factory=dict)
    sids: set[str] = field(default_factory=set)
    taken: set[Room] = field(default_factory=set)
    """Rooms that a backend took away and that were not asked for again."""
    unanswered: set[Room] = field(default_factory=set)
    """Rooms that it asked for on a connection that broke: the replica may still be at it."""
    is_accepted: bool = False
    """CONNECT has come."""
    is_up: bool = False
    owed: list[tuple[Room, int, int]] = field(default_factory=list)
    """Rooms of which it must have everything between two seqs."""
    recoveries: list[bool] = field(default_factory=list)
    shown: Shown = field(default_factory=Shown)
    looking: set[int] = field(default_factory=set)
    """Questions about who is online that are under way."""
    noted: str | None = None
    """An offset that it keeps for a later join."""

    # -- what it does

    def connect(self, replica: Replica) -> None:
        assert self.channel is None
        hub = replica.server.eio._context
        self.socket = EngineSocket(hub, new_id(15), {"REMOTE_ADDR": "sim"})
        self.channel = SimChannel()
        self.socket.begin()
        replica.server._opened(self.socket)
        self.socket.carry(self.channel, "websocket")
        auth: dict[str, Any] = {"token": self.token}
        if self.pid is not None:
            auth |= {"pid": self.pid} | ({"offset": self.offset} if self.offset else {})
        self.socket.receive("40" + json.dumps(auth))

    def drop(self) -> EngineSocket:
        """Lose the transport; return what the replica still takes for a live socket."""
        assert self.socket is not None
        lost, self.socket, self.channel = self.socket, None, None
        self.is_accepted = self.is_up = False
        for event, room, *_ in self.asked.values():
            if event == "leave_conversation":
                self.spans[room].sure = False
            else:
                self.unanswered.add(room)
        self.asked.clear()
        self.looking.clear()
        return lost

    def _least(self, room: Room) -> int:
        return self.spans[room].since if room in self.spans else 0

    def ask(self, event: str, room: Room, since: str | None = None) -> None:
        assert self.socket is not None
        number = self.world.next_number()
        payload: dict[str, Any] = {"conversation_id": room.partition(":")[2]}
        if since is not None:
            payload["since"] = since
        before = self.spans.get(room)
        self.asked[number] = Question(event, room, parse_offset(since).seq if since else None, before)
        if event == "join_conversation":
            self.taken.discard(room)
        if event == "leave_conversation" or room not in self.spans:
            self.spans[room] = Span(self._least(room), sure=False)
        self.socket.receive(f"42{number}" + json.dumps([event, payload]))

    def look(self) -> None:
        """Ask who is online."""
        assert self.socket is not None
        number = self.world.next_number()
        self.looking.add(number)
        self.socket.receive(f'42{number}["presence",{{}}]')

    def say(self, event: str, room: Room) -> None:
        """Say something that is not answered."""
        assert self.socket is not None
        self.socket.receive("42" + json.dumps([event, {"conversation_id": room.partition(":")[2]}]))

    def is_asking_for(self, room: Room) -> bool:
        return any(room == question.room for question in self.asked.values())

    def lose(self, room: Room) -> None:
        """A backend takes a room away from it."""
        if room in self.spans:
            self.spans[room].sure = False
        if not self.is_asking_for(room) and room not in self.unanswered:
            self.taken.add(room)

    # -- what it hears

    def read(self) -> bool:
        """Read one frame, or the end of the connection; False where there is neither."""
        channel = self.channel
        if channel is None:
            return False
        if channel.frames:
            for packet in channel.frames.popleft().packet.decode().split("\x1e"):
                self._take(packet)
            return True
        if channel.ended:
            self.drop()
            return True
        return False

    def _take(self, packet: str) -> None:
        assert packet[0] == "4", packet
        kind, rest = packet[1], packet[2:]
        if kind == "0":
            self._accepted(json.loads(rest))
        elif kind == "2":
            assert self.is_accepted, f"{packet} came before CONNECT"
            self._event(*json.loads(rest))
        elif kind == "3":
            digits = rest[: rest.index("[")]
            self._answer(int(digits), json.loads(rest[len(digits) :])[0])
        elif kind == "1":
            self.drop()
        else:
            raise AssertionError(packet)

    def _accepted(self, accepted: dict[str, str]) -> None:
        self.sid, self.pid = accepted["sid"], accepted["pid"]
        self.sids.add(self.sid)
        self.is_accepted = True

    def _event(self, name: str, *args: Any) -> None:
        if args and isinstance(args[-1], str):
            self.offset = args[-1]
        if name == "connected":
            self.is_up = True
            self._connected(args[0]["recovered"], parse_offset(args[-1]).seq)
        elif name == "e":
            self._published(args[0])
        elif name == "user:status":
            user, is_online = args[0]["user_id"], args[0]["status"] == "online"
            self.shown.hear_of_users([user] if is_online else [], [] if is_online else [user])
        elif name == "user:statuses":
            self.shown.hear_of_users(**args[0])
        elif name in ("conversation:viewers", "user_typing"):
            self.shown.hear(name, args[0])
        elif name == "left_conversation":
            room = Room(f"conversation:{args[0]['conversation_id']}")
            self.shown.forget(room)
            if self.asked and room in self.spans:
                # An answer is under way, and behind it what came before the room was taken away.
                self.spans[room].sure = False
            elif not self.asked:
                self.spans.pop(room, None)

    def _connected(self, recovered: bool, seq: int) -> None:
        self.recoveries.append(recovered)
        if recovered:
            return
        self.owed.clear()
        self.noted = None
        self.shown = Shown()
        # It was told: what it missed is not owed to it any more. Rooms that were kept are news to it.
        self.spans = {room: Span(seq, sure=False) for room in self.spans}
        for room in (Room(f"user:{self.user}"), Room(f"organization:{self.world.tenant}")):
            self.spans[room] = Span(seq)

    def _published(self, number: int) -> None:
        event = self.world.events[number]
        had = [*self.live, *self.answered]
        assert number not in had, f"event {number} came twice"
        if self.live:
            last = self.world.events[self.live[-1]].seq
            assert last < event.seq, f"event {number} came after {self.live[-1]}"
        assert event.skip_sid is None or event.skip_sid != self.sid, f"the sender got event {number}"
        # The event at the very offset of a join may come: its message for another room may have come before.
        may = [room for room in event.rooms if room in self.spans and event.seq >= self.spans[room].since]
        assert may, f"event {number} of {event.rooms} is from before the join, or of no room it is in"
        self.live.append(number)

    def _answer(self, number: int, answer: dict[str, Any]) -> None:
        if number in self.looking:
            self.looking.discard(number)
            self.shown.online = set(answer["online"]) if answer["ok"] else self.shown.online
            return
        event, room, since, before = self.asked.pop(number)
        if not answer["ok"]:
            self._refused(room, before, answer["error"]["code"])
        elif event == "leave_conversation":
            del self.spans[room]
            self.shown.forget(room)
        else:
            self._joined(room, since, answer)

    def _refused(self, room: Room, before: Span | None, code: str) -> None:
        """What was refused changed nothing, but for a user who may not be in the room any more."""
        if code == "forbidden" or before is None:
            del self.spans[room]
            self.shown.forget(room)
        else:
            self.spans[room] = before

    def _joined(self, room: Room, since: int | None, answer: dict[str, Any]) -> None:
        at = parse_offset(answer["offset"]).seq
        if not self.spans[room].sure:
            self.spans[room] = Span(at)
            self.shown.forget(room)
        for shown in answer["events"]:
            number = shown["data"]
            # What was told of one room's history may be told of another's as well.
            assert number not in self.live, f"event {number} came live and in an answer"
            self.answered.append(number)
        if since is not None and answer["complete"]:
            # Not here yet: what came live while the log was read comes behind the answer.
            self.owed.append((room, since, at))

    # -- the account

    def check(self, room: Room, since: int, until: int | None = None) -> None:
        """Everything of a room after `since` must be here."""
        had = {*self.live, *self.answered}
        for event in self.world.events.values():
            owed = room in event.rooms and event.seq > since and (until is None or event.seq <= until)
            if owed and event.skip_sid not in self.sids and event.number not in had:
                got = [self.world.events[number] for number in had]
                assert any(other.stands_for(event) for other in got), f"event {event.number} of {room} never came"

    def settle_accounts(self) -> None:
        assert self.shown.online is not None
        others = self.world.online() - {self.user}
        assert self.shown.online - {self.user} == others, f"{self.user} is shown others as online"
        for room, span in self.spans.items():
            if span.sure:
                self.check(room, span.since)
        for room, since, until in self.owed:
            self.check(room, since, until)
        for replica in self.world.replicas:
            for member in replica.members.by_sid.values():
                rooms = {room.name for room in member.rooms}
                if member.pid == self.pid:
                    assert not rooms & self.taken, "a room that was taken away was given back"
                    for room in rooms & self.spans.keys():
                        self.check_people(room)

    def check_people(self, room: Room) -> None:
        """What it shows of a conversation that it is in must be so."""
        if not room.startswith("conversation:"):
            return
        people = self.world.presence_of(room)
        _, told = json.loads(people.viewers or b"")
        assert self.user in told["user_ids"], f"{self.user} is in {room}, and not among those who look at it"
        assert self.shown.viewers.get(room) == set(told["user_ids"]), f"{self.user} is shown others in {room}"
        typing = set(people.typists) - {self.user}
        assert self.shown.typing.get(room, set()) == typing, f"{self.user} sees others type in {room}"


class World:
    """Everything, and one loop that it runs on."""

    def __init__(self, port: int, tenant: str, settings: Settings, limits: Limits, *, replicas: int = 2) -> None:
        self.loop = asyncio.new_event_loop()
        self.tenant = tenant
        self.server = Server(port, tenant)
        self.events: dict[int, Event] = {}
        self.browsers: list[Browser] = []
        self.replicas: list[Replica] = []
        self.pause = Pause()
        self.tasks: list[asyncio.Future[None]] = []
        self._number = 0
        self._broken: list[str] = []
        self._options = Options()
        self.loop.run_until_complete(self._start(settings, limits, replicas))

    async def _start(self, settings: Settings, limits: Limits, replicas: int) -> None:
        self.replicas = [Replica(self.server, settings, limits, self.pause) for _ in range(replicas)]
        starting = asyncio.gather(*(replica.start() for replica in self.replicas))
        while not starting.done():
            await self._turn()
            for replica in self.replicas:
                replica.step()
        await starting

    def next_number(self) -> int:
        self._number += 1
        return self._number

    async def _turn(self) -> None:
        """Let the replicas do what they can do without hearing anything new."""
        ready: Any = getattr(self.loop, "_ready")  # noqa: B009  # asyncio's own
        for _ in range(1000):
            await asyncio.sleep(0)
            if not ready:
                return
        raise AssertionError("the replicas never come to rest")

    def act(self, action: Callable[[], object]) -> None:
        """Do something on the loop, and let its consequences come to rest."""

        async def acting() -> None:
            action()
            await self._turn()

        self.loop.run_until_complete(acting())

    def publish(self, rooms: tuple[Room, ...], skip_sid: str | None = None, conflate: str | None = None) -> Event:
        number = self.next_number()
        envelope = build_event(
            self.tenant, "e", number, rooms, self._options, skip_sid=skip_sid, conflate=conflate
        )
        event = Event(number, 0, rooms, skip_sid, conflate)
        self.events[number] = event
        event.seq = self.server.publish(envelope).seq
        return event

    def take_away(self, user: str, room: Room) -> None:
        """Have a backend take a room away from a user."""
        control = {"do": "leave", "room": room}
        self.server.publish(build_control(self.tenant, user, control, self._options, revoke=room))
        for browser in self.browsers:
            if browser.user == user:
                browser.lose(room)

    def disconnect(self, user: str) -> None:
        """Have a backend send a user away for good."""
        self.server.publish(build_control(self.tenant, user, {"do": "disconnect"}, self._options, revoke="*"))

    def overwrite(self, key: str) -> None:
        """Have an operator's mistake in place of a key, which was not there, until `mend`."""
        self.server.execute(("SET", key, "oops"))
        self._broken.append(key)

    def mend(self) -> None:
        """Have it as it was."""
        for key in self._broken:
            self.server.execute(("DEL", key))
        self._broken.clear()

    def renew(self, replica: Replica) -> None:
        """Have all leases of a replica renewed, from now on."""

        async def renewing() -> None:
            with contextlib.suppress(RedisUnavailable, ReplyError):
                await replica.server.leases.periodic.once()
                await replica.server.presence.periodic.once()

        self.act(lambda: self.tasks.append(asyncio.ensure_future(renewing())))

    def presence_of(self, room: Room) -> RoomPresence:
        """Ask Redis who is in a conversation."""
        people = self.replicas[0].members.presence
        asking: list[asyncio.Future[Any]] = []
        self.act(lambda: asking.append(asyncio.ensure_future(people.read(self.tenant, [room], "nobody"))))
        self.pump()
        found: RoomPresence = asking[0].result().rooms[0]
        return found

    def online(self) -> set[str]:
        """Ask Redis who is online."""
        return self.server.online()

    def tell_what_is_due(self) -> None:
        """Have told at once what waits for its turn."""
        self.server.hurry()
        people = self.replicas[0].members.presence
        self.act(lambda: self.tasks.append(asyncio.ensure_future(people.sweep(self.tenant))))  # type: ignore[arg-type]
        self.pump()

    def sweep(self, replica: Replica) -> None:
        """Have idle rooms given up now."""

        self.loop.run_until_complete(replica.subscriptions.sweep())

    def pump(self) -> None:
        """Let everything go on until nothing is under way."""

        async def pumping() -> None:
            looked_again = False
            for _ in range(10_000):
                await self._turn()
                if sum(replica.step() or replica.pass_time() for replica in self.replicas):
                    looked_again = False
                elif looked_again or not self.pause.end():
                    return
                else:
                    looked_again = True
            raise AssertionError("the replicas never come to rest")

        self.loop.run_until_complete(pumping())

    def heal(self) -> None:
        """Have everybody come back and hear everything that there is for them."""
        for _ in range(60):
            self.pump()
            for browser in self.browsers:
                while browser.read():
                    self.pump()
            away = [browser for browser in self.browsers if browser.channel is None]
            for browser in away:
                self.act(lambda browser=browser: browser.connect(self.replicas[0]))  # type: ignore[misc]
            new = [browser for browser in self.browsers if browser.is_up and browser.shown.online is None]
            for browser in new:
                self.act(browser.look)
            if not away and not new:
                break
        assert all(browser.is_up for browser in self.browsers), "a browser never came back"

    def close(self) -> None:
        async def closing() -> None:
            for replica in self.replicas:
                await replica.stop()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.loop.run_until_complete(closing())
        self.server.lose_everything()
        self.server.close()
        self.loop.close()
