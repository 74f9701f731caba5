"""What a seed draws: the size of the cluster, its settings, and all that is done to it, each with its moment.

A plan is made before anything runs, so that a failing one can be cut down to a part of its actions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

# The moment at which a plan begins.
BEGINNING_S: Final = 2.0
DAY: Final = "day"
MALICE: Final = "malice"
RACE: Final = "race"
RACES: Final = 10**9
"""From this seed on, plans are races."""
STORY: Final = "story"
STORIES: Final = 2 * 10**9
"""From this seed on, there are no plans but stories: see `anything`."""

# What may be done to a cluster, and the seconds for which each lasts at most; 0 for what is over at once.
FAULTS: Final = {
    "kill_replica": 10.0,
    "crash_replica": 10.0,
    "freeze_replica": 20.0,
    "drain_replica": 5.0,
    "add_replica": 0.0,
    "freeze_page": 60.0,
    "reset_page": 0.0,
    "mute_page": 0.0,
    "stall_page": 30.0,
    "reset_redis": 0.0,
    "mute_redis": 0.0,
    "stall_redis": 15.0,
    "restart_redis": 5.0,
    "lose_redis": 5.0,
    "behind_redis": 3.0,
    "out_of_memory": 10.0,
    "loading_redis": 3.0,
    "freeze_redis": 10.0,
    "kill_backend": 5.0,
    "freeze_backend": 10.0,
    "mute_backend": 0.0,
    "step_clock": 30.0,
}
# What happens on any working day.
USUAL: Final = (
    "drain_replica",
    "kill_replica",
    "freeze_page",
    "reset_page",
    "mute_page",
    "stall_page",
    "stall_redis",
)
# What makes Redis forget what it had acknowledged.
FORGETFUL: Final = ("lose_redis", "behind_redis", "flush_redis")
# By whose troubles others may have to wait.
OF_REDIS: Final = (
    *("reset_redis", "mute_redis", "stall_redis", "restart_redis", "freeze_redis"),
    *("out_of_memory", "loading_redis", "cut_slow_redis", "switch_redis", *FORGETFUL),
)
OF_BACKENDS: Final = ("kill_backend", "freeze_backend", "mute_backend")
# The share of losses of Redis in which nothing is left.
LOSES_ALL: Final = 0.5
# What else may go wrong, drawn apart from the above.
LATER_FAULTS: Final = {"cut_slow_redis": 10.0, "switch_redis": 5.0}
# What else may go wrong in a race.
RACING_FAULTS: Final = {"flush_redis": 0.0}
# What may go wrong with an outbox.
OUTBOX_FAULTS: Final = {
    "kill_relay": 5.0,
    "freeze_relay": 15.0,
    "stop_relay": 5.0,
    "mute_relay": 0.0,
    "stall_relay": 15.0,
    "kill_writer": 5.0,
    "freeze_writer": 10.0,
}
ANY_FAULT: Final = (*FAULTS, *LATER_FAULTS, *RACING_FAULTS, *OUTBOX_FAULTS)
# What people and backends do.
DEEDS: Final = {
    "publish": 40.0,
    "publish_to_many": 5.0,
    "publish_status": 6.0,
    "publish_conflated": 6.0,
    "publish_twice": 2.0,
    "publish_large": 0.5,
    "burst": 0.5,
    "open_page": 2.0,
    "close_page": 1.5,
    "enter": 6.0,
    "leave": 3.0,
    "type": 3.0,
    "ask_presence": 1.0,
    "take_room": 0.5,
    "send_away": 0.2,
}
# What backends do with an outbox.
OUTBOX_DEEDS: Final = {
    "commit": 40.0,
    "commit_slowly": 2.0,
    "roll_back": 5.0,
    "commit_status": 6.0,
    "commit_twice": 3.0,
    "commit_burst": 0.5,
    "commit_removal": 0.5,
    "commit_strangely": 0.5,
}


# What people and backends do in a race: more of what changes who gets what.
RACING_DEEDS: Final = DEEDS | {
    "publish": 16.0,
    "publish_to_many": 6.0,
    "publish_to_two": 4.0,
    "open_page": 4.0,
    "close_page": 3.0,
    "enter": 12.0,
    "leave": 8.0,
    "take_room": 2.0,
    "tell_and_take": 2.0,
    "send_away": 1.0,
}
# Sizes of a replica so small that every way out of them is taken; each race has some of them.
SMALL_SIZES: Final = {
    "fan_out_sockets": 1,
    "backlog_messages": 4,
    "replay_portion_bytes": 300,
    "subscribed_channels": 2,
    "resync_rooms": 2,
    "resync_events": 1,
}

# The share of plans with an outbox.
OUTBOX_SHARE: Final = 0.3
# Seconds that tokens live: pages are warned a minute before their end, or at once.
TOKENS_S: Final = (None, None, None, 20.0, 50.0, 90.0)
# Transactions that take time, and the seconds that they take at most.
LASTING_DEEDS: Final = ("commit_slowly", "roll_back")
HOLD_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do at a moment; `draws` choose to whom, `seconds` is for how long."""

    at: float
    what: str
    draws: tuple[float, ...]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a seed decides beforehand."""

    seed: int
    kind: str
    duration_s: float
    replicas: int
    tenants: int
    users: int
    """Users of a tenant."""
    rooms: int
    """Conversations of a tenant."""
    pages: int
    """Pages that are open at the beginning."""
    backends: int
    jitter: float
    pieces: float
    client_latency_s: float
    drift: float
    settings: dict[str, Any] = field(hash=False)
    actions: tuple[Action, ...] = ()
    blocking_backends: int = 0
    """Backends whose publisher blocks, besides the others."""
    relays: int = 0
    """Relays of the outbox; 0 if there is no outbox."""
    writers: int = 0
    """Backends that write to the outbox."""
    journal: str = "wal"
    """The database's `journal_mode`."""
    relaying: dict[str, Any] = field(default_factory=dict, hash=False)
    """The relays' settings."""
    token_s: float | None = None
    """Seconds that tokens live of pages that can get new ones; None if they outlive everything."""
    limits: dict[str, Any] = field(default_factory=dict, hash=False)
    """The `gateway.core.limits.Limits` of the replicas that are not as usual."""

    def has(self, *faults: str) -> bool:
        """Return whether one of these faults is in the plan."""
        return any(action.what in faults for action in self.actions)

    def times(self, *faults: str, after_s: float) -> list[tuple[float, float]]:
        """Return from when until when these faults go on, and so many seconds more."""
        return [
            (BEGINNING_S + action.at, BEGINNING_S + action.at + action.seconds + after_s)
            for action in self.actions
            if action.what in faults
        ]

    @property
    def trip_s(self) -> float:
        """Return the seconds that data takes at most on its way to or from a page."""
        return self.client_latency_s * (1.0 + self.jitter)

    @property
    def forgets(self) -> bool:
        """Return whether Redis may lose writes, so that it has to keep a journal."""
        return self.has(*FORGETFUL)

    @property
    def forgets_a_part(self) -> bool:
        """Return whether Redis may lose only its last writes, and so a join, without a sign of it."""
        return any(
            action.what == "behind_redis" or (action.what == "lose_redis" and action.draws[0] >= LOSES_ALL)
            for action in self.actions
        )

    def with_actions(self, actions: tuple[Action, ...]) -> Plan:
        """Return the same plan with other actions."""
        return replace(self, actions=actions)


def draw(seed: int) -> Plan:
    """Return the plan of a seed."""
    return _race(seed) if seed >= RACES else _long(seed)


def _race(seed: int) -> Plan:
    """Draw a short plan, in which all that goes wrong comes together with deeds, at a few moments."""
    chance = random.Random(f"race {seed}")
    plan = Plan(
        seed=seed,
        kind=RACE,
        duration_s=chance.choice((4.0, 8.0, 12.0)),
        replicas=chance.choice((1, 2, 2, 2, 3)),
        tenants=chance.choice((1, 1, 2)),
        users=chance.choice((2, 2, 3)),
        rooms=chance.choice((1, 1, 2, 3)),
        pages=chance.choice((1, 2, 3, 5)),
        backends=chance.choice((1, 1, 2)),
        jitter=chance.choice((0.1, 1.0, 5.0)),
        pieces=chance.choice((0.0, 0.0, 0.0, 0.2)),
        client_latency_s=chance.choice((0.005, 0.04, 0.15)),
        drift=chance.choice((1.0, 1.0, 1.005)),
        settings=_settings(chance)
        | {
            "recovery_window_s": chance.choice((5.0, 20.0)),
            "history_size": chance.choice((0, 2, 5, 500)),
            "history_max_events": chance.choice((5, 20, 10_000, 10_000)),
            "presence_lease_s": chance.choice((6.0, 6.0, 15.0)),
        },
        blocking_backends=chance.choice((0, 0, 0, 1)),
        limits={name: size for name, size in SMALL_SIZES.items() if chance.random() < 0.4},
    )
    plan.settings["ping_timeout_s"] = max(plan.settings["ping_timeout_s"], 6 * plan.trip_s)
    plan, others = _with_outbox(chance, plan)
    possible = FAULTS | LATER_FAULTS | RACING_FAULTS | (OUTBOX_FAULTS if plan.relays else {})
    kinds = [what for what in possible if chance.random() < 0.25]
    deeds = {what: weight for what, weight in RACING_DEEDS.items() if what == "publish" or chance.random() < 0.8}
    for _ in range(chance.choice((2, 4, 6))):
        others += _moment(chance, plan, {what: possible[what] for what in kinds}, deeds)
    for _ in range(chance.choice((2, 10, 30))):
        others.append(Action(chance.uniform(0.0, plan.duration_s), "publish", _draws(chance)))
    plan = plan.with_actions(tuple(sorted(others, key=lambda action: action.at)))
    return replace(plan, token_s=None if plan.has("step_clock") else chance.choice(TOKENS_S))


def _moment(
    chance: random.Random, plan: Plan, faults: Mapping[str, float], deeds: Mapping[str, float]
) -> list[Action]:
    """Draw what comes together: up to three faults, and deeds before, between and after them."""
    at = chance.uniform(0.0, plan.duration_s)
    gap_s = chance.choice((0.0005, 0.005, 0.05, 0.3))
    kinds = [chance.choice([*faults]) for _ in range(chance.choice((0, 1, 1, 2, 3)))] if faults else []
    kinds += chance.choices([*deeds], [*deeds.values()], k=chance.choice((2, 4, 8)))
    chance.shuffle(kinds)
    found = []
    for what in kinds:
        at += chance.expovariate(1 / gap_s)
        seconds = _length(chance, faults[what]) if faults.get(what) else 0.0
        found.append(Action(min(at, plan.duration_s), what, _draws(chance), seconds))
    return found


def _long(seed: int) -> Plan:
    chance = random.Random(f"plan {seed}")
    kind = DAY if chance.random() < 0.4 else MALICE
    duration_s = chance.choice((15.0, 30.0, 60.0))
    plan = Plan(
        seed=seed,
        kind=kind,
        duration_s=duration_s,
        replicas=chance.choice((1, 2, 2, 3)),
        tenants=chance.choice((1, 2, 2)),
        users=chance.choice((2, 4, 6)),
        rooms=chance.choice((1, 2, 4)),
        pages=chance.choice((2, 4, 8, 12)),
        backends=chance.choice((1, 2)),
        jitter=chance.choice((0.1, 1.0, 5.0)),
        pieces=chance.choice((0.0, 0.0, 0.05, 0.3)),
        client_latency_s=chance.choice((0.005, 0.04, 0.15)),
        drift=chance.choice((1.0, 1.0, 1.0001, 1.005)),
        settings=_settings(chance),
    )
    # Over a slow network a heartbeat takes as long as some settings wait for it.
    plan.settings["ping_timeout_s"] = max(plan.settings["ping_timeout_s"], 6 * plan.trip_s)
    plan = replace(plan, blocking_backends=random.Random(f"blocking backend {seed}").choice((0, 0, 1)))
    plan, others = _with_outbox(random.Random(f"with outbox {seed}"), plan)
    if plan.kind == MALICE:
        others += _some_faults(random.Random(f"later faults {seed}"), plan, LATER_FAULTS, 0.15)
    actions = (*_deeds(chance, plan), *_faults(chance, plan), *others)
    plan = plan.with_actions(tuple(sorted(actions, key=lambda action: action.at)))
    # By a clock that is wrong any token may have ended.
    token_s = None if plan.has("step_clock") else random.Random(f"tokens {seed}").choice(TOKENS_S)
    return replace(plan, token_s=token_s)


def _settings(chance: random.Random) -> dict[str, Any]:
    return {
        "ping_interval_s": chance.choice((2.0, 5.0, 15.0)),
        "ping_timeout_s": chance.choice((2.0, 4.0, 10.0)),
        "recovery_window_s": chance.choice((5.0, 20.0, 60.0)),
        "history_size": chance.choice((0, 5, 500)),
        "history_max_events": chance.choice((20, 200, 10_000)),
        "room_linger_s": chance.choice((0.0, 0.5, 5.0)),
        "conflate_per_s": chance.choice((0, 1, 4)),
        "shutdown_grace_s": chance.choice((0.5, 3.0, 10.0)),
        "max_buffer_bytes": chance.choice((65_536, 1 << 20)),
        "presence_grace_s": chance.choice((0.5, 3.0, 8.0)),
        "presence_lease_s": chance.choice((6.0, 15.0, 30.0)),
        "compression": chance.choice(("off", "off", "shared")),
    }


def _deeds(chance: random.Random, plan: Plan) -> list[Action]:
    """Draw what people and backends do: swarm testing leaves some kinds out."""
    weights = {what: weight for what, weight in DEEDS.items() if what == "publish" or chance.random() < 0.7}
    rate = chance.choice((2.0, 10.0, 30.0))
    found, at = [], 0.0
    while (at := at + chance.expovariate(rate)) < plan.duration_s:
        what = chance.choices([*weights], [*weights.values()])[0]
        found.append(Action(at, what, _draws(chance)))
    return found


def _faults(chance: random.Random, plan: Plan) -> list[Action]:
    """Draw what goes wrong: some kinds of faults, each some times."""
    possible = USUAL if plan.kind == DAY else tuple(FAULTS)
    kinds = [what for what in possible if chance.random() < (0.4 if plan.kind == DAY else 0.25)]
    found = []
    for what in kinds:
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.uniform(0.0, plan.duration_s)
            found.append(Action(at, what, _draws(chance), _length(chance, FAULTS[what])))
    return found


def _with_outbox(chance: random.Random, plan: Plan) -> tuple[Plan, list[Action]]:
    """Return the plan with an outbox, and what is done to it; most plans have none."""
    if chance.random() >= OUTBOX_SHARE:
        return plan, []
    plan = replace(
        plan,
        relays=chance.choice((1, 2, 2)),
        writers=chance.choice((1, 2)),
        journal=chance.choice(("wal", "memory")),
        relaying={
            "poll_interval_s": chance.choice((0.5, 1.0, 3.0)),
            "batch": chance.choice((2, 16, 128)),
            "tenants": chance.choice((1, 8)),
            "hold_s": chance.choice((1.0, 5.0, 30.0)),
        },
    )
    weights = {what: weight for what, weight in OUTBOX_DEEDS.items() if what == "commit" or chance.random() < 0.7}
    rate = chance.choice((0.5, 2.0, 8.0))
    found, at = [], 0.0
    while (at := at + chance.expovariate(rate)) < plan.duration_s:
        what = chance.choices([*weights], [*weights.values()])[0]
        seconds = _length(chance, HOLD_S) if what in LASTING_DEEDS else 0.0
        found.append(Action(at, what, _draws(chance), seconds))
    return plan, found + _some_faults(chance, plan, OUTBOX_FAULTS, 0.4)


def _some_faults(chance: random.Random, plan: Plan, kinds: Mapping[str, float], share: float) -> list[Action]:
    """Draw some of these kinds of faults, each some times."""
    found = []
    for what, most in kinds.items():
        if chance.random() < share:
            for _ in range(chance.choice((1, 1, 2, 5))):
                at = chance.uniform(0.0, plan.duration_s)
                found.append(Action(at, what, _draws(chance), _length(chance, most)))
    return found


def _length(chance: random.Random, most: float) -> float:
    """Draw a length up to `most` seconds: short ones are as likely as long ones."""
    return most * 10 ** -chance.uniform(0.0, 2.5)


def _draws(chance: random.Random) -> tuple[float, ...]:
    return tuple(round(chance.random(), 6) for _ in range(4))
