"""What people and backends do in a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from publisher import Room
from publisher.rooms import conversation, organization, user
from tests.simulation.choosing import pick, pick_any
from tests.simulation.client.page import EagerPage, RejoiningPage, WrapperPage
from tests.simulation.client.tab import Options
from tests.simulation.cluster import process_of

if TYPE_CHECKING:
    from tests.simulation.story import Story

TRANSPORTS: Final = (("websocket",), ("polling", "websocket"), ("websocket", "polling"), ("polling",))
MOST_PAGES: Final = 16
BURST: Final = 60
PROGRESS: Final = 20
PROGRESS_S: Final = 0.03
LARGE_BYTES: Final = 20_000
REMEMBERING: Final = 0.5
"""The share of pages that open a conversation again as they closed it."""
REFRESHING: Final = 0.7
"""The share of pages that send a new token when they are warned; the others come back with one."""


class Deeds:
    """The deeds of one story. Each takes the draws that choose who does it to whom."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.cluster = story.cluster

    # -- what backends do

    def _send(self, draws: Sequence[float], event: str, rooms: Sequence[Room], **how: Any) -> None:
        backend = self.story.backend(draws[0])
        if backend is not None:
            ident = self.story.ident(backend.caller)
            data = {"n": ident, **about(rooms[0]), **how.pop("data", {})}
            backend.publish(self.story.tenant(draws[1]), event, ident, tuple(rooms), data, **how)

    def _room(self, draws: Sequence[float]) -> Room:
        """Choose a room: most often a conversation, else one that sockets are in by themselves."""
        tenant = self.story.tenant(draws[1])
        if draws[2] < 0.75:
            return conversation(pick(self.story.conversations[tenant], draws[2] / 0.75))
        if draws[2] < 0.9:
            return user(pick(self.story.users[tenant], (draws[2] - 0.75) / 0.15))
        return organization(tenant)

    def publish(self, draws: Sequence[float]) -> None:
        self._send(draws, "message:new", [self._room(draws)])

    def publish_to_many(self, draws: Sequence[float]) -> None:
        tenant = self.story.tenant(draws[1])
        rooms = [
            conversation(pick(self.story.conversations[tenant], draws[2])),
            user(pick(self.story.users[tenant], draws[3])),
        ]
        self._send(draws, "message:new", [*rooms, organization(tenant)] if draws[3] < 0.3 else rooms)

    def publish_to_two(self, draws: Sequence[float]) -> None:
        """Publish to two conversations, if the tenant has them."""
        names = self.story.conversations[self.story.tenant(draws[1])]
        first = int(draws[2] * len(names))
        self._send(
            draws, "message:new", [conversation(names[first]), conversation(names[first - 1])][: len(names)]
        )

    def publish_status(self, draws: Sequence[float]) -> None:
        """Publish a message's status, in any order, as webhooks come."""
        tenant = self.story.tenant(draws[1])
        message = pick(self.story.messages[tenant], draws[2])
        version = 1 + int(draws[3] * 1000)
        room = conversation(self.story.conversations[tenant][0])
        data = {"key": f"status {message}", "version": version}
        self._send(draws, "message:status", [room], key=f"status:{message}", version=version, data=data)

    def publish_conflated(self, draws: Sequence[float]) -> None:
        tenant = self.story.tenant(draws[1])
        key = f"progress:{int(draws[3] * 2)}"
        room = conversation(pick(self.story.conversations[tenant], draws[2]))
        self._progress(draws, room, key)
        # Every fourth time many in a row, as while a campaign runs.
        for number in range(1, PROGRESS if draws[3] * 8 % 1 < 0.25 else 1):
            self.story.world.after(number * PROGRESS_S, lambda: self._progress(draws, room, key))

    def _progress(self, draws: Sequence[float], room: Room, key: str) -> None:
        self._send(draws, "campaign:progress", [room], conflate=key, data={"conflate": key})

    def publish_twice(self, draws: Sequence[float]) -> None:
        """Publish under one key twice, as a repeated webhook does."""
        backend = self.story.backend(draws[0])
        if backend is None:
            return
        tenant, room, ident = self.story.tenant(draws[1]), self._room(draws), self.story.ident(backend.caller)
        for _ in range(2):
            data = {"n": ident, **about(room)}
            backend.publish(tenant, "message:new", ident, (room,), data, key=f"once:{ident}")

    def publish_large(self, draws: Sequence[float]) -> None:
        self._send(draws, "message:new", [self._room(draws)], data={"text": "x" * LARGE_BYTES})

    def burst(self, draws: Sequence[float]) -> None:
        for _ in range(BURST):
            self.publish(draws)

    def take_room(self, draws: Sequence[float]) -> None:
        """Take a conversation from a user."""
        tenant = self.story.tenant(draws[1])
        backend = self.story.backend(draws[0])
        if backend is not None:
            room = conversation(pick(self.story.conversations[tenant], draws[2]))
            backend.call("leave_room", tenant, pick(self.story.users[tenant], draws[3]), room)

    def tell_and_take(self, draws: Sequence[float]) -> None:
        """Tell a user something, and take a conversation from the user right behind it."""
        tenant = self.story.tenant(draws[1])
        self._send(draws, "message:new", [user(pick(self.story.users[tenant], draws[3]))])
        self.take_room(draws)

    def send_away(self, draws: Sequence[float]) -> None:
        """End all sockets of a user: its pages do not come back by themselves."""
        tenant = self.story.tenant(draws[1])
        backend = self.story.backend(draws[0])
        if backend is not None:
            backend.call("disconnect_user", tenant, pick(self.story.users[tenant], draws[3]))

    # -- what people do

    def open_page(self, draws: Sequence[float]) -> None:
        """Open a page of some kind, in one or two conversations."""
        if len(self.cluster.pages) >= MOST_PAGES:
            return
        tenant = self.story.tenant(draws[1])
        names = [f"conversation:{name}" for name in self.story.conversations[tenant]]
        kind = pick((RejoiningPage, RejoiningPage, RejoiningPage, EagerPage, WrapperPage), draws[0])
        options = Options(transports=pick(TRANSPORTS, draws[3]))
        more: dict[str, Any] = (
            {"conversations": names} if kind is EagerPage else {"rooms": [pick(names, draws[3])]}
        )
        if kind is not WrapperPage:
            more["remembers"] = draws[1] * 32 % 1 < REMEMBERING
            if self.story.plan.token_s is not None:
                more |= {"token_s": self.story.plan.token_s, "refreshes": draws[1] * 16 % 1 < REFRESHING}
        page = self.cluster.open_page(
            kind, tenant, pick(self.story.users[tenant], draws[2]), options=options, **more
        )
        self.story.all_pages.append(page)

    def _page(self, draws: Sequence[float]) -> Any:
        return pick_any(self.cluster.pages, draws[0])

    def close_page(self, draws: Sequence[float]) -> None:
        page = self._page(draws)
        if page is not None:
            self.cluster.pages.remove(page)
            process_of(page).do(lambda: page.close(reset=draws[1] < 0.5))

    def _with_room(self, draws: Sequence[float], act: Callable[[Any, str], object]) -> None:
        page = self._page(draws)
        if isinstance(page, RejoiningPage):
            room = f"conversation:{pick(self.story.conversations[page.tenant], draws[2])}"
            process_of(page).do(lambda: act(page, room))

    def enter(self, draws: Sequence[float]) -> None:
        self._with_room(draws, lambda page, room: page.open(room))

    def leave(self, draws: Sequence[float]) -> None:
        self._with_room(draws, lambda page, room: page.leave(room))

    def type(self, draws: Sequence[float]) -> None:
        self._with_room(draws, lambda page, room: page.type(room, begins=draws[3] < 0.6))

    def ask_presence(self, draws: Sequence[float]) -> None:
        self._with_room(draws, lambda page, room: page.ask_presence(room))


def about(room: str) -> dict[str, str]:
    """Return what an event says of its conversation."""
    kind, _, ident = room.partition(":")
    return {"conversation_id": ident} if kind == "conversation" else {}
