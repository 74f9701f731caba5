"""What pages were shown while things happened: the rate of conflated events, and who seemed to be away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from tests.simulation.client.notes import Time, Told
from tests.simulation.client.page import Page
from tests.simulation.plan import OF_REDIS, Plan
from tests.simulation.publishing import SHOWN
from tests.simulation.story import Story

Place: TypeAlias = tuple[str, str]
"""A tenant, and a user or a room of it."""

# What makes the times at which a page reads differ from those at which a replica sends.
DELAYING: Final = ("freeze_page", "stall_page", "freeze_replica")
# What ends a lease although its page is there.
_LAPSING: Final = (*OF_REDIS, "freeze_replica", "crash_replica")
# Events that may come early: a question is under way, and one more at the beginning.
_EARLY: Final = 3
SLACK_S: Final = 1.0


def pace(story: Story) -> list[str]:
    """Return conflated events that came too fast: of a key so many a second, and one for each other event."""
    plan, found = story.plan, list[str]()
    per_s = plan.settings["conflate_per_s"]
    if not per_s:
        return found
    delayed = plan.times(*DELAYING, after_s=SLACK_S + _late_s(plan))
    most = _EARLY + per_s * _late_s(plan)
    for page in story.all_pages:
        levels: dict[str, tuple[float, int, float]] = {}
        for at, key, others in page.notes.states:
            if any(since < at - page.diary.ahead_s < until for since, until in delayed):
                levels.clear()
                continue
            before, others_before, level = levels.get(key, (at, others, 0.0))
            level = max(level - per_s * (at - before) - (others - others_before), 0.0) + 1.0
            if level > most:
                found.append(f"{page.name} got {key} too fast: {level:.1f} too many at {at:.3f}")
                level = 0.0
            levels[key] = at, others, level
    return found[:SHOWN]


def flicker(story: Story) -> list[str]:
    """Return users who were shown as away although they were there, online or in a conversation.

    Those who were away for less than the grace are there. While a page is silent, it does not know whether it is
    there for the gateway, so it does not count. A Redis that has lost its last writes may have lost who was there.
    """
    plan, found = story.plan, list[str]()
    if plan.forgets:
        return found
    users, rooms = _connections(story), _stays(story)
    far_s, settings = 3 * SLACK_S + _late_s(plan), plan.settings
    lapsing = plan.times(*_LAPSING, after_s=far_s + 2 * settings["presence_lease_s"])
    # A user is shown for no longer than a session waits, nor longer than the rest of a lease without a renewal.
    shown_s = settings["presence_grace_s"], settings["recovery_window_s"], settings["presence_lease_s"] * 2 / 3
    gap_s = min(shown_s) - SLACK_S - 2 * _late_s(plan)

    def sent_away(tenant: str, user: str) -> list[float]:
        return [gone.at for gone in story.cluster.truth.revoked if gone[:3] == (tenant, user, None)]

    for page in story.all_pages:
        silent = _silences(story, page)
        for told in page.notes.told:
            at = told.at - page.diary.ahead_s
            if any(since < at < until for since, until in (*lapsing, *silent)):
                continue
            for user in _away(told, story.users[page.tenant]):
                # Who is sent away is gone at once.
                is_sent_away = any(at - far_s - gap_s < gone < at + far_s for gone in sent_away(page.tenant, user))
                if (
                    user != page.user
                    and not is_sent_away
                    and was_there(users.get((page.tenant, user), ()), at, far_s, gap_s)
                ):
                    found.append(f"{page.name} was told at {at:.3f} that {user} is away: {told.name} {told.data}")
            room, looking = _looking(told)
            for user, stays in rooms.get((page.tenant, room), {}).items():
                has_left = any(at - far_s - gap_s < left < at + far_s for left in stays.left)
                if user not in looking and was_there(stays.times, at, far_s, 0.0 if has_left else gap_s):
                    found.append(f"{page.name} was told at {at:.3f} that {user} has left: {told.name} {told.data}")
    return found[:SHOWN]


def _late_s(plan: Plan) -> float:
    """Return by how much what comes to a page may be later than other things."""
    return SLACK_S / 4 + 3 * plan.trip_s


def _silences(story: Story, page: Page) -> list[tuple[float, float]]:
    """Return when a page may have been silent, until both ends of its connection know it."""
    settings = story.plan.settings
    ping_s = settings["ping_interval_s"] + settings["ping_timeout_s"]
    return [(since, until + ping_s + SLACK_S) for since, until in story.silences.get(page.name, ())]


def _connections(story: Story) -> dict[Place, list[Time]]:
    """Return when each user was connected, by the world's clock, in order."""
    found: dict[Place, list[Time]] = {}
    for page in story.all_pages:
        found.setdefault((page.tenant, page.user), []).extend(_there(story, page))
    for times in found.values():
        times.sort(key=lambda time: time.since)
    return found


class Stays:
    """When a user was connected and in a conversation, and when one of its pages left it."""

    def __init__(self) -> None:
        self.times: list[Time] = []
        self.left: list[float] = []


def _stays(story: Story) -> dict[Place, dict[str, Stays]]:
    """Return when each user was in each conversation, by the world's clock, in order."""
    found: dict[Place, dict[str, Stays]] = {}
    for page in story.all_pages:
        connections = _there(story, page)
        for room, stays in page.notes.stays.items():
            users = found.setdefault((page.tenant, room), {})
            if page.user not in users:
                users[page.user] = Stays()
            for stay in _in_the_world(page, stays):
                users[page.user].times.extend(_common(stay, connections))
                users[page.user].left.append(stay.until)
    for gone in story.cluster.truth.revoked:
        for (tenant, _), users in found.items():
            if gone.tenant == tenant and gone.user in users:
                users[gone.user].left.append(gone.at)
    for users in found.values():
        for of_user in users.values():
            of_user.times.sort(key=lambda time: time.since)
    return found


def _there(story: Story, page: Page) -> list[Time]:
    """Return when a page was connected for certain."""
    found = _in_the_world(page, page.notes.connections)
    for since, until in _silences(story, page):
        found = [part for time in found for part in _parts(time, since, until)]
    return found


def _parts(time: Time, since: float, until: float) -> Iterator[Time]:
    """Yield what is left of a time without another one."""
    if time.since < since:
        yield (before := Time(time.since))
        before.until = min(time.until, since)
    if time.until > until:
        yield (after := Time(max(time.since, until)))
        after.until = time.until


def _in_the_world(page: Page, times: Sequence[Time]) -> list[Time]:
    found = []
    for time in times:
        found.append(moved := Time(time.since - page.diary.ahead_s))
        moved.until = time.until - page.diary.ahead_s
    return found


def _common(stay: Time, connections: Sequence[Time]) -> Iterator[Time]:
    for connection in connections:
        since, until = max(stay.since, connection.since), min(stay.until, connection.until)
        if since < until:
            yield (common := Time(since))
            common.until = until


def was_there(times: Sequence[Time], at: float, far_s: float, gap_s: float) -> bool:
    """Return whether there was one time all around a moment, or, with `gap_s`, only shorter gaps before it."""
    if any(time.since <= at - far_s and at + far_s <= time.until for time in times):
        return True
    if gap_s <= 0.0 or not times or times[0].since > at - far_s:
        return False
    reached = -math.inf
    for time in times:
        if time.since > at:
            break
        if time.since - reached > gap_s and time.since > at - far_s:
            return False
        reached = max(reached, time.until)
    return at - reached < gap_s


def _away(told: Told, users: Sequence[str]) -> list[str]:
    """Return the users of whom a page was told that they are offline."""
    data: dict[str, Any] = told.data
    if told.name == "user:status":
        return [data["user_id"]] if data["status"] == "offline" else []
    if told.name == "user:statuses":
        return list(data["offline"])
    return [user for user in users if user not in data["online"]] if "online" in data else []


def _looking(told: Told) -> tuple[str, list[str]]:
    """Return a conversation and who looks at it, if a page was told that."""
    if "conversation_id" not in told.data:
        return "", []
    return f"conversation:{told.data['conversation_id']}", told.data["user_ids"]
