"""Tabs: real clients, each with a network of its own, that want to be in rooms and mind what they have seen."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.faults.torture.ledger import Answered, Asked, Closed, Diary, Gone, Got, Greeted, Opened, Shown, seq_of
from tests.faults.torture.truth import ident_of
from tests.support.browsers import Browser, Node, Report
from tests.support.proxy import Proxy

RETRY_S = 0.3
# A connect that gets no answer, as from a replica that is frozen, is given up.
CONNECT_MS = 4000
HISTORIES = (1, 5, 30)


@dataclass(slots=True)
class View:
    """A room as the page knows it. `since` is the offset up to which it has seen everything of it."""

    is_in: bool = False
    is_doubtful: bool = False
    since: str = ""
    asked: int = 0
    """Number of the latest request about it that has no answer yet."""
    again_at: float = 0.0


class Tab:
    """One tab."""

    def __init__(
        self,
        node: Node,
        name: str,
        proxy: Proxy,
        token: str,
        tenant: str,
        user: str,
        window_s: float,
        **options: Any,
    ) -> None:
        self.name = name
        self.proxy = proxy
        self.tenant = tenant
        self.user = user
        self.wanted: set[str] = set()
        self.rooms: dict[str, View] = {}
        self.diary = Diary(name, tenant, (f"user:{user}", f"organization:{tenant}"), window_s)
        self.sid = ""
        self.last = ""
        """The newest offset that came with an event. An answer's is about its room alone."""
        self.is_greeted = False
        self.is_closed = False
        self.surprises: list[str] = []
        self._numbers = count(1)
        self._asking: dict[int, Asked] = {}
        self._out: set[int] = set()
        """Those of them that have left the client."""
        self._browser: Browser = node.open(proxy.http_url, token, timeout=CONNECT_MS, **options)
        self._node = node

    # -- what it does

    def tend(self, draw: random.Random) -> None:
        """Join what it wants and is not in, and leave what it may be in and does not want."""
        if not self.is_greeted:
            return
        now = time.monotonic()
        for room in sorted(self.wanted | self.rooms.keys()):
            view = self.rooms.setdefault(room, View())
            if view.asked or view.again_at > now:
                continue
            if room in self.wanted and not view.is_in:
                self.join(room, draw)
            elif room not in self.wanted and (view.is_in or (view.is_doubtful and draw.random() < 0.1)):
                self.leave(room)

    def join(self, room: str, draw: random.Random) -> None:
        """Ask to join, mostly from where it knows the room."""
        view = self.rooms.setdefault(room, View())
        since, history = "", 0
        chance = draw.random()
        if view.is_in:
            history = draw.choice(HISTORIES) if chance < 0.5 else 0
        elif view.since and chance < 0.85:
            since = view.since
        elif chance < 0.3:
            history = draw.choice(HISTORIES)
        elif chance < 0.6:
            since = self.last
        self._ask("join", room, since, history)

    def leave(self, room: str) -> None:
        """Ask to leave."""
        self._ask("leave", room)

    def hop(self, room: str) -> None:
        """Leave and join again without waiting, from where it is."""
        since = later(self.rooms[room].since, self.last)
        self._ask("leave", room)
        self._ask("join", room, since)

    def type(self, room: str) -> None:
        """Say that its user types."""
        self._node.command("ask", self._browser, event="typing_start", args=[_named(room)], ack=0)

    def cut(self) -> None:
        """Have its connection end, by the client's own hand."""
        self._browser.cut()

    def close(self) -> None:
        """Close the tab."""
        self.is_closed = True
        self.is_greeted = False
        self._browser.close()

    def _ask(self, verb: str, room: str, since: str = "", history: int = 0) -> None:
        view = self.rooms.setdefault(room, View())
        number = view.asked = next(self._numbers)
        self._asking[number] = Asked(0.0, number, verb, room, since, history)
        more = ({"since": since} if since else {}) | ({"history": history} if history else {})
        event = f"{verb}_{'conversation' if room.startswith('conversation:') else 'room'}"
        self._node.command("ask", self._browser, event=event, args=[_named(room) | more], ack=number)

    # -- what happens to it

    def read(self) -> None:
        """Take in what was reported since the last time."""
        reports = self._browser.reports
        fresh = reports[:]
        del reports[: len(fresh)]
        for report in fresh:
            self._read(report)

    def _read(self, report: Report) -> None:
        what, at = report["what"], report["at"]
        if self.is_closed:
            return
        if what == "event":
            self._event(report["event"], report["args"], at)
        elif what == "asked" and report["ack"]:
            self._asked(report["ack"], at)
        elif what == "unsent" and report["ack"]:
            self._forget(report["ack"])
        elif what == "ack" and report["ack"]:
            self._answered(report["ack"], report["args"][0], at)
        elif what == "connect":
            self._opened(report, at)
        elif what == "disconnect":
            self._gone(report, at)
        elif what == "connect_error" and report["data"]:
            self.surprises.append(f"{self.name} was refused: {report}")

    def _opened(self, report: Report, at: float) -> None:
        self.sid = report["sid"]
        if not report["recovered"]:
            for view in self.rooms.values():
                self._doubt(view)
        self.diary.entries.append(Opened(at, report["sid"], report["recovered"], report["pid"] or ""))

    def _gone(self, report: Report, at: float) -> None:
        self.is_greeted = False
        # What has not gone out yet may do so on the next connection.
        for number in self._out:
            self._forget(number)
        self._out.clear()
        self.diary.entries.append(Gone(at, report["reason"]))
        if report["reason"] == "io server disconnect":
            self.surprises.append(f"{self.name} was sent away for good: {report}")

    def _event(self, name: str, args: list[Any], at: float) -> None:
        offset = args[-1] if args and isinstance(args[-1], str) else ""
        if name == "connected":
            data = args[0]
            self.diary.entries.append(Greeted(at, data["recovered"], data.get("reason") or "", offset))
            self.is_greeted = True
        elif offset:
            self.diary.entries.append(Got(at, offset, ident_of(args[0])))
        elif name in ("error", "left_conversation", "left_room"):
            self.surprises.append(f"{self.name} got {name} {args}")
        if offset:
            self.last = later(self.last, offset)

    def _asked(self, number: int, at: float) -> None:
        asked = self._asking[number]
        self._out.add(number)
        self.diary.entries.append(asked._replace(at=at))
        if asked.verb == "leave":
            self._doubt(self.rooms[asked.room])

    def _doubt(self, view: View) -> None:
        if view.is_in:
            view.is_in, view.since = False, later(view.since, self.last)
        view.is_doubtful = True

    def _answered(self, number: int, answer: dict[str, Any], at: float) -> None:
        asked = self._asking.get(number)
        if asked is None:
            return
        self._out.discard(number)
        self._forget(number)
        view = self.rooms[asked.room]
        if not answer["ok"]:
            self.diary.entries.append(Answered(at, number, answer["error"]["code"]))
            view.again_at = time.monotonic() + RETRY_S
            view.is_doubtful = view.is_doubtful or not view.is_in
        elif asked.verb == "leave":
            self.diary.entries.append(Answered(at, number))
            view.is_doubtful = False
        else:
            events = tuple(Shown(shown["offset"], ident_of(shown["data"])) for shown in answer["events"])
            self.diary.entries.append(Answered(at, number, "", answer["offset"], events, answer["complete"]))
            view.is_in = view.is_doubtful = True
            view.since = answer["offset"]

    def _forget(self, number: int) -> None:
        asked = self._asking.pop(number, None)
        if asked is not None and self.rooms[asked.room].asked == number:
            self.rooms[asked.room].asked = 0

    @property
    def is_settled(self) -> bool:
        """Whether it is connected, and in the rooms that it wants."""
        return self.is_greeted and not self._asking and all(self.rooms[r].is_in for r in self.wanted)

    def end(self) -> None:
        """Write down that it was closed."""
        if self.is_closed:
            self.diary.entries.append(Closed(time.monotonic()))


def later(first: str, second: str) -> str:
    """Return the later of two offsets, of which the first may be empty."""
    return first if first and seq_of(first) > seq_of(second) else second


def _named(room: str) -> dict[str, Any]:
    kind, _, ident = room.partition(":")
    return {"conversation_id": ident} if kind == "conversation" else {"room": room}
