"""`gateway top`: the replicas and workers that there are, and what they do, as they say in Redis themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
import msgspec
import redis.asyncio

from gateway.cli.reach import Target, reaching
from gateway.peers.registry import ANNOUNCE_S, KEY

COLUMNS = ("replica", "url", "state", "sockets", "rooms", "events/s", "deliveries/s", "lag ms")
CLEAR = "\x1b[H\x1b[2J"

Node = Mapping[str, Any]


class Look(NamedTuple):
    """What was there at one moment."""

    at: float
    nodes: dict[str, Node]


async def show(where: Target, *, once: bool, every_s: float = ANNOUNCE_S) -> None:
    """Print the table, again and again until cancelled, or once."""
    with reaching(where.url):
        async with redis.asyncio.Redis.from_url(where.url, **where.options) as client:
            before: Look | None = None
            while True:
                now = await look(client)
                click.echo(("" if once else CLEAR) + table(now, before))
                if once:
                    return
                before = now
                await asyncio.sleep(every_s)


async def look(client: Any) -> Look:
    """Read what the processes say of themselves."""
    keys = [key async for key in client.scan_iter(match=f"{KEY}*", count=500)]
    entries = await client.mget(keys) if keys else []
    nodes: dict[str, Node] = {}
    for key, entry in zip(keys, entries, strict=True):
        if entry is not None:
            nodes[key.decode()] = msgspec.json.decode(entry)
    return Look(time.monotonic(), nodes)


def table(now: Look, before: Look | None) -> str:
    """Lay it out, a line a process and one for all; rates need a look before."""
    rows = [COLUMNS, *(_row(key, node, now, before) for key, node in sorted(now.nodes.items(), key=_place))]
    rows.append(_sum(now))
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(_padded(row, widths)).rstrip() for row in rows)


def _place(item: tuple[str, Node]) -> tuple[str, int]:
    return str(item[1].get("url")), int(item[1].get("pid", 0))


def _row(key: str, node: Node, now: Look, before: Look | None) -> tuple[str, ...]:
    was = before.nodes.get(key) if before is not None else None
    passed_s = now.at - before.at if before is not None else 0.0
    state = "draining" if node.get("draining") else "ready" if node.get("ready") else "not ready"
    return (
        str(node.get("replica", "?")),
        str(node.get("url", "?")),
        state,
        str(node.get("sockets", 0)),
        str(node.get("rooms", 0)),
        _rate(node, was, "events", passed_s),
        _rate(node, was, "deliveries", passed_s),
        _lag(node, was),
    )


def _rate(node: Node, was: Node | None, name: str, passed_s: float) -> str:
    return "-" if was is None or not passed_s else f"{(node[name] - was[name]) / passed_s:.0f}"


def _lag(node: Node, was: Node | None) -> str:
    """Give the mean lag of the event loop, since the look before or since its start."""
    base = was or {"lag_s": 0.0, "lag_n": 0}
    count = node.get("lag_n", 0) - base.get("lag_n", 0)
    return f"{(node['lag_s'] - base['lag_s']) / count * 1000:.1f}" if count > 0 else "-"


def _sum(now: Look) -> tuple[str, ...]:
    nodes = now.nodes.values()
    sockets = sum(int(node.get("sockets", 0)) for node in nodes)
    ready = sum(bool(node.get("ready")) for node in nodes)
    return (f"{len(now.nodes)} in all", "", f"{ready} ready", str(sockets), "", "", "", "")


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if i < 3 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
