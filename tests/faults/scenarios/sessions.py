"""What clients claim to have been: sessions that are theirs, were theirs, or never were."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

from publisher import parse_offset
from tests.faults.checker import Got
from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.waiting import until


@row(
    "a pid that is forged, another user's or another tenant's",
    harmless=True,
    tells=("unknown", "identity", "epoch"),
    real=True,
)
async def foreign_pids(stage: Stage) -> None:
    await stage.open()
    await stage.published(30)
    here, abroad = stage.watchers[0], stage.watchers[-1]
    comebacks = {watcher: watcher.comebacks for watcher in stage.watchers}
    forged = ("x" * 24, secrets.token_urlsafe(18), "../../meta", "a" * 5000, "")
    claims: list[tuple[str, str | None, tuple[str | None, ...]]] = [
        *((stage.cast.tenant, pid, ("unknown", None)) for pid in forged),
        (stage.cast.tenant, here.pid, ("identity",)),
        (stage.cast.tenant, abroad.pid, ("unknown", "epoch")),
        (stage.cast.foreign, here.pid, ("unknown", "epoch")),
    ]
    for tenant, pid, reasons in claims:
        thief = stage.add(stage.random.choice(stage.ground.urls), tenant=tenant)
        greeting = await thief.arrive(pid=pid, offset=here.offset)
        assert not greeting["recovered"]
        assert greeting.get("reason") in reasons, f"{pid!r:.40} was answered {greeting}, not {reasons}"
        assert thief.pid != pid
        assert thief.sid != here.sid
    await stage.published(50)
    assert all(watcher.comebacks == times for watcher, times in comebacks.items()), "a thief threw someone out"


@row("a session that expired", tells=("expired", "unknown"), settings={"GATEWAY_RECOVERY_WINDOW_S": "1"})
async def expired(stage: Stage) -> None:
    await stage.open(stay=False)
    # Over websockets, whose end is noticed at once: the window begins when the replica knows.
    late = stage.watchers[stage.scale.polling :: 3]
    for watcher in late:
        watcher.drop()
    await stage.published(20)
    staying = len(stage.everyone()) - len(late)
    await until(lambda: stage.ground.sockets() == staying, what="the drops to be noticed")
    await asyncio.sleep(1.5)
    for watcher in late:
        greeting = await watcher.come_back()
        assert greeting.get("reason") == "expired", f"{watcher.name} was told {greeting}"
    await stage.published(20)


@row(
    "an offset that is nonsense, of another epoch, or of the future",
    harmless=True,
    tells=("unknown", "epoch"),
    real=True,
)
async def strange_offsets(stage: Stage) -> None:
    await stage.open(stay=False)
    await stage.published(30)
    epoch, seq = parse_offset(stage.watchers[0].offset)
    told = {
        "nonsense": "unknown",
        "": "unknown",
        f"{epoch}-{seq + 10**12}": "unknown",
        f"deadbeef-{seq}": "epoch",
        f"{epoch}-{'9' * 16}": "unknown",
        f"{epoch}-{'9' * 400}": "unknown",
    }
    for watcher, (offset, reason) in zip(stage.watchers, told.items(), strict=False):
        watcher.drop()
        await watcher.dropped()
        watcher.offset = offset
        before = set(watcher.wanted)
        watcher.wanted = set()
        greeting = await watcher.come_back()
        assert (greeting["recovered"], greeting.get("reason")) == (False, reason), f"{offset!r:.50}: {greeting}"
        # It is told, and keeps its rooms all the same: what it never rejoins, it still gets.
        room = sorted(before)[0]
        event = await stage.backends[0].emit(watcher.tenant, room)
        await until(partial(has, watcher, event.ident), what=f"a room to be kept, {offset}")
        await watcher.enter(before)
    await stage.published(50)


@row("a room joined late, then a drop", harmless=True)
async def joined_late(stage: Stage) -> None:
    await stage.open(stay=False)
    room = f"conversation:{stage.cast.conversations[0]}"
    outside = [watcher for watcher in stage.natives if room not in watcher.wanted]
    assert outside
    await stage.backends[0].burst(stage.cast.tenant, room, times=60)
    for watcher in outside:
        await watcher.enter([room])
        watcher.drop()
        await stage.published(2)
        greeting = await watcher.come_back(stage.random.choice(stage.ground.urls))
        assert greeting["recovered"], f"{watcher.name} was told {greeting}"
    await stage.published(30)
    for watcher in outside:
        await watcher.exit(room)
        watcher.drop()
    await stage.backends[0].burst(stage.cast.tenant, room, times=60)
    await stage.each(watcher.come_back() for watcher in outside)
    await stage.each(_nothing_of(stage, watcher, room) for watcher in outside)


async def _nothing_of(stage: Stage, watcher: Watcher, room: str) -> None:
    """Show that a room that was left before a drop does not come back with the recovery."""
    event = await stage.backends[0].emit(watcher.tenant, room)
    behind = await stage.backends[0].emit(watcher.tenant, f"user:{watcher.user}")
    await until(lambda: has(watcher, behind.ident), what="the event behind")
    assert not has(watcher, event.ident), f"{watcher.name} got an event of a room that it had left"


@row("skip_sid, through a recovery too", harmless=True, real=True)
async def left_out(stage: Stage) -> None:
    await stage.open(stay=False)
    for _ in range(stage.scale.times(40, 12)):
        watcher = stage.random.choice(stage.watchers)
        rooms = sorted(watcher.wanted)[: stage.random.choice((1, 2, 3))]
        if stage.random.random() < 0.6:
            watcher.drop()
            await watcher.dropped()
        for _ in range(3):
            await stage.backends[0].emit(watcher.tenant, *rooms, skip_sid=watcher.sid)
        await stage.backends[0].emit(watcher.tenant, *rooms)
        if not watcher.connected:
            await watcher.reconnect(stage.random.choice(stage.ground.urls))
            assert watcher.recovered


@row("typing while a client is away: never replayed", harmless=True)
async def typing(stage: Stage) -> None:
    await stage.open(stay=False)
    room = f"conversation:{stage.cast.conversations[0]}"
    inside = stage.natives[:6]
    await stage.each(watcher.enter([room]) for watcher in inside)
    author, *others = inside
    away = others[: len(others) // 2]
    for watcher in away:
        watcher.drop()
        await watcher.dropped()
    for _ in range(5):
        for event in ("typing_start", "typing_stop"):
            author.emit(event, {"conversation_id": stage.cast.conversations[0]})
        await stage.published(3)
    present = others[len(away) :]
    await stage.each(watcher.wait_for("user_typing", count=10) for watcher in present)
    await stage.each(watcher.reconnect() for watcher in away)
    await stage.published(20)
    # That somebody has stopped is no replay: a page may show one who typed when it was cut off.
    heard = [event.data for watcher in (*away, author) for event in watcher.named("user_typing")]
    assert not any(data["typing"] for data in heard), heard
    counts = [len(watcher.named("user_typing")) for watcher in present]
    assert counts == [10] * len(present), counts


@row(
    "history trimmed while a client is away",
    tells=("trimmed",),
    settings={"GATEWAY_HISTORY_SIZE": "20", "GATEWAY_HISTORY_MAX_EVENTS": "20"},
)
async def trimmed(stage: Stage) -> None:
    await stage.open(stay=False)
    room = f"conversation:{stage.cast.conversations[0]}"
    away = [watcher for watcher in stage.natives if room in watcher.wanted]
    near = [watcher for watcher in stage.natives if room not in watcher.wanted]
    assert away
    assert near
    await stage.silence()
    for watcher in (*away, *near):
        watcher.drop()
        await watcher.dropped()
    wanted = {watcher: watcher.wanted for watcher in away}
    for watcher in away:
        watcher.wanted = set()
    await stage.backends[0].burst(stage.cast.tenant, room, times=21)
    await stage.each(watcher.come_back() for watcher in near)
    for watcher in away:
        greeting = await watcher.come_back()
        assert (greeting["recovered"], greeting.get("reason")) == (False, "trimmed"), greeting
    assert all(watcher.recovered for watcher in near), "who missed nothing was told all the same"
    # They keep their rooms: what comes now, they get without joining again.
    event = await stage.backends[0].emit(stage.cast.tenant, room)
    await until(lambda: all(has(watcher, event.ident) for watcher in away), what="the rooms to be kept")
    await stage.each(watcher.enter(wanted[watcher]) for watcher in away)
    await stage.publish()
    await stage.published(30)


def has(watcher: Watcher, ident: str) -> bool:
    """Return whether a client got an event."""
    return any(isinstance(entry, Got) and entry.ident == ident for entry in watcher.diary.entries)
