"""A visit when nothing is wrong: two users of each tenant meet in its conversations, and miss nothing there."""

from __future__ import annotations

from typing import Any, Final

from publisher.rooms import Room, conversation
from tests.faults.checker import Got
from tests.simulation.backend import Backend
from tests.simulation.client.page import RejoiningPage
from tests.simulation.cluster import process_of
from tests.simulation.publishing import SHOWN
from tests.simulation.story import Story

# Seconds of a visit in a fast network: until the second user comes, things happen, and the publisher closes.
SECOND_S: Final = 1.0
HAPPENING_S: Final = 8.0
CLOSING_S: Final = 12.0
# Seconds within which a page is connected and in its rooms, and others are told, in a fast network.
SOON_S: Final = 3.0
# The ways there and back that it takes to connect over long-polling and to join all rooms, and some more.
TRIPS: Final = 14
# The setting's default.
TYPING_S: Final = 6.0


class Meeting:
    """The pages of one tenant's visitors."""

    def __init__(self, story: Story, tenant: str, backend: Backend) -> None:
        self.tenant = tenant
        self.rooms: list[Room] = [conversation(name) for name in story.conversations[tenant]]
        self.names = [f"conversation:{name}" for name in story.conversations[tenant]]
        self.came: list[tuple[Any, float]] = []
        """The pages, each with the moment at which it came."""
        self.own = self.fleeting = ""
        """The events that were published: one that its sender does not get, and one that no history keeps."""
        self._story = story
        self._backend = backend
        coming_s = TRIPS * story.plan.trip_s
        self._soon_s = SOON_S + coming_s
        self._happening_s = HAPPENING_S + 2 * coming_s
        self._arrive(0)
        story.world.after(SECOND_S + coming_s, lambda: self._arrive(1))
        story.world.after(self._happening_s, self._happen)
        story.world.after(CLOSING_S + 3 * coming_s, backend.close)

    def _arrive(self, number: int) -> None:
        story = self._story
        user = story.users[self.tenant][number]
        page = story.cluster.open_page(RejoiningPage, self.tenant, user, rooms=self.names)
        self.came.append((page, story.world.now))
        story.all_pages.append(page)

    def _happen(self) -> None:
        """Have the second user type, and publish for it."""
        story, second = self._story, self.came[1][0]
        name, room = self.names[0], self.rooms[0]
        process_of(second).do(lambda: second.type(name, begins=True))
        here = {"conversation_id": name.partition(":")[2]}
        caller = self._backend.caller
        self.own, self.fleeting = own, fleeting = story.ident(caller), story.ident(caller)
        skip = {"skip_sid": second.socket.id}
        self._backend.publish(self.tenant, "message:new", own, (room,), {"n": own, **here}, **skip)
        data = {"fleeting": fleeting, **here}
        self._backend.publish(self.tenant, "message:new", fleeting, (room,), data, ephemeral=True)

    def findings(self) -> list[str]:
        """Return what was not as it should be."""
        found = [line for page, came_at in self.came for line in self._arrival(page, came_at)]
        got = [[entry.ident for entry in page.diary.entries if isinstance(entry, Got)] for page, _ in self.came]
        if got != [[self.own], []]:
            found.append(f"the visitors got {got}, not {self.own} alone and nothing")
        return [*found, *self._presence()]

    def _arrival(self, page: Any, came_at: float) -> list[str]:
        """Return how a page did not come into all rooms at the first try, and what it lacks."""
        found, until = [], came_at + page.diary.ahead_s + self._soon_s
        times = {"connected": page.notes.connections} | {
            f"in {name}": page.notes.stays.get(name) for name in self.names
        }
        for what, was in times.items():
            if not was or len(was) > 1 or was[0].since > until:
                found.append(f"{page.name} came at {came_at:.3f}, was {what} {was}: {page.notes.errors}")
        if page.notes.fleeting != [self.fleeting]:
            found.append(f"{page.name} got {page.notes.fleeting}, not {self.fleeting}")
        return found

    def _presence(self) -> list[str]:
        """Return what the first visitor was not told of the second, or not at once."""
        (first, came_at), (second, second_at) = self.came
        found, notes, ahead_s = [], first.notes, first.diary.ahead_s
        soon = [told for told in notes.told if second_at < told.at - ahead_s < second_at + self._soon_s]
        # Of users who have left when nobody looked after leases, it heard when it asked.
        was_told = any(told.name == "user:status" and told.data["user_id"] == second.user for told in soon)
        if not was_told and not any(second.user in told.data.get("online", ()) for told in notes.told):
            found.append(f"{first.name} was not told that {second.user} has come at {second_at:.3f}")
        both = {"user_ids": [first.user, second.user], "sockets": 2}
        if not any(both.items() <= told.data.items() for told in soon if told.name == "conversation:viewers"):
            found.append(f"{first.name} was not told of the viewers {both} at {second_at:.3f}")
        types = [(room, user, begins) for _, room, user, begins in notes.typed]
        if types != [(self.names[0], second.user, True), (self.names[0], second.user, False)]:
            found.append(f"{first.name} was told of {types}, while {second.name} typed")
        else:
            begun_at, ended_at = (at - ahead_s - came_at - self._happening_s for at, *_ in notes.typed)
            if not begun_at < self._soon_s or not TYPING_S - self._soon_s < ended_at < TYPING_S + self._soon_s:
                found.append(f"{second.name} typed from {begun_at:.3f} to {ended_at:.3f}")
        return found


def meet(story: Story) -> None:
    """Have visitors of all tenants come."""
    story.meetings = [Meeting(story, tenant, story.cluster.start_backend()) for tenant in story.tenants]


def company(story: Story) -> list[str]:
    """Return what visitors did not see of each other, although nothing was wrong."""
    return [line for meeting in story.meetings for line in meeting.findings()][:SHOWN]
