"""A small cluster for a story in a few lines, and the troubles that strike it at each step.

Two replicas, and pages of one tenant that connect where they are told and do what they are told. What a backend
does is done in Redis at once, so that it falls between any two messages of the others.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from typing import Any, Final

from gateway.core.limits import Limits
from publisher import Room, conversation
from publisher.envelope import Envelope, Options, build_control, build_event
from publisher.rooms import organization
from publisher.scripts import SCRIPTS, command
from tests.faults.checker import judge
from tests.simulation import promises, system
from tests.simulation.causes import causes
from tests.simulation.client.tab import Options as PageOptions
from tests.simulation.cluster import BALANCER, PORT, Cluster, process_of
from tests.simulation.network import NEAR_S
from tests.simulation.plan import DAY, SMALL_SIZES, Action, Plan
from tests.simulation.redis.rivals import SimulatedClient
from tests.simulation.run import start_afresh
from tests.simulation.scripted_page import ScriptedPage, once_here_or_there
from tests.simulation.stepped_network import SteppedNetwork
from tests.simulation.story import Story
from tests.simulation.transport import Transport
from tests.simulation.truth import Truth
from tests.simulation.world import Trace, World

SMALL: Final = Limits(**SMALL_SIZES, paced_keys=1)
"""Sizes so small that every way out of them is taken."""
SETTINGS: Final[dict[str, Any]] = {
    "ping_interval_s": 5.0,
    "ping_timeout_s": 4.0,
    "recovery_window_s": 60.0,
    "history_size": 6,
    "history_max_events": 10_000,
    "room_linger_s": 0.0,
    "conflate_per_s": 4,
    "presence_grace_s": 0.5,
    "presence_lease_s": 6.0,
}
# What scenes do to clusters, of what plans know.
TROUBLES: Final = ("reset_redis", "stall_redis", "freeze_replica", "crash_replica")
ALWAYS_S: Final = 1e6
AHEAD_S: Final = 0.0001
BEGINNING_S: Final = 1.0
HEALING_S: Final = 12.0
SETTLING_S: Final = 6.0
PATIENCE_S: Final = 30.0


Trouble = Callable[["Scene"], object]
"""What happens just before a message arrives."""


class Scene:
    """The cluster. A trouble strikes before each of `strikes` messages, of which the first is number `at`.

    Messages are numbered from `trouble_begins` to `trouble_ends`.
    """

    def __init__(
        self,
        *,
        limits: Limits = SMALL,
        trouble: Trouble | None = None,
        at: int = 1,
        strikes: int = 1,
        trace: bool = False,
        **settings: Any,
    ) -> None:
        self.world = world = World(1, trace=Trace(kept=trace))
        start_afresh(world)
        self.network = SteppedNetwork(world, at, strikes, lambda: trouble and trouble(self))
        self.truth = Truth(world)
        plan = _plan(SETTINGS | settings)
        self.cluster = Cluster(world, self.network, self.truth, journal=False, limits=limits, **plan.settings)
        self.story = Story(plan, self.cluster)
        self.tenant = self.story.tenants[0]
        self.rooms = [conversation(name) for name in self.story.conversations[self.tenant]]
        self.everybody = organization(self.tenant)
        self.may_be_told = False
        """Whether pages may be told of a loss: something in this story is a cause."""
        self._options = Options(history_size=plan.settings["history_size"])
        self._numbers = itertools.count(1)
        self._skipping: dict[str, str] = {}
        """Events that skip a socket, each with its sid."""
        self._owed: dict[str, None] = {}
        """Those of them that Redis has not lost."""
        self.story.begin()
        # Nothing of it is planned, but the promises have to know that something may be wrong at any time.
        troubles = (Action(0.0, what, (), ALWAYS_S) for what in TROUBLES)
        self.story.plan = plan.with_actions(tuple(troubles))
        self.run(BEGINNING_S)

    def close(self) -> None:
        """End everything, without a word."""
        system.set_machine(system.NOWHERE)
        self.cluster.forget()
        gc.enable()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def trouble_begins(self, *, here: str = "replica", there: str = "redis") -> None:
        """Number messages between processes whose names begin like this, in either direction, from now on."""
        self.network.counts = lambda sender, receiver: (
            (sender.startswith(here) and receiver.startswith(there))
            or (sender.startswith(there) and receiver.startswith(here))
        )

    def trouble_ends(self) -> None:
        """Number no more messages."""
        self.network.counts = lambda sender, receiver: False

    # -- time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now + seconds)

    def until(
        self,
        condition: Callable[[], object],
        what: str = "what was waited for has not come",
        within_s: float = PATIENCE_S,
    ) -> None:
        """Let time pass until something is so."""
        self.world.run(self.world.now + within_s, stop=lambda: bool(condition()))
        assert condition(), what

    # -- backends and Redis

    def publish(
        self,
        *rooms: Room,
        times: int = 1,
        conflate: str | None = None,
        skip: ScriptedPage | None = None,
        size: int = 0,
    ) -> list[str]:
        """Publish events to rooms, or to everybody; return their names."""
        idents = [f"backend-{next(self._numbers)}" for _ in range(times)]
        to = rooms or (self.everybody,)
        for ident in idents:
            kind, _, name = to[0].partition(":")
            data = {"n": ident} | ({"conversation_id": name} if kind == "conversation" else {})
            data |= {} if conflate is None else {"conflate": conflate}
            data |= {"text": "x" * size} if size else {}
            sid = skip.socket.id if skip is not None else None
            self._send(build_event(self.tenant, "e", data, to, self._options, conflate=conflate, skip_sid=sid))
            if sid is not None:
                self._skipping[ident] = sid
                self._owed[ident] = None
                self.truth.events[ident].is_lost = True  # the checks of promises know of no skipped socket
        return idents

    def take_away(self, user: str, room: Room) -> None:
        """Take a room away from a user."""
        control = {"do": "leave", "room": room}
        self._send(build_control(self.tenant, user, control, self._options, revoke=room))

    def disconnect(self, user: str) -> None:
        """Send a user away for good."""
        self._send(build_control(self.tenant, user, {"do": "disconnect"}, self._options, revoke="*"))

    def redis(self, *words: Any) -> Any:
        """Have Redis execute a command at once, in its own turn."""
        replies: list[Any] = []
        server = self.cluster.redis.server

        def call() -> None:
            client = SimulatedClient(server)
            replies.append(client.call(*words))
            client.connection.connection_lost(None)

        self.cluster.redis.process.do(call)
        self.world.run(self.world.now, stop=lambda: bool(replies))
        if isinstance(replies[0], Exception):
            raise replies[0]
        return replies[0]

    def _send(self, envelope: Envelope) -> None:
        self.redis("SCRIPT", "LOAD", SCRIPTS[envelope.script].source)
        self.redis("EVALSHA", *command(envelope))

    def lose_everything(self) -> None:
        """Have Redis lose all keys, and nobody notice."""
        self.may_be_told = True
        # The seqs of a burst are ahead of the clock, and those of the new history must not be below them.
        self.world.now += AHEAD_S
        self.truth.lose(lambda tenant: 0)
        self._owed.clear()
        self.redis("FLUSHALL")

    # -- pages

    def page(self, user: str, replica: int = 0, *rooms: Room, transport: str = "websocket") -> ScriptedPage:
        """Open a page, and wait until it is in its rooms."""
        page = self.open(user, replica, *rooms, transport=transport)
        self.until(lambda: page.is_settled, "the page has not come")
        return page

    def open(self, user: str, replica: int = 0, *rooms: Room, transport: str = "websocket") -> ScriptedPage:
        """Open a page."""
        options = PageOptions(transports=(transport,))
        page: ScriptedPage = self.cluster.open_page(ScriptedPage, self.tenant, user, options=options, rooms=rooms)
        self.story.all_pages.append(page)
        self.send_to(page, replica)
        return page

    def send_to(self, page: ScriptedPage, replica: int) -> None:
        """Have a page connect to a replica from now on, as long as that is ready."""
        there = self.cluster.replicas[replica]
        page.tab.balancer = lambda: (there.name, PORT) if there.is_ready else BALANCER

    def join(self, page: ScriptedPage, room: Room, since: str | None = None) -> None:
        """Have a page join a room."""
        process_of(page).do(lambda: page.join(room, since))

    def leave(self, page: ScriptedPage, room: Room) -> None:
        """Have a page leave a room."""
        process_of(page).do(lambda: page.leave(room))

    def type(self, page: ScriptedPage, room: Room, *, begins: bool) -> None:
        """Have a page begin or stop to type, if it is in the room."""
        process_of(page).do(lambda: page.type(room, begins=begins))

    def look(self, page: ScriptedPage) -> None:
        """Have a page ask who is online, if it is connected."""
        process_of(page).do(page.look)

    def come_back(self, page: ScriptedPage) -> None:
        """Have a page connect again that was sent away."""
        process_of(page).do(page.start)

    def go(self, page: ScriptedPage) -> None:
        """Have a page disconnect for good."""
        page.diary.ended = True
        process_of(page).do(page.socket.disconnect)

    def drop(self, page: ScriptedPage, replica: int = 0) -> None:
        """Take a page's network away, which its replica does not notice; it comes back to a replica by itself."""
        process_of(page).do(lambda: self.lose_network(page))
        self.send_to(page, replica)

    def reset(self, page: ScriptedPage, replica: int = 0) -> None:
        """Break a page's connection, as both ends notice; it comes back to a replica by itself."""
        for end in self.network.links(page.name):
            self.network.reset_link(end)
        self.send_to(page, replica)

    def lose_network(self, page: ScriptedPage) -> None:
        """Do so in the page's own turn."""
        for end in self.network.links(page.name):
            self.network.kill_link(end)
        page.lose_network()

    def break_redis(self, replica: int, *, kind: str | None = None) -> None:
        """Break a replica's connections to Redis, or only that for "commands" or "messages"."""
        for end in self.links(replica, kind):
            self.network.reset_link(end)

    def deafen(self, page: ScriptedPage) -> None:
        """Have a page read nothing more on its present connection; it goes on writing."""
        for end in self.network.links(page.name):
            end.pause_reading()

    def delay(self, replica: int, kind: str, seconds: float) -> None:
        """Have what Redis sends to a replica arrive late: answers to `commands`, or `messages`."""
        for end in self.links(replica, kind):
            self.network.late_s[end.peer] = seconds

    def gateway(self, replica: int) -> Any:
        """Return a replica's `Gateway`."""
        return self.cluster.replicas[replica].gateway

    def in_replica(self, replica: int, call: Callable[[Any], Any]) -> None:
        """Start a coroutine in a replica, which gets the product's `Gateway`."""
        there = self.cluster.replicas[replica]
        there.process.do(lambda: there.process.create_task(call(there.gateway)))

    def links(self, replica: int, kind: str | None = None) -> list[Transport]:
        """Return a replica's ends of its connections to Redis."""
        name = self.cluster.replicas[replica].name
        found = []
        for end in self.network.links(name, "redis"):
            is_hearing = bool(end.peer.protocol.subscriptions)
            if kind is None or is_hearing == (kind == "messages"):
                found.append(end)
        return found

    # -- the end

    def settle(self) -> None:
        """Have everything heal and come to rest, and assert that all promises were kept."""
        broken = self.rest()
        assert not broken, _shown(broken)

    def rest(self, healing_s: float = HEALING_S) -> dict[str, list[str]]:
        """Have everything heal and come to rest; return what is wrong, by promise."""
        self.trouble_ends()
        self.network.late_s.clear()
        self.story.heal()
        for page in self.story.all_pages:
            if process_of(page).is_frozen:
                process_of(page).thaw()
        self.run(healing_s)
        broken = promises.broken(self.story, (self._events_in_time,))
        self.story.settle()
        self.run(SETTLING_S)
        left_out = (promises.events, *([promises.recovering, causes] if self.may_be_told else []))
        judged = [promise for promise in promises.PROMISES if promise not in left_out]
        return broken | promises.broken(self.story, (self._events, *judged, once_here_or_there))

    def _events(self, story: Story) -> list[str]:
        """Return what is wrong with events, as `promises.events`, which knows of none that skip a socket."""
        published = [promises._published(event) for event in self.truth.events.values()]
        for event in published:
            event.skip_sid = self._skipping.get(event.ident)
            event.is_owed = event.is_owed or event.ident in self._owed
        story.verdict = judge(published, [page.diary for page in story.all_pages])
        return [*self.truth.twice, *story.verdict.findings()]

    def _events_in_time(self, story: Story) -> list[str]:
        return self._events(story)


def sweep(script: Callable[[Scene], object], *troubles: Trouble, **options: Any) -> None:
    """Play a script with each trouble before its first message, its second, and so on, until none strikes.

    The script says with `trouble_begins` and `trouble_ends` which messages count.
    """
    for trouble in troubles:
        for at in itertools.count(1):
            with Scene(at=at, trouble=trouble, **options) as scene:
                try:
                    script(scene)
                    scene.settle()
                except AssertionError as error:
                    raise AssertionError(f"{trouble.__name__} before message {at}: {error}") from error
                if not scene.network.has_struck:
                    break


def _plan(settings: dict[str, Any]) -> Plan:
    return Plan(
        seed=1,
        kind=DAY,
        duration_s=0.0,
        replicas=2,
        tenants=1,
        users=2,
        rooms=3,
        pages=0,
        backends=1,
        jitter=0.1,
        pieces=0.0,
        client_latency_s=NEAR_S,
        drift=1.0,
        settings=settings,
    )


def _shown(broken: dict[str, list[str]]) -> str:
    return "\n".join(f"{promise}: {line}" for promise, lines in broken.items() for line in lines)
