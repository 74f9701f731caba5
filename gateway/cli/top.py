"""`gateway top`: a table of replicas and workers, from their announcements in Redis."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway import log
from gateway.cli.reach import Target, reaching, say
from gateway.errors import redis_trouble, shown_url
from gateway.peers.registry import ANNOUNCE_S, entries
from gateway.redis.cluster.commands import commands_of, source_of
from gateway.redis.commands import OPEN_ERRORS, Commands
from gateway.redis.connection import ReplyError

COLUMNS = (
    *("replica", "version", "url", "state", "up"),
    *("sockets", "rooms", "events/s", "deliveries/s", "cpu", "MiB", "lag ms"),
)
TEXTS = 4
"""The number of columns with text; the others have numbers."""
CLEAR = "\x1b[H\x1b[2J"
NONE = "-"

Node = Mapping[str, Any]
Nodes = Mapping[str, Node]


class Looks:
    """The last two different announcements of each process; rates are computed between them."""

    def __init__(self) -> None:
        self.now: Nodes = {}
        self._before: dict[str, Node] = {}

    def update(self, nodes: Nodes) -> None:
        """Store the present announcements; processes without one are dropped."""
        for name, was in self.now.items():
            if name not in nodes:
                self._before.pop(name, None)
            elif nodes[name].get("at") != was.get("at"):
                self._before[name] = was
        self.now = nodes

    def rate(self, name: str, figure: str) -> float | None:
        """Return the growth of a figure per second; None until there are two announcements."""
        now, was = self.now[name], self._before.get(name)
        if was is None or (passed_s := _figure(now, "at") - _figure(was, "at")) <= 0:
            return None
        return max(0.0, (_figure(now, figure) - _figure(was, figure)) / passed_s)

    def lag_ms(self, name: str) -> float | None:
        """Return the mean lag of the event loop in ms between two announcements, at first since the start."""
        now, was = self.now[name], self._before.get(name, {})
        count = _figure(now, "lag_n") - _figure(was, "lag_n")
        return (_figure(now, "lag_s") - _figure(was, "lag_s")) / count * 1000 if count > 0 else None


async def show(where: Target, *, once: bool, every_s: float = ANNOUNCE_S) -> None:
    """Print the table once, or until cancelled; raises `StartError` if Redis can't be reached at the start."""
    # Losses of Redis are shown above the table, so they are not logged.
    log.configure("error", "auto")
    # The gateway's own client needs no further rights; redis-py's cluster client would send COMMAND.
    with reaching(where.url):
        commands = commands_of(source_of(where.url, name="gateway-top", **where.options))
        await commands.start()
    try:
        await _watch(commands, where.url, once=once, every_s=every_s)
    finally:
        await commands.stop()


async def _watch(commands: Commands, url: str, *, once: bool, every_s: float) -> None:
    looks = Looks()
    with reaching(url):
        looks.update(await entries(commands))
    trouble = ""
    while True:
        text = table(looks)
        say(text if once else f"{CLEAR * sys.stdout.isatty()}{datetime.now():%H:%M:%S}  {trouble}\n{text}")
        if once:
            return
        await asyncio.sleep(every_s)
        try:
            looks.update(await entries(commands))
            trouble = ""
        except (*OPEN_ERRORS, ReplyError) as error:
            # Show the trouble and try again: an outage is what `top` is watched for.
            trouble = f"last known state: {redis_trouble(shown_url(url), error)}"


def table(looks: Looks) -> str:
    """Return the table as text: one line for each process, and one for the sum."""
    rows = [COLUMNS, *(_row(looks, name) for name, _ in sorted(looks.now.items(), key=_place)), _sum(looks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(_padded(row, widths)).rstrip() for row in rows)


def _place(item: tuple[str, Node]) -> tuple[str, int]:
    return str(item[1].get("url")), int(item[1].get("pid", 0))


def _row(looks: Looks, name: str) -> tuple[str, ...]:
    node = looks.now[name]
    return (
        str(node.get("replica", "?")),
        str(node.get("version", "?")),
        str(node.get("url", "?")),
        _state(node),
        _up(node),
        str(node.get("sockets", 0)),
        str(node.get("rooms", 0)),
        _number(looks.rate(name, "events")),
        _number(looks.rate(name, "deliveries")),
        _number(looks.rate(name, "process_cpu_seconds_total"), "{:.0%}"),
        _number(_figure(node, "process_resident_memory_bytes") / (1 << 20) or None),
        _number(looks.lag_ms(name), "{:.1f}"),
    )


def _sum(looks: Looks) -> tuple[str, ...]:
    nodes = looks.now.values()
    known = [rate for name in looks.now if (rate := looks.rate(name, "deliveries")) is not None]
    return (
        *(f"{len(nodes)} in all", "", "", f"{sum(bool(node.get('ready')) for node in nodes)} ready", ""),
        *(str(sum(int(node.get("sockets", 0)) for node in nodes)), "", ""),
        *(_number(sum(known) if known else None), "", "", ""),
    )


def _state(node: Node) -> str:
    """Return `ready`, `draining`, or the reasons why the process is not ready."""
    if node.get("draining"):
        return "draining"
    return "ready" if node.get("ready") else ", ".join(node.get("findings", ())) or "not ready"


def _up(node: Node) -> str:
    """Return the time since the start of the process, in one unit."""
    started_at = _figure(node, "process_start_time_seconds")
    if not started_at:
        return NONE
    seconds = max(0.0, datetime.now().timestamp() - started_at)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _figure(node: Node, name: str) -> float:
    """Return a number from an announcement; 0 if that version does not report it."""
    return float(node.get(name, node.get("figures", {}).get(name, 0)))


def _number(value: float | None, form: str = "{:.0f}") -> str:
    return NONE if value is None else form.format(value)


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if i < TEXTS else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
