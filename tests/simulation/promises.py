"""The promises to users, each as a check of what happened in a simulation. Each check returns what is wrong.

The names are those of the README's section on promises.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from tests.faults.checker import Asked, Connected, Diary, Got, Joined, Out, Published, judge, seq_of
from tests.simulation import system
from tests.simulation.causes import answers, causes, prompt
from tests.simulation.client.page import Page
from tests.simulation.cluster import process_of
from tests.simulation.plan import OF_REDIS
from tests.simulation.process import Process
from tests.simulation.publishing import SHOWN, publishing
from tests.simulation.relaying import relaying
from tests.simulation.shown import DELAYING, SLACK_S, flicker, pace
from tests.simulation.story import Story
from tests.simulation.truth import Committed, Revoked
from tests.simulation.visit import company

# Keys that stay after everybody has left: histories, what recognizes repeats, and what was changed last.
_LASTING: Final = (
    *(b"meta", b"log", b"tail", b"latest", b"once", b"lane", b"versions", b"revoked", b"blocked"),
    *(b"changes", b"typed"),
)


def events(story: Story) -> list[str]:
    """Return what is wrong with events: each once, in order, complete or told, and in its own tenant's rooms.

    A client is owed all that Redis has published to its rooms, whether or not the publisher was told.
    """
    truth = story.cluster.truth
    diaries = [_judged(page.diary, story) for page in story.all_pages]
    published = [_published(event) for event in truth.events.values() if event.ident not in truth.again]
    verdict = judge(published, diaries)
    story.verdict = verdict
    if story.plan.forgets_a_part:
        # A session may have lost a join: what a failover with asynchronous replication loses is not promised.
        verdict.lost.clear()
    return [*truth.twice, *verdict.findings(SHOWN)]


def events_in_time(story: Story) -> list[str]:
    """Return what pages lack of the events a minute after the last fault.

    Later the last event of each room shows its members what they lack, so that it comes after all.
    """
    return events(story)


def _judged(diary: Diary, story: Story) -> Diary:
    """Return a diary without what is not judged: events that Redis lost and got again, and leaves that it lost."""
    again, forgets = story.cluster.truth.again, story.plan.forgets
    if not again and not forgets:
        return diary
    entries = [
        entry
        for entry in diary.entries
        if not (isinstance(entry, Got) and entry.ident in again) and not (isinstance(entry, Out) and forgets)
    ]
    return replace(diary, entries=entries)


def _published(event: Committed) -> Published:
    rooms = tuple(f"{event.tenant}/{room}" for room in event.rooms)
    return Published(
        event.ident,
        rooms,
        event.at,
        event.offset,
        is_owed=not event.is_lost,
        conflate=event.conflate,
    )


def catching_up(story: Story) -> list[str]:
    """Return what is wrong with answers to joins with `since`.

    They say that they are complete and lack something, tell of a gap that has no cause, or repeat what came live.
    """
    found: list[str] = []
    for page in story.all_pages:
        found += [*_lacking(story, page), *_gaps_without_a_cause(story, page), *_came_twice(page)]
    return found[:SHOWN]


def _lacking(story: Story, page: Page) -> list[str]:
    """Return what complete answers lack."""
    found, had = [], {entry.ident for entry in page.diary.entries if isinstance(entry, Got)}
    for answer in page.caught_up:
        if not answer.complete:
            continue
        since, until = seq_of(answer.since), seq_of(answer.joined.offset)
        known = had.union(event.ident for event in answer.events)
        for event in story.cluster.truth.events.values():
            is_due = event.tenant == page.tenant and answer.room in event.rooms and since < event.seq <= until
            if is_due and not event.is_lost and event.ident not in known and not event.conflate:
                found.append(f"{page.name} joined {answer.room} since {since}, and the answer lacks {event}")
    return found


def _gaps_without_a_cause(story: Story, page: Page) -> list[str]:
    """Return incomplete answers where all is kept, and the replica knows all that the page had."""
    settings = story.plan.settings
    is_kept = settings["history_max_events"] >= 10_000 and settings.get("max_buffer_bytes", 0) >= 1 << 20
    has_moved = any(isinstance(entry, Connected) and entry.recovered for entry in page.diary.entries)
    if not is_kept or has_moved or story.plan.has(*OF_REDIS):
        return []
    found = []
    for answer in page.caught_up:
        age_s = system.EPOCH + answer.joined.at - page.diary.ahead_s - seq_of(answer.since) / 1e6
        if not answer.complete and age_s < settings["recovery_window_s"] - 1.0:
            found.append(f"{page.name} joined {answer.room} and was told of a gap after {age_s:.3f} s")
    return found


def _came_twice(page: Page) -> list[str]:
    """Return what a page got live and in an answer, in one session or in those that were recovered from it."""
    found, live, answered = [], set[str](), set[str]()
    answers = {id(answer.joined): answer for answer in page.caught_up}
    for entry in page.diary.entries:
        if isinstance(entry, Connected) and not entry.recovered:
            live.clear()
            answered.clear()
        elif isinstance(entry, Got):
            live.add(entry.ident)
        elif (answer := answers.get(id(entry))) is not None:
            answered.update(event.ident for event in answer.events)
        if live & answered:
            found.append(f"{page.name} got {live & answered} live and in an answer")
            live -= answered
    return found


def access(story: Story) -> list[str]:
    """Return events that a page got after its user had lost access to them, or after its token had ended.

    A Redis that has lost its last writes has lost revocations as well.
    """
    found = [line for page in story.all_pages for line in _got_without_a_token(story, page)]
    if story.plan.forgets:
        return found[:SHOWN]
    for revoked in story.cluster.truth.revoked:
        for page in story.all_pages:
            if (page.tenant, page.user) == (revoked.tenant, revoked.user):
                found += _got_in_spite(story, page, revoked)
    return found[:SHOWN]


def _got_without_a_token(story: Story, page: Page) -> list[str]:
    """Return what a page got after its token had ended, where it gets everything at once."""
    found: list[str] = []
    if story.plan.has(*DELAYING):
        return found
    slack_s, tokens, until = SLACK_S + 4 * story.plan.trip_s, iter(page.notes.tokens), math.inf
    following = next(tokens, None)
    for entry in page.diary.entries:
        if isinstance(entry, Got):
            while following is not None and following[0] <= entry.at:
                until, following = following[1] + page.token_s, next(tokens, None)
            if entry.at > until + slack_s:
                found.append(f"{page.name} got {entry.ident} {entry.at - until:.3f} s after the end of its token")
    return found


def _got_in_spite(story: Story, page: Page, revoked: Revoked) -> list[str]:
    """Return what a page got of the room, or at all, although it had not come into it again."""
    truth, room, found = story.cluster.truth, f"{revoked.tenant}/{revoked.room}", []
    since, came = process_of(page).monotonic_at(revoked.at), math.inf
    for entry in page.diary.entries:
        if isinstance(entry, Got):
            event = truth.events.get(entry.ident)
            is_of_it = revoked.room is None or (event is not None and event.rooms == [revoked.room])
            if came < since and is_of_it and seq_of(entry.offset) > revoked.seq:
                found.append(f"{page.name} got {entry.ident} at {entry.offset} in spite of {revoked}")
        elif isinstance(entry, Connected):
            if revoked.room is None and not entry.recovered:
                came = entry.at
        elif isinstance(entry, Joined) and entry.room == room:
            came = entry.at
        elif isinstance(entry, Asked) and entry.room == room:
            came = math.inf  # it may be in the room since any moment
    return found


def recovering(story: Story) -> list[str]:
    """Return losses that were told without a cause, to pages that came back within the recovery window.

    Where a page may have read late what came early, its diary does not show when its connection ended; and where
    logs are short, they may be trimmed for a cause.
    """
    plan, found = story.plan, list[str]()
    faults = {action.what for action in plan.actions}
    if plan.forgets or faults & {"freeze_page", "stall_page"} or plan.settings["history_max_events"] < 10_000:
        return found
    sent_away = {(gone.tenant, gone.user) for gone in story.cluster.truth.revoked if gone.room is None}
    for page in story.all_pages:
        last_at = -math.inf
        for entry in page.diary.entries:
            if isinstance(entry, Connected):
                is_soon = entry.at - last_at < plan.settings["recovery_window_s"] - 1.0
                if is_soon and not entry.recovered and (page.tenant, page.user) not in sent_away:
                    found.append(f"{page.name} was told after {entry.at - last_at:.3f} s: {entry}")
            if isinstance(entry, Connected | Joined | Got):
                last_at = entry.at
    return found[:SHOWN]


def versions(story: Story) -> list[str]:
    """Return events that were older than what the same page had seen under the same key.

    A Redis that has lost its last writes has lost their versions as well.
    """
    found: list[str] = []
    if story.plan.forgets:
        return found
    for page in story.all_pages:
        newest: dict[str, int] = {}
        for key, version in page.versions:
            if version < newest.get(key, 0):
                found.append(f"{page.name} saw {key} go back from {newest[key]} to {version}")
            newest[key] = version
    return found[:SHOWN]


def presence(story: Story) -> list[str]:
    """Return what pages show wrongly of other users when everything has come to rest.

    A Redis that has lost its last writes may have lost that somebody has left.
    """
    found: list[str] = []
    if story.plan.forgets:
        return found
    for page in story.cluster.pages:
        if not page.is_greeted:
            continue
        others = [other for other in story.cluster.pages if other.tenant == page.tenant and other.is_greeted]
        online = {other.user for other in others}
        shown = None if page.shown.online is None else {*page.shown.online}
        if shown is not None and shown | {page.user} != online | {page.user}:
            found.append(f"{page.name} ({page.user}) shows {sorted(shown)} online, there are {sorted(online)}")
        for room in page.joined:
            looking = {other.user for other in others if room in other.joined}
            unsure = {other.user for other in others if _may_be_in(other, room)}
            seen = page.shown.viewers.get(room)
            if seen is not None and {*seen} - unsure != looking - unsure:
                found.append(f"{page.name} shows {sorted(seen)} in {room}, there are {sorted(looking)}")
    return found[:SHOWN]


def _may_be_in(page: Page, room: str) -> bool:
    """Return whether a page asked for a room and lost the answer, or was kept in it when its history was lost."""
    if room in page.joined:
        return False
    about = [entry for entry in page.diary.entries if getattr(entry, "room", "") == f"{page.tenant}/{room}"]
    return bool(about) and isinstance(about[-1], Asked | Joined)


def typing(story: Story) -> list[str]:
    """Return users who seem to type after all have stopped, and pages that heard of their own user's typing.

    A Redis that has lost its last writes may have lost who types, together with the replica that knew it as well.
    """
    found = [
        f"{page.name} shows that {sorted(users)} type in {room}"
        for page in story.cluster.pages
        if page.is_greeted and not story.plan.forgets_a_part
        for room, users in page.shown.typing.items()
        if users
    ]
    for page in story.all_pages:
        found += [
            f"{page.name} heard of its own typing: {typed}" for typed in page.notes.typed if typed[2] == page.user
        ]
    return found[:SHOWN]


def quiet(story: Story) -> list[str]:
    """Return complaints: unhandled exceptions, logged tracebacks, and refusals that no page may get."""
    surprises = [surprise for page in story.all_pages for surprise in page.surprises]
    return [*story.world.complaints, *surprises][:SHOWN]


def together(story: Story) -> list[str]:
    """Return pages that did not come back, although nothing is wrong any more."""
    return [
        f"{page.name} is not connected; its connections ended by {page.reasons[-5:]}"
        for page in story.cluster.pages
        if not page.diary.ended and not page.is_greeted
    ][:SHOWN]


def nothing_left(story: Story) -> list[str]:
    """Return what is left long after all pages were closed, compared with a replica that has just started."""
    fresh, *others = reversed(story.cluster.live_replicas())
    usual = _inventory(fresh.process) | story.inventories[fresh.name]
    found = []
    for replica in others:
        gateway: Any = replica.gateway
        hub = gateway.subscriptions.hub
        tables = {
            "sockets": gateway.server.eio.sockets,
            "members": gateway.server.members.by_sid,
            "rooms": hub.channels,
            "tenants": hub.tenants,
            "tunnels": gateway.forwarding.tunnels.open,
        }
        found += [f"{replica.name} still has {len(table)} {name}" for name, table in tables.items() if table]
        # What was there a moment ago as well: a probe may be under way at any time.
        stays = _inventory(replica.process) & story.inventories[replica.name]
        found += [f"{replica.name} still has {what}" for what in stays - usual]
    server = story.cluster.redis.server
    server.expire_due()
    for tenant in story.tenants:
        kept = [key for key in server.keyspace.data if tenant.encode() in key and not _may_stay(key)]
        if kept:
            kinds = sorted({_kind(key): server.keyspace.expires.get(key) for key in kept}.items())
            found.append(f"Redis still has {len(kept)} keys of {tenant}: {kinds}")
    return found[:SHOWN]


def take_inventory(story: Story) -> None:
    """Take down what each replica has now."""
    for replica in story.cluster.live_replicas():
        story.inventories[replica.name] = _inventory(replica.process)


def _inventory(process: Process) -> Counter[str]:
    """Return the tasks and timers of a process by what they do, and its connections by their other ends."""
    tasks = Counter(f"task {task.get_coro().__qualname__}" for task in process.tasks())  # type: ignore[union-attr]
    # One timer serves all deadlines of sockets. It may still be set for one that was dropped.
    timers = Counter(f"timer {shown}" for shown in process.timers() if shown != "Timers._turn")
    links = Counter(f"link to {end.peer.process.name}" for end in process.network.links(process.name))
    return tasks + timers + links


def _kind(key: bytes) -> bytes:
    return key.partition(b"}:")[2].partition(b":")[0]


def _may_stay(key: bytes) -> bool:
    """Return whether a key lives for longer than anybody waits here: histories, and what keeps repeats away."""
    return _kind(key) in _LASTING


Promise = Callable[[Story], list[str]]
PROMISES: Final[tuple[Promise, ...]] = (
    events,
    catching_up,
    publishing,
    relaying,
    prompt,
    pace,
    answers,
    causes,
    access,
    recovering,
    versions,
    presence,
    flicker,
    typing,
    quiet,
    together,
)
"""What must hold as soon as everything has come to rest."""
IN_TIME: Final[tuple[Promise, ...]] = (events_in_time,)
"""What must hold before anything else happens after the last fault."""
OF_A_VISIT: Final[tuple[Promise, ...]] = (together, presence, company)
"""What must hold for somebody who comes long after everybody has left."""
AT_REST: Final[tuple[Promise, ...]] = (quiet, nothing_left)
"""What must hold long after everybody has left."""


def broken(story: Story, promises: Iterable[Promise] = PROMISES) -> dict[str, list[str]]:
    """Return the promises that were broken, by their names, each with what is wrong."""
    return {promise.__name__: wrong for promise in promises if (wrong := promise(story))}
