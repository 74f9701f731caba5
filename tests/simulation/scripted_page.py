"""A page that does what a story tells it, and says what it got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from publisher import Room
from tests.faults.checker import Connected, Got, Joined
from tests.simulation.client.page import AGAIN, RejoiningPage
from tests.simulation.story import Story


class ScriptedPage(RejoiningPage):
    """Does what it is told; if it `rejoins`, it tries again what was refused, and joins again after a loss."""

    rejoins = True
    connects = 0
    """How often CONNECT has come."""
    at_connect: Callable[[], object] | None = None
    """Called once, as soon as CONNECT has come, and nothing else."""

    def on_connect(self) -> None:
        super().on_connect()
        self.connects += 1
        call, self.at_connect = self.at_connect, None
        if call is not None:
            call()

    def connected(self, recovered: bool) -> None:
        if self.rejoins:
            super().connected(recovered)
        else:
            self.wanted = dict(self.joined)

    def _refused_join(self, room: str, error: dict[str, Any]) -> None:
        if self.rejoins or error["code"] not in AGAIN:
            super()._refused_join(room, error)
        else:
            self._asked.pop(room, None)
            self.wanted.pop(room, None)

    def join(self, room: Room, since: str | None = None) -> None:
        """Join a room, with an offset for the history since then."""
        self.wanted[room] = None
        self.last.pop(room, None)
        if since is not None:
            self.last[room] = since
        self._join(room)

    def leave(self, room: str) -> None:
        """Leave a room, unless it waits for the answer to a join."""
        if room not in self._asked:
            super().leave(room)

    def _leave_again(self, room: str) -> None:
        if self.rejoins:
            super()._leave_again(room)
        else:
            self.wanted[room] = None

    def look(self) -> None:
        """Ask who is online, if it is connected."""
        if self.is_greeted:
            self.ask_presence()

    @property
    def got(self) -> list[str]:
        """The events that came live or in a replay."""
        return [entry.ident for entry in self.diary.entries if isinstance(entry, Got)]

    @property
    def answered(self) -> list[str]:
        """The events that came in the answers to joins."""
        return [event.ident for answer in self.caught_up for event in answer.events]

    @property
    def recoveries(self) -> list[bool]:
        """Of each connection, whether it recovered the one before."""
        return [entry.recovered for entry in self.diary.entries if isinstance(entry, Connected)]


def once_here_or_there(story: Story) -> list[str]:
    """Return events that came both live and in the answer to a join, since the page was last told of a loss."""
    found: list[str] = []
    for page in story.all_pages:
        answers = {answer.joined: answer for answer in page.caught_up}
        live: dict[str, None] = {}
        told: dict[str, None] = {}
        for entry in page.diary.entries:
            if isinstance(entry, Connected) and not entry.recovered:
                live, told = {}, {}
            elif isinstance(entry, Got):
                live[entry.ident] = None
            elif isinstance(entry, Joined) and entry in answers:
                told |= dict.fromkeys(event.ident for event in answers[entry].events)
            both = [ident for ident in live if ident in told]
            if both:
                found.append(f"{page.name} got {both} live and in an answer")
                break
    return found
