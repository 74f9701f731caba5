"""What goes wrong with one tab or some: what they do with rooms, and what their networks do to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping

from tests.faults.torture.chaos import Chaos, Fault
from tests.faults.torture.pages import Tab
from tests.support.proxy import Link

# -- rooms


async def swap_rooms(chaos: Chaos) -> None:
    for tab in chaos.some(6):
        rooms = chaos.trial.rooms_of(tab)
        out = [room for room in rooms if room not in tab.wanted]
        if tab.wanted and chaos.draw.random() < 0.7:
            tab.wanted.discard(chaos.draw.choice(sorted(tab.wanted)))
        if out and len(tab.wanted) < chaos.trial.most_rooms:
            tab.wanted.add(chaos.draw.choice(out))
        chaos.trial.say(f"{tab.name} wants {chaos.trial.short(tab.wanted)}")


async def hop(chaos: Chaos) -> None:
    """Leave and join again in one breath."""
    for tab in chaos.some(3):
        if rooms := _rooms_in(tab):
            room = chaos.draw.choice(rooms)
            tab.hop(room)
            chaos.trial.say(f"{tab.name} hops {chaos.trial.short([room])}")


async def look_again(chaos: Chaos) -> None:
    """Join a room that it is in."""
    tab = chaos.tab()
    if rooms := _rooms_in(tab):
        tab.join(chaos.draw.choice(rooms), chaos.draw)


def _rooms_in(tab: Tab) -> list[str]:
    """Return the rooms that a tab wants and is in; none while it has no connection."""
    return sorted(room for room in tab.wanted & tab.rooms.keys() if tab.is_greeted and tab.rooms[room].is_in)


async def typing(chaos: Chaos) -> None:
    for tab in chaos.some(4):
        for room in sorted(tab.wanted)[:1]:
            tab.type(room)


async def burst(chaos: Chaos) -> None:
    tenant = chaos.draw.choice(chaos.trial.tenants)
    times, size = chaos.draw.choice(((30, 2000), (150, 1500), (400, 300), (700, 100)))
    rooms = chaos.draw.sample(tenant.rooms, chaos.draw.choice((1, 1, 2, 3)))
    if chaos.draw.random() < 0.3:
        rooms.append(f"organization:{tenant.ident}")
    chaos.trial.load.burst(tenant, rooms, times, size)
    chaos.trial.say(f"burst of {times} x {size} to {chaos.trial.short(rooms)}")


# -- tabs and their networks


async def cut_tab(chaos: Chaos) -> None:
    for tab in chaos.some(3):
        if chaos.draw.random() < 0.5:
            tab.proxy.cut()
        else:
            tab.cut()
        chaos.trial.say(f"{tab.name} cut")


async def cut_many(chaos: Chaos) -> None:
    tabs = chaos.some(len(chaos.trial.open_tabs))
    for tab in tabs:
        tab.proxy.cut()
    chaos.trial.say(f"{len(tabs)} tabs cut: {' '.join(tab.name for tab in tabs)}")


async def stall_tab(chaos: Chaos) -> None:
    tab, seconds = chaos.tab(), chaos.draw.uniform(0.2, 6.0)
    tab.proxy.stall()
    chaos.trial.say(f"{tab.name} stalls for {seconds:.1f} s")
    chaos.last(chaos.after(seconds, tab.proxy.resume, f"{tab.name} goes on"))


async def black_hole(chaos: Chaos) -> None:
    tab = chaos.tab()
    tab.proxy.abandon()
    chaos.trial.say(f"{tab.name} in a black hole")


async def offline(chaos: Chaos) -> None:
    tab = chaos.tab()
    seconds = chaos.draw.uniform(0.2, chaos.draw.choice((3.0, 3.0, 2.5 * chaos.trial.window_s)))
    seconds = min(seconds, 30.0)
    await tab.proxy.refuse()
    chaos.trial.say(f"{tab.name} offline for {seconds:.1f} s")
    chaos.last(_online(chaos, tab, seconds))


async def _online(chaos: Chaos, tab: Tab, seconds: float) -> None:
    await asyncio.sleep(seconds)
    if not tab.is_closed and not tab.proxy.is_listening:
        await tab.proxy.start()
        chaos.trial.say(f"{tab.name} online")


async def slow_tab(chaos: Chaos) -> None:
    tab, seconds = chaos.tab(), chaos.draw.uniform(2.0, 15.0)
    rate = chaos.draw.choice((2_000, 10_000, 40_000))
    tab.proxy.throttle(rate)
    if chaos.draw.random() < 0.5:
        tab.proxy.cut()
    chaos.trial.say(f"{tab.name} slow, {rate} bytes a second, for {seconds:.1f} s")
    chaos.last(chaos.after(seconds, lambda: tab.proxy.throttle(None), f"{tab.name} fast"))


async def slow_replay(chaos: Chaos) -> None:
    """What a tab missed comes slowly, while more is published than is kept; then it drops again."""
    tab = chaos.tab()
    if tab.wanted and tab.proxy.is_listening:
        chaos.last(_slow_replay(chaos, tab, sorted(tab.wanted)[:1]))


async def _slow_replay(chaos: Chaos, tab: Tab, rooms: list[str]) -> None:
    tenant, load = chaos.trial.tenant_of(tab), chaos.trial.load
    await tab.proxy.refuse()
    load.burst(tenant, rooms, 400, 1500)
    chaos.trial.say(f"{tab.name} misses {chaos.trial.short(rooms)}, and gets it slowly")
    tab.proxy.throttle(40_000)
    await _online(chaos, tab, chaos.draw.uniform(0.5, 2.0))
    await asyncio.sleep(chaos.draw.uniform(5.0, 18.0))
    load.burst(tenant, rooms, 700, 100)
    tab.proxy.cut()
    tab.proxy.throttle(None)
    chaos.trial.say(f"{tab.name} cut during its replay, fast")


async def deaf_tab(chaos: Chaos) -> None:
    """Read nothing of what the server sends, with little room for it."""
    tab, seconds = chaos.tab(), chaos.draw.uniform(1.0, 12.0)
    links = list(tab.proxy.links)
    for link in links:
        _narrow(link)
        link.server.hold()
    chaos.trial.say(f"{tab.name} deaf for {seconds:.1f} s")

    def hear() -> None:
        for link in links:
            link.server.let_go()

    chaos.last(chaos.after(seconds, hear, f"{tab.name} hears"))


async def open_tab(chaos: Chaos) -> None:
    if len(chaos.trial.open_tabs) < chaos.trial.most_tabs:
        tab = await chaos.trial.open_tab(chaos.draw.choice(chaos.trial.tenants))
        chaos.trial.say(f"{tab.name} opened by {tab.user[:4]}")


async def close_tab(chaos: Chaos) -> None:
    if len(chaos.trial.open_tabs) > chaos.trial.least_tabs:
        tab = chaos.tab()
        tab.close()
        chaos.trial.say(f"{tab.name} closed")


def _narrow(link: Link) -> None:
    """Leave a link little room for what its server sends."""
    if link.server.transport is not None:
        raw = link.server.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)


async def oversized(chaos: Chaos) -> None:
    """An event that no socket can be given: members are told of a gap."""
    tenant = chaos.draw.choice(chaos.trial.tenants)
    room = chaos.draw.choice(tenant.rooms)
    chaos.trial.load.oversized(tenant, room, chaos.trial.buffer_bytes // 2 + 1000)
    chaos.trial.say(f"an oversized event to {chaos.trial.short([room])}")


FAULTS: Mapping[Fault, int] = {
    swap_rooms: 24,
    hop: 10,
    look_again: 4,
    typing: 4,
    cut_tab: 10,
    cut_many: 1,
    stall_tab: 5,
    black_hole: 3,
    offline: 5,
    slow_tab: 4,
    slow_replay: 1,
    deaf_tab: 4,
    open_tab: 6,
    close_tab: 5,
    burst: 3,
    oversized: 1,
}
"""Each with how often it is drawn among the others."""
