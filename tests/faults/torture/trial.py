"""One seed: servers, tabs and publishers; then what goes wrong, for so long; then quiet, and the verdict."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.ground import Ground, Terrain, quiet_port
from tests.faults.torture import of_servers, of_tabs, truth
from tests.faults.torture.chaos import Chaos
from tests.faults.torture.judge import Truth, judge
from tests.faults.torture.ledger import Diary, Event, seq_of
from tests.faults.torture.load import Load, Tenant, tenant
from tests.faults.torture.outages import Span, forgetful
from tests.faults.torture.pages import Tab
from tests.faults.torture.publishing import judge_publishing
from tests.faults.torture.verdict import Finding, Verdict
from tests.support.browsers import TRANSPORTS, Node, Version
from tests.support.proxy import Proxy
from tests.support.tokens import mint
from tests.support.waiting import until

LOOK_S = 0.03
# Between two faults of tabs, on average.
SMALL_S = 0.3
SETTLE_S = 180.0
TOKEN_S = 6 * 3600.0
# What a replica may log as an error: each belongs to a fault that is done to it.
MAY_LOG = ("redis_subscriber_deaf",)


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    seconds: float
    tabs: int = 48
    rate: float = 40.0
    tenants: int = 3
    replicas: int = 2


@dataclass
class Outcome:
    """What came of a seed."""

    seed: int
    log: Path
    settings: dict[str, str]
    published: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    faults: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not (self.verdict.findings or self.troubles)


class Trial:
    """One seed's stage. `draw` is its only source of chance."""

    def __init__(self, seed: int, scale: Scale, folder: Path) -> None:
        self.seed = seed
        self.scale = scale
        self.draw = draw = random.Random(seed)
        self.folder = folder
        self.window_s = draw.choice((5.0, 30.0, 120.0))
        self.calm_s = draw.choice((2.5, 5.0, 10.0))
        """Between two faults of servers, on average."""
        self.buffer_bytes = draw.choice((65_536, 262_144, 1_048_576))
        self.settings = {
            "GATEWAY_RECOVERY_WINDOW_S": str(self.window_s),
            "GATEWAY_PRESENCE_LEASE_S": "5",
            "GATEWAY_PING_INTERVAL_S": str(draw.choice((2.0, 5.0))),
            "GATEWAY_PING_TIMEOUT_S": "3",
            "GATEWAY_HISTORY_SIZE": str(draw.choice((100, 500, 5000))),
            "GATEWAY_MAX_BUFFER_BYTES": str(self.buffer_bytes),
            "GATEWAY_ROOM_LINGER_S": str(draw.choice((0.5, 5.0))),
            "GATEWAY_SHUTDOWN_GRACE_S": "1",
        }
        terrain = Terrain(
            replicas=scale.replicas,
            persist=True,
            redis_proxies=True,
            redis_options=truth.OPTIONS,
            settings=self.settings,
            may_log=MAY_LOG,
        )
        self.ground = Ground(folder, terrain)
        self.tenants = [tenant(7, 6, 2) for _ in range(scale.tenants)]
        self.most_tabs, self.least_tabs, self.most_rooms = int(scale.tabs * 1.3), int(scale.tabs * 0.7), 6
        self.tabs: list[Tab] = []
        self.troubles: list[str] = []
        self.outages: list[Span] = []
        """When Redis took nothing from a replica, by the clock of the diaries."""
        self._late: set[Tab] = set()
        self.load: Load
        self.outcome = Outcome(seed, folder / "torture.log", self.settings)
        self._log = self.outcome.log.open("w")
        self._began = time.monotonic()
        self._node: Node

    @property
    def _renew_s(self) -> float:
        return max(self.window_s / 2, 5.0)

    @property
    def lease_s(self) -> float:
        """How long a session lives that nobody renews."""
        return max(self.window_s + 2 * self._renew_s, self._renew_s + 5.0)

    def say(self, text: str) -> None:
        """Note what was done, and when, by the clock of the diaries."""
        now = time.monotonic()
        self._log.write(f"{now - self._began:8.3f}  {now:12.3f}  {text}\n")
        self._log.flush()

    # -- tabs

    @property
    def open_tabs(self) -> list[Tab]:
        """Return the tabs that are open."""
        return [tab for tab in self.tabs if not tab.is_closed]

    def tenant_of(self, tab: Tab) -> Tenant:
        """Return a tab's organization."""
        return next(tenant for tenant in self.tenants if tenant.ident == tab.tenant)

    def rooms_of(self, tab: Tab) -> list[str]:
        """Return the rooms that a tab may join."""
        return self.tenant_of(tab).rooms

    def short(self, rooms: Iterable[str]) -> str:
        """Name rooms for the log."""
        return " ".join(f"{room.partition(':')[0][:4]}:{room.partition(':')[2][:4]}" for room in sorted(rooms))

    async def open_tab(self, tenant: Tenant, user: str = "", wanted: Iterable[str] = ()) -> Tab:
        """Open one, behind a network of its own."""
        draw = self.draw
        ports = [replica.port for replica in self.ground.replicas]
        draw.shuffle(ports)
        proxy = Proxy(*ports)
        proxy.port = quiet_port()  # it is offline at times, and comes back where it was
        await proxy.start()
        user = user or draw.choice(tenant.users)
        kind = draw.choice(("websocket", "websocket", "websocket", "polling", "upgrade"))
        version: Version = "4.5" if draw.random() < 0.08 else "newest"
        token = mint(user, tenant.ident, ttl_s=TOKEN_S)
        name = f"tab-{len(self.tabs)}"
        options = {"version": version, "transports": TRANSPORTS[kind]}
        tab = Tab(self._node, name, proxy, token, tenant.ident, user, self.window_s, **options)
        tab.wanted = set(wanted) or set(draw.sample(tenant.rooms, draw.randrange(2, 5)))
        self.tabs.append(tab)
        self.say(f"{name} is {user[:4]} of {tenant.ident[:4]}, {kind}, {version}, wants {self.short(tab.wanted)}")
        return tab

    async def _tend(self) -> None:
        """Keep reading what tabs report, and have them do what follows from it."""
        while True:
            for tab in self.tabs:
                tab.read()
                if not tab.is_closed:
                    tab.tend(self.draw)
            for one in self.tenants:
                one.sids = [tab.sid for tab in self.open_tabs if tab.tenant == one.ident and tab.sid]
            await asyncio.sleep(LOOK_S)

    # -- the run

    async def run(self) -> Outcome:
        """Run it; what goes wrong is in the outcome, nothing is raised."""
        asyncio.get_running_loop().set_debug(False)
        outcome = self.outcome
        self.say(f"seed {self.seed}, {json.dumps(self.settings)}")
        for act in (self._play, self._close):
            try:
                await act()
            except Exception as error:  # noqa: BLE001  # the table's to show
                self.troubles.append(f"{type(error).__name__}: {error}")
        self.troubles += await self.ground.stop()
        events = truth.published(self.folder)
        outcome.published = len(events)
        self._judge(events)
        outcome.troubles = self.troubles
        outcome.took_s = time.monotonic() - self._began
        for line in (*outcome.troubles, *outcome.stories):
            self._log.write(f"{line}\n")
        self._log.close()
        self._keep(events)
        return outcome

    async def _play(self) -> None:
        await self.ground.start()
        self._node = await asyncio.to_thread(Node)
        self.load = Load(self.ground.redis.url, self.tenants, self.scale.rate, self.draw)
        tending = asyncio.create_task(self._tend())
        publishing = asyncio.create_task(self.load.run())
        try:
            for i in range(self.scale.tabs):
                await self.open_tab(self.tenants[i % len(self.tenants)])
            await self._torture()
            publishing.cancel()
            await self._quiet()
        finally:
            publishing.cancel()
            tending.cancel()
            for ended in await asyncio.gather(tending, publishing, return_exceptions=True):
                if isinstance(ended, Exception):
                    self.troubles.append(f"the torture itself failed: {ended!r}")

    async def _torture(self) -> None:
        chaos = Chaos(self)
        until_at = asyncio.get_running_loop().time() + self.scale.seconds
        await asyncio.gather(
            chaos.run(of_tabs.FAULTS, SMALL_S, until_at), chaos.run(of_servers.FAULTS, self.calm_s, until_at)
        )
        self.say("quiet")
        await chaos.over()
        self.outcome.faults = dict(chaos.counts)

    async def _quiet(self) -> None:
        """Wait until everyone has everything that will ever come: what comes last is for everyone."""
        for tab in self.open_tabs:
            tab.proxy.resume()
        await self.load.flushed()
        self.say("all published")
        await self._wait(lambda tab: tab.is_settled, "settled")
        for _ in range(2):
            marks = {tenant.ident: self.load.mark(tenant) for tenant in self.tenants}
            await self.load.flushed()
            offsets = {ident: call.future.result().offset or "" for ident, call in marks.items()}
            await self._wait(lambda tab: _has(tab, offsets[tab.tenant]), "up to date")  # noqa: B023
        self.say("all arrived")

    async def _wait(self, condition: Callable[[Tab], bool], what: str) -> None:
        """Wait for all tabs; who is late is waited for only once."""
        waiting = [tab for tab in self.open_tabs if tab not in self._late]
        try:
            await until(lambda: all(condition(tab) for tab in waiting), SETTLE_S)
        except AssertionError:
            for tab in waiting:
                if not condition(tab):
                    self._late.add(tab)
                    self.troubles.append(f"{tab.name} was not {what} in {SETTLE_S:g} s: {tab.diary.entries[-3:]}")

    async def _close(self) -> None:
        for tab in self.tabs:
            tab.read()
            tab.end()
            self.troubles += tab.surprises
        if hasattr(self, "load"):
            for source, status in zip(self.load.sources, await asyncio.to_thread(self.load.close), strict=True):
                if status:
                    self.troubles.append(f"{source.name} ended with {status}")
        if hasattr(self, "_node"):
            await asyncio.to_thread(self._node.close)
        for tab in self.tabs:
            await tab.proxy.stop()

    def _judge(self, events: dict[tuple[str, int], Event]) -> None:
        known = Truth(events, forgetful(self.outages, self.lease_s - self._renew_s))
        verdict = self.outcome.verdict
        for tab in self.tabs:
            verdict.add(judge(known, tab.diary))
        verdict.findings += judge_publishing(events.values())
        if hasattr(self, "load"):
            verdict.findings += self.load.findings(events)
        diaries = {tab.name: tab.diary for tab in self.tabs}
        alike: dict[tuple[str, str], list[Finding]] = {}
        for finding in verdict.findings:
            alike.setdefault((finding.kind, finding.page), []).append(finding)
        self.outcome.stories = [self._story(findings, diaries.get(page)) for (_, page), findings in alike.items()]

    def _story(self, findings: list[Finding], diary: Diary | None) -> str:
        """Tell what one page found of one kind, and what it saw around the first."""
        lines = [f"{finding.kind}: {finding.page} {finding.seq}: {finding.text}" for finding in findings]
        if diary is not None:
            lines += [f"    {line}" for line in around(diary, findings[0].seq, self._began)]
        return "\n".join(lines)

    def _keep(self, events: dict[tuple[str, int], Event]) -> None:
        """Keep the records for another look."""
        with (self.folder / "records.pickle").open("wb") as file:
            pickle.dump((events, [tab.diary for tab in self.tabs]), file)


def around(diary: Diary, seq: int, began: float, lines: int = 14) -> list[str]:
    """Show what a page saw around the place where an event is, or should be."""
    entries = diary.entries
    place = len(entries)
    for i, entry in enumerate(entries):
        offset = getattr(entry, "offset", "")
        if offset and seq_of(offset) > seq:
            place = i
            break
    first = max(0, place - lines)
    return [f"{entry.at - began:8.3f} {entry}"[:230] for entry in entries[first : place + lines // 2]]


def _has(tab: Tab, offset: str) -> bool:
    return bool(tab.last) and seq_of(tab.last) >= seq_of(offset or "-0") and tab.is_greeted
