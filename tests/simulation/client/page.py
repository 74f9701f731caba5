"""The kinds of pages: the wrapper that never rejoins, one that rejoins with `since`, and an eager one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.checker import Asked, Left, Out
from tests.simulation.client.base_page import ANSWER_S, RETRY_S, Page
from tests.simulation.client.rooms import names, request, room_of
from tests.simulation.client.socketio import Auth
from tests.simulation.client.tab import Options

__all__ = ["PYTAKE", "EagerPage", "Page", "RejoiningPage", "WrapperPage"]

PYTAKE = Options(transports=("websocket", "polling"), reconnection_attempts=5)
"""What PyTake's wrapper asks of socket.io-client."""
AGAIN = ("unavailable", "rate_limited", "internal")
"""Codes of refusals after which a page tries again."""


class WrapperPage(Page):
    """PyTake's: the same token for ever, and its rooms joined when it first connects, and never again."""

    asks_presence = False

    def __init__(self, *args: Any, rooms: Iterable[str], options: Options = PYTAKE, **more: Any) -> None:
        super().__init__(*args, options=options, **more)
        self._rooms = tuple(rooms)
        self._is_first = True

    def auth(self) -> Auth:
        return {"token": self.token()}

    def on_connect(self) -> None:
        super().on_connect()
        if self._is_first:
            self._is_first = False
            for room in self._rooms:
                self._asked[room] = len(self.diary.entries)
                self.socket.emit(*request("join", room))

    def on_event(self, name: str, args: list[Any]) -> None:
        if name == "joined_conversation" or name == "joined_room":
            room = room_of(args[0])
            assert room is not None
            self._noted_join(room, args[0], None)
        elif name == "error" and str(args[0].get("event")).startswith("join_"):
            # It has one room, and does not try again.
            self.notes.refused.append((self.now, args[0]["code"]))
            self._asked.clear()
        else:
            super().on_event(name, args)


class RejoiningPage(Page):
    """Joins what it wants whenever it is not in it, after a loss with the last offset that it saw of the room."""

    def __init__(
        self,
        *args: Any,
        rooms: Iterable[str] = (),
        refreshes: bool = True,
        remembers: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._remembers = remembers
        """Whether it keeps what it knows of a conversation that it closes, and asks for the rest later."""
        self.wanted = dict.fromkeys(rooms)
        self.refreshes = refreshes
        """Whether it sends a new token when its own is about to end."""
        self._left: dict[str, None] = {}
        """Rooms that it left without an answer: the gateway gives them back, also after a loss."""

    @property
    def is_settled(self) -> bool:
        """Whether it is connected, and in the rooms that it wants and no others."""
        return self.is_greeted and not self._asked and self.joined == self.wanted

    def connected(self, recovered: bool) -> None:
        for room in [room for room in self._left if room not in self.wanted]:
            self._send_leave(room, None)
        for room in [room for room in self.joined if room not in self.wanted]:
            self._leave(room)
        for room in list(self.wanted):
            self._join(room)

    def left(self, room: str) -> None:
        self.wanted.pop(room, None)

    def on_event(self, name: str, args: list[Any]) -> None:
        super().on_event(name, args)
        if name == "auth:expiring" and self.refreshes:
            self.refresh()

    def refresh(self) -> None:
        """Send a new token, if it is connected."""
        if not self.is_greeted:
            return
        self.notes.others += 1
        token, signed_at = self.token(), self.now

        def answered(error: str | None, answer: dict[str, Any] | None = None) -> None:
            self.notes.others += 1
            if answer is None:
                self._unanswered("auth:refresh")
            elif answer["ok"]:
                self.notes.tokens.append((self.now, signed_at))
            else:
                self.notes.refused.append((self.now, answer["error"]["code"]))
                if answer["error"]["code"] in AGAIN:
                    self.tab.timer(RETRY_S, self.refresh)

        self.socket.emit("auth:refresh", {"token": token}, ack=answered, timeout_s=ANSWER_S)

    def open(self, room: str) -> None:
        """Open a conversation, and keep it open."""
        self.wanted[room] = None
        if not self._remembers:
            self.last.pop(room, None)
        self._join(room)

    def type(self, room: str, *, begins: bool) -> None:
        """Begin or stop to type in a conversation, if it is in there."""
        if room in self.joined and self.is_greeted:
            self.socket.emit("typing_start" if begins else "typing_stop", names(room))

    def leave(self, room: str) -> None:
        """Close a conversation."""
        self.wanted.pop(room, None)
        self._leave(room)

    def _join(self, room: str) -> None:
        if room not in self.wanted or room in self.joined or room in self._asked or not self.is_greeted:
            return
        since = self.last.get(room)
        self._asked[room] = len(self.diary.entries)
        self.notes.others += 1

        def answered(error: str | None, answer: dict[str, Any] | None = None) -> None:
            if answer is None:
                self._unanswered(f"join {room}")
                self._lost_answer(room)
            elif answer["ok"]:
                self._noted_join(room, answer, since)
                if room not in self.wanted:
                    self._leave(room)
            else:
                self._refused_join(room, answer["error"])

        name, payload = request("join", room)
        more = {} if since is None else {"since": since}
        self.socket.emit(name, payload | more, ack=answered, timeout_s=ANSWER_S)

    def _lost_answer(self, room: str) -> None:
        """Note a join without an answer, unless the disconnect has noted it already, and try again."""
        if room in self._asked:
            del self._asked[room]
            self.diary.entries.append(Asked(f"{self.tenant}/{room}"))
            self._join(room)

    def _refused_join(self, room: str, error: dict[str, Any]) -> None:
        self.notes.refused.append((self.now, error["code"]))
        self._asked.pop(room, None)
        if error["code"] in AGAIN:
            self.tab.timer(RETRY_S, self._join, room)
            return
        self.wanted.pop(room, None)
        if error["code"] != "forbidden":
            self.surprises.append(f"{self.name} can't join {room}: {error}")

    def _leave(self, room: str) -> None:
        """Leave a room; if that is refused, it is still in it, and is owed everything."""
        if room in self.joined and self.is_greeted:
            self._send_leave(room, self._noted_leave(room))

    def _send_leave(self, room: str, left: Left | None) -> None:
        """Leave a room that the diary says was `left`; None if it said so before."""
        sid = self.socket.id
        self._left[room] = None
        self.notes.others += 1

        def answered(error: str | None, answer: dict[str, Any] | None = None) -> None:
            self.notes.others += 1
            if answer is None:
                self._unanswered(f"leave {room}")
                return
            if self.socket.id == sid:
                self._left.pop(room, None)
            if answer["ok"]:
                self.diary.entries.append(Out(f"{self.tenant}/{room}", self.now))
                return
            self.notes.refused.append((self.now, answer["error"]["code"]))
            if self.socket.id == sid:
                self.diary.entries[:] = [entry for entry in self.diary.entries if entry is not left]
                self.joined[room] = None
                self.notes.entered(room, self.now)
                self.tab.timer(RETRY_S, self._leave_again, room)

        self.socket.emit(*request("leave", room), ack=answered, timeout_s=ANSWER_S)

    def _leave_again(self, room: str) -> None:
        if room not in self.wanted:
            self._leave(room)


class EagerPage(RejoiningPage):
    """Opens and closes conversations (names of rooms), types, and asks for presence, `per_s` times a second."""

    def __init__(self, *args: Any, conversations: Sequence[str], per_s: float = 1.0, **more: Any) -> None:
        super().__init__(*args, **more)
        self._conversations = conversations
        self._per_s = per_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        super().start()
        self.go_on()

    def go_on(self) -> None:
        """Do something from time to time, until `rest`."""
        if self._timer is None:
            self._timer = self.tab.timer(self.random.expovariate(self._per_s), self._act)

    def rest(self) -> None:
        """Stop opening, closing and typing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, *, reset: bool = False) -> None:
        self.rest()
        super().close(reset=reset)

    def _act(self) -> None:
        self._timer = None
        self.go_on()
        room = self.random.choice(self._conversations)
        drawn = self.random.random()
        if drawn < 0.4:
            if room in self.wanted:
                self.leave(room)
            else:
                self.open(room)
        elif room in self.joined and self.is_greeted:
            if drawn < 0.8:
                self.type(room, begins=drawn < 0.65)
            else:
                self.ask_presence(room)
        elif drawn > 0.9 and self.is_greeted:
            self.ask_presence()
