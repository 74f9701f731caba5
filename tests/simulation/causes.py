"""What the gateway did to pages without a cause, or did not do: rooms taken, connections ended, no answers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from tests.faults.checker import Connected, Got, Joined, Taken, seq_of
from tests.simulation import system
from tests.simulation.client.base_page import ANSWER_S
from tests.simulation.client.page import Page, RejoiningPage
from tests.simulation.plan import ANY_FAULT, OF_REDIS
from tests.simulation.publishing import SHOWN
from tests.simulation.story import Story
from tests.simulation.truth import Revoked

# What leaves a page without an answer, although it believes that it is connected.
_MUTE: Final = ("freeze_page", "stall_page", "mute_page", "freeze_replica", "crash_replica")
# For which a gateway may ask pages to try again in a moment.
_TROUBLES: Final = (*OF_REDIS, "freeze_replica", "crash_replica", "kill_replica", "drain_replica")
# Seconds within which an event comes when nothing is wrong.
PROMPT_S: Final = 2.0
# Microseconds by which a seq may be ahead of the time: one for each event of a burst.
AHEAD_US: Final = 10_000


def causes(story: Story) -> list[str]:
    """Return what was done to pages without a cause: a room taken, a user sent away, a connection ended."""
    found: list[str] = []
    forgets = story.plan.forgets
    for page in story.all_pages:
        ahead_s = page.diary.ahead_s
        mine = _of(story, page)
        if not forgets:
            for at, room in page.notes.taken:
                if not any(gone.room == room and gone.at + ahead_s <= at for gone in mine):
                    found.append(f"{page.name} was told at {at - ahead_s:.3f} that it has left {room}")
            for room, times in _taken(page).items():
                if times > sum(f"{page.tenant}/{gone.room}" == room for gone in mine):
                    found.append(f"{page.name} was put out of {room} {times} times")
        for at, reason in page.notes.ends:
            is_sent_away = any(gone.room is None and gone.at + ahead_s <= at for gone in mine)
            if reason == "io server disconnect" and not is_sent_away:
                found.append(f"{page.name} was sent away at {at - ahead_s:.3f}")
            elif at - ahead_s > story.rested_at and not is_sent_away and not forgets:
                found.append(f"{page.name} lost its connection at {at - ahead_s:.3f}: {reason}")
    return found[:SHOWN]


def _of(story: Story, page: Page) -> list[Revoked]:
    """Return the revocations of a page's user."""
    revoked = story.cluster.truth.revoked
    return [gone for gone in revoked if (gone.tenant, gone.user) == (page.tenant, page.user)]


def _taken(page: Page) -> Counter[str]:
    """Return how many times a page was put out of each room; being told twice of one is no second time."""
    found, joined = Counter[str](), dict[str, None]()
    for entry in page.diary.entries:
        if isinstance(entry, Joined):
            joined[entry.room] = None
        elif isinstance(entry, Taken) and entry.room in joined:
            del joined[entry.room]
            found[entry.room] += 1
    return found


def answers(story: Story) -> list[str]:
    """Return questions without an answer, refusals without a cause, and offsets that do not exist yet."""
    plan, found = story.plan, list[str]()
    troubled = plan.has(*_TROUBLES)
    ping_s = plan.settings["ping_interval_s"] + plan.settings["ping_timeout_s"]
    mute = plan.times(*_MUTE, after_s=ping_s + ANSWER_S + 5.0)
    for page in story.all_pages:
        notes, ahead_s = page.notes, page.diary.ahead_s
        for at, what in notes.unanswered:
            if not any(since < at - ahead_s < until for since, until in mute):
                found.append(f"{page.name} had no answer at {at - ahead_s:.3f}: {what}")
        for at, code in notes.refused:
            excuses = (
                code == "not_joined",
                code == "unavailable" and troubled,
                # Access may be revoked during a join.
                code == "forbidden" and any(at - ANSWER_S < gone.at + ahead_s <= at for gone in _of(story, page)),
            )
            if not any(excuses):
                found.append(f"{page.name} was refused at {at - ahead_s:.3f}: {code}")
        for entry in page.diary.entries:
            if isinstance(entry, Connected | Joined):
                us = (system.EPOCH + entry.at - ahead_s) * 1e6
                if seq_of(entry.offset) > us + AHEAD_US:
                    found.append(f"{page.name} was told an offset of the future: {entry}")
    found += [f"{page.name} is not where it wants to be" for page in story.cluster.pages if not _is_settled(page)]
    return found[:SHOWN]


def _is_settled(page: Page) -> bool:
    if page.diary.ended or not page.is_greeted:
        return True
    return page.is_settled if isinstance(page, RejoiningPage) else not page.asked


def prompt(story: Story) -> list[str]:
    """Return events that came late although nothing was wrong: before the first fault, and after the last one."""
    plan, events, found = story.plan, story.cluster.truth.events, list[str]()
    first_at = min((since for since, _ in plan.times(*ANY_FAULT, after_s=0.0)), default=math.inf)
    # Over long-polling the next question has to come before an answer.
    late_s = PROMPT_S + 4 * plan.trip_s
    pause_s = 2 / plan.settings["conflate_per_s"] if plan.settings["conflate_per_s"] else 0.0
    for page in story.all_pages:
        for entry in page.diary.entries:
            if not isinstance(entry, Got) or (event := events.get(entry.ident)) is None:
                continue
            most_s = late_s if event.conflate is None else late_s + pause_s
            took_s = entry.at - page.diary.ahead_s - event.at
            if page.token_s == plan.token_s and event.at + took_s < first_at:
                continue  # its token may have ended meanwhile
            if took_s > most_s and (event.at + took_s < first_at or event.at > story.rested_at):
                found.append(f"{page.name} got {entry.ident} {took_s:.3f} s after it was published")
    return found[:SHOWN]
