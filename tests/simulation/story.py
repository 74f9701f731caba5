"""Carries out a plan: what people and backends do, what goes wrong, how it heals, and how all come to rest."""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from publisher.rooms import conversation, organization, user
from tests.faults.checker import Verdict
from tests.simulation.backend import Backend
from tests.simulation.choosing import pick, pick_any
from tests.simulation.client.page import EagerPage, Page, RejoiningPage
from tests.simulation.cluster import Cluster, process_of
from tests.simulation.deeds import Deeds, about
from tests.simulation.faults import Faults
from tests.simulation.outbox_story import OutboxStory
from tests.simulation.plan import BEGINNING_S, Action, Plan
from tests.simulation.replica import Replica

if TYPE_CHECKING:
    from tests.simulation.visit import Meeting


class Story:
    """The cluster of a plan, and what happens to it."""

    def __init__(self, plan: Plan, cluster: Cluster) -> None:
        self.plan = plan
        self.cluster = cluster
        self.world = cluster.world
        self.network = cluster.network
        named = random.Random(f"names {plan.seed}")
        self.tenants = [_uuid(named) for _ in range(plan.tenants)]
        self.conversations = {tenant: [_uuid(named) for _ in range(plan.rooms)] for tenant in self.tenants}
        self.users = {tenant: [f"u{number}" for number in range(plan.users)] for tenant in self.tenants}
        self.messages: dict[str, list[str]] = {tenant: [_uuid(named) for _ in range(3)] for tenant in self.tenants}
        self._versions: dict[str, int] = {}
        self._numbers = 0
        self._endings: dict[int, Callable[[], object]] = {}
        """What ends the faults that go on."""
        self.all_pages: list[Page] = []
        """All pages that ever were, also the closed ones."""
        self.rested_at = math.inf
        """The moment since which nothing is wrong any more."""
        self.verdict = Verdict()
        self.silences: dict[str, list[tuple[float, float]]] = {}
        """When pages did not hear or were not heard, from when until when."""
        self.meetings: list[Meeting] = []
        """The visits when nothing is wrong."""
        self.deeds = Deeds(self)
        self.faults = Faults(self)
        self.outbox = OutboxStory(self)
        self.inventories: dict[str, Counter[str]] = {}
        """What each replica had a moment before the end."""

    # -- beginning and end

    def begin(self) -> None:
        """Start everything, and plan everything that is done."""
        plan = self.plan
        for _ in range(plan.replicas):
            self.cluster.start_replica(drift=self.drift())
        for _ in range(plan.backends):
            self.cluster.start_backend(drift=self.drift())
        for _ in range(plan.blocking_backends):
            self.cluster.start_backend(blocks=True, drift=self.drift())
        self.outbox.begin()
        opening = random.Random(f"pages {plan.seed}")
        for _ in range(plan.pages):
            draws = [opening.random() for _ in range(4)]
            self.world.after(1.0 + draws[0], lambda draws=draws: self.deeds.open_page(draws))  # type: ignore[misc]
        for action in plan.actions:
            self.world.at(BEGINNING_S + action.at, lambda action=action: self.carry_out(action))  # type: ignore[misc]

    def heal(self) -> None:
        """End all faults: processes run, the network is whole, and there are no fewer replicas than planned."""
        endings, self._endings = self._endings, {}
        for ending in endings.values():
            ending()
        self.network.heal()
        for page in self.cluster.pages:
            if isinstance(page, RejoiningPage) and not page.refreshes:
                page.refreshes = True
                process_of(page).do(page.refresh)
        for replica in self.cluster.live_replicas():
            replica.process.step_s = 0.0
        while len(self.serving()) < self.plan.replicas:
            self.cluster.start_replica()
        if not self.cluster.live_backends():
            self.cluster.start_backend()
        self.outbox.heal()

    def settle(self) -> None:
        """Come to rest: nobody opens, closes or types; each room gets a last event, and one conflated ones."""
        self.rested_at = self.world.now
        for page in self.cluster.pages:
            if isinstance(page, EagerPage):
                process_of(page).do(page.rest)
        for tenant in self.tenants:
            rooms = [conversation(name) for name in self.conversations[tenant]]
            for room in (*rooms, organization(tenant), *(user(name) for name in self.users[tenant])):
                backend = self.cluster.live_backends()[0]
                ident = self.ident(backend.caller)
                backend.publish(tenant, "message:new", ident, (room,), {"n": ident, **about(room)})
            for _ in range(2):
                # The second one waits for nothing but its time.
                backend, key = self.cluster.live_backends()[0], "progress:0"
                ident = self.ident(backend.caller)
                data = {"n": ident, "conflate": key, **about(rooms[0])}
                backend.publish(tenant, "campaign:progress", ident, (rooms[0],), data, conflate=key)
        for backend in self.cluster.live_backends():
            backend.close()
        self.outbox.settle()

    @property
    def rest_s(self) -> float:
        """Return the seconds after which nothing may be left of pages that have gone."""
        settings = self.plan.settings
        window_s, lease_s = settings["recovery_window_s"], settings["presence_lease_s"]
        session_s = max(2 * window_s + 10.0, window_s / 2 + 5.0 + 2 * lease_s)
        return float(session_s + settings["ping_interval_s"] + settings["ping_timeout_s"] + 20.0)

    @property
    def visit_s(self) -> float:
        """Return the seconds after which a visitor knows who is there, even if nobody has looked after leases."""
        settings = self.plan.settings
        return float(settings["presence_lease_s"] + settings["presence_grace_s"] + 15.0 + 60.0 * self.plan.trip_s)

    def leave(self) -> None:
        """Close all pages."""
        for page in self.cluster.pages:
            process_of(page).do(page.close)
        self.cluster.pages.clear()

    def carry_out(self, action: Action) -> None:
        """Do what the plan says, if there is anything to do it to."""
        self.world.trace.note(self.world.now, f"{action.what} {action.draws} {action.seconds:.3f}")
        [do] = [
            getattr(part, action.what)
            for part in (self.deeds, self.faults, self.outbox)
            if hasattr(part, action.what)
        ]
        do(*([action.draws] if not action.seconds else [action.draws, action.seconds]))

    def until(self, seconds: float, ending: Callable[[], object]) -> None:
        """Have a fault end in so many seconds, or when all heals."""
        self._numbers += 1
        number = self._numbers
        self._endings[number] = ending
        self.world.after(seconds, lambda: self._endings.pop(number, _nothing)())

    def drift(self) -> float:
        """Draw how fast a new process' clocks are."""
        spread = abs(self.plan.drift - 1.0)
        return 1.0 + self.world.random.uniform(-spread, spread)

    # -- whom

    def tenant(self, draw: float) -> str:
        """Choose a tenant."""
        return pick(self.tenants, draw)

    def serving(self) -> list[Replica]:
        """Return the replicas that are not about to end."""
        return [replica for replica in self.cluster.live_replicas() if not replica.is_leaving]

    def backend(self, draw: float) -> Backend | None:
        """Choose a backend that can publish."""
        return pick_any(self.cluster.live_backends(), draw)

    def ident(self, name: str) -> str:
        """Return a new ident of an event that this process publishes."""
        self._numbers += 1
        return f"{name}-{self._numbers}"


def _nothing() -> None:
    """Nothing is left to end."""


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
