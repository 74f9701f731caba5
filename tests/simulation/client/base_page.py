"""A page that keeps a diary: what all kinds of pages have in common."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.faults.checker import Asked, Connected, Diary, Got, Joined, Left, Taken
from tests.simulation.client.notes import Notes, Told
from tests.simulation.client.rooms import names, room_of
from tests.simulation.client.shown import Shown
from tests.simulation.client.socketio import Auth, Socket
from tests.simulation.client.tab import Balancer, Options, Tab

ANSWER_S = 20.0
RETRY_S = 1.0


class CaughtUp(NamedTuple):
    """The history in the answer to a join with `since`."""

    room: str
    since: str
    events: tuple[Got, ...]
    complete: bool
    joined: Joined


class Page:
    """A page that listens and keeps its diary; its kinds decide what it joins, and when."""

    asks_presence = True
    """Whether it asks who is online when it opens."""

    def __init__(
        self,
        name: str,
        tenant: str,
        user: str,
        *,
        rng: random.Random,
        balancer: Balancer,
        token: Callable[[], str],
        options: Options | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.name = name
        self.tenant = tenant
        self.user = user
        self.random = rng
        self.token_s = math.inf
        """Seconds that its tokens live."""
        self._sign = token
        self._signed_at = 0.0
        self.diary = Diary(name)
        self.notes = Notes()
        self.shown = Shown()
        self.joined: dict[str, None] = {}
        """The rooms that it is in, as far as it knows."""
        self.caught_up: list[CaughtUp] = []
        self.last: dict[str, str] = {}
        """The last offset that it saw of each room."""
        self.versions: list[tuple[str, int]] = []
        """The keys and versions of the events that have one, in the order in which they came."""
        self.surprises: list[str] = []
        """Contradictions between CONNECT and `connected`, refused joins, refused connects."""
        self.reasons: list[str] = []
        """Why its connections ended."""
        self.is_greeted = False
        """Whether `connected` has come on the present connection."""
        self.tab = Tab(loop or asyncio.get_running_loop(), rng, balancer, options or Options())
        self.socket = Socket(self.tab, self.auth(), self)
        self._own = (f"{tenant}/user:{user}", f"{tenant}/organization:{tenant}")
        self._asked: dict[str, int] = {}
        """Rooms whose join is not answered yet, each with the length that the diary had when it was sent."""

    def auth(self) -> Auth:
        """Return what goes with CONNECT: here a function that asks for a token each time."""
        return lambda give: give({"token": self.token()})

    def token(self) -> str:
        """Get a new token from the backend."""
        self._signed_at = self.now
        return self._sign()

    def start(self) -> None:
        """Connect, and come back whenever the connection ends, unless the server has refused it."""
        self.diary.ended = False
        self.tab.task(self.socket.connect)

    def close(self, *, reset: bool = False) -> None:
        """Close the tab: with a close frame on the websocket, or, with `reset`, by a crash of the browser."""
        self.diary.ended = True
        self.notes.disconnected(self.now)
        self.socket.stop()
        self.tab.close(reset=reset)

    def lose_network(self) -> None:
        """Tell the page what a browser tells it when the machine has lost its network: the event "offline"."""
        if self.socket.manager.engine is not None:
            self.tab.task(self.socket.manager.engine.lose_network)

    @property
    def now(self) -> float:
        """The time by the page's clock."""
        return self.tab.loop.time()

    # -- what a kind of page decides

    def connected(self, recovered: bool) -> None:
        """Do what it does when `connected` has come."""

    def left(self, room: str) -> None:
        """Do what it does when the gateway has taken a room away."""

    # -- joining

    def _noted_join(self, room: str, answer: dict[str, Any], since: str | None) -> None:
        """Note the answer to a join, and the history in it."""
        joined = Joined(f"{self.tenant}/{room}", answer["offset"], self.now)
        self.diary.entries.append(joined)
        self.notes.entered(room, self.now)
        self.notes.others += 1
        self.joined[room] = None
        self._asked.pop(room, None)
        if since is not None:
            events = [
                Got(event["data"]["n"], event["offset"], self.now)
                for event in answer["events"]
                if "n" in event["data"]
            ]
            self.caught_up.append(CaughtUp(room, since, tuple(events), answer["complete"], joined))
        self.last[room] = answer["offset"]

    def _noted_leave(self, room: str) -> Left | None:
        self.shown.forget(room)
        self.notes.went(room, self.now)
        if room not in self.joined:
            return None
        del self.joined[room]
        left = Left(f"{self.tenant}/{room}")
        self.diary.entries.append(left)
        return left

    def _noted_taking(self, room: str) -> bool:
        self.shown.forget(room)
        self.notes.went(room, self.now)
        self.notes.taken.append((self.now, room))
        if room in self._asked:
            # It came into the room, and was put out before the answer.
            self.diary.entries.insert(self._asked[room], Asked(f"{self.tenant}/{room}"))
        self.diary.entries.append(Taken(f"{self.tenant}/{room}"))
        was_in = room in self.joined
        self.joined.pop(room, None)
        return was_in

    # -- the socket's

    def on_connect(self) -> None:
        """Do what a handler of "connect" does."""
        self.is_greeted = False
        self.notes.tokens.append((self.now, self._signed_at))

    def on_event(self, name: str, args: list[Any]) -> None:
        data = args[0] if args else None
        offset = args[-1] if args and isinstance(args[-1], str) else None
        if not isinstance(data, dict):
            return
        self.notes.heard(self.now, name, data)
        if name == "connected":
            self._greeted(data, offset)
        elif "n" in data and offset is not None:
            self.diary.entries.append(Got(data["n"], offset, self.now))
            if "version" in data:
                self.versions.append((data["key"], data["version"]))
            room = room_of(data)
            if room is not None:
                self.last[room] = offset
        elif name == "left_conversation" or name == "left_room":
            room = room_of(data)
            if room is not None and self._noted_taking(room):
                self.left(room)
        elif "conversation_id" not in data or room_of(data) in self.joined:
            # What is under way from a conversation that was closed is not shown.
            self.shown.hear(name, data)

    def on_disconnect(self, reason: str) -> None:
        self.is_greeted = False
        self.notes.disconnected(self.now)
        self.notes.ends.append((self.now, reason))
        self.reasons.append(reason)
        self.diary.entries.extend(Asked(f"{self.tenant}/{room}") for room in self._asked)
        self._asked.clear()
        if reason == "io server disconnect":
            self.diary.ended = True

    def on_connect_error(self, message: str, data: Any) -> None:
        self.notes.errors.append((self.now, message))
        if message == "token_expired":
            # It took longer to connect than the token lived.
            self.tab.timer(RETRY_S, self.socket.connect)
        elif not self.socket.is_active:
            self.diary.ended = True
            self.surprises.append(f"{self.name} was refused: {message} {data}")

    def on_reconnect_attempt(self, number: int) -> None:
        """Do nothing."""

    def on_reconnect_failed(self) -> None:
        self.diary.ended = True

    def on_upgrade(self) -> None:
        """Do nothing."""

    def _greeted(self, data: dict[str, Any], offset: str | None) -> None:
        recovered, sid = data["recovered"], self.socket.id
        if recovered != self.socket.recovered or offset is None or sid is None:
            self.surprises.append(f"{self.name}: CONNECT says {self.socket.recovered}, connected {data} {offset}")
            return
        self.diary.entries.append(Connected(sid, recovered, data.get("reason"), offset, self.now, self._own))
        self.is_greeted = True
        self.notes.connected(self.now)
        if not recovered:
            for room in self.joined:
                self.notes.went(room, self.now)
            self.joined.clear()
            self.shown = Shown()
        if self.asks_presence and self.shown.online is None:
            self.ask_presence()
        self.connected(recovered)

    @property
    def asked(self) -> list[str]:
        """The rooms whose join is not answered yet."""
        return [*self._asked]

    def ask_presence(self, room: str | None = None) -> None:
        """Ask who is online, or who looks at a conversation and types in it."""
        shown = self.shown
        question = {} if room is None else names(room)
        self.notes.others += 1

        def answered(error: str | None, answer: dict[str, Any] | None = None) -> None:
            self.notes.others += 1
            if answer is None:
                self._unanswered("presence")
            elif not answer["ok"]:
                self.notes.refused.append((self.now, answer["error"]["code"]))
            if answer is not None and answer["ok"] and shown is self.shown:
                if room is None or room in self.joined:
                    shown.answered(answer)
                    self.notes.told.append(Told(self.now, "presence", answer))
            elif answer is not None and room is None and shown is self.shown and self.socket.connected:
                self.tab.timer(RETRY_S, self._ask_presence_again, shown)

        self.socket.emit("presence", question, ack=answered, timeout_s=ANSWER_S)

    def _unanswered(self, what: str) -> None:
        """Note that an answer did not come, although the connection is up: else `connected` is reset before."""
        if self.socket.connected:
            self.notes.unanswered.append((self.now, what))

    def _ask_presence_again(self, shown: Shown) -> None:
        if self.shown is shown and shown.online is None and self.is_greeted:
            self.ask_presence()
