"""The outcome of a run as plain-text tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.bench.document import Document, is_finished
from tests.bench.scenarios import BIG_STORM, COMPRESSION, FAN_OUT, INBOX, REPLICAS, SCENARIOS, STORM

ABSENT = "-"


class Column(NamedTuple):
    """One figure: its name in the document, its heading, its digits after the point."""

    figure: str
    heading: str
    digits: int = 0


CORRECT = (Column("lost", "lost"), Column("twice", "twice"), Column("late", "late"))
DELIVERY = (
    Column("delivery_cpu_us", "CPU µs/delivery", 1),
    Column("p50_ms", "p50 ms", 1),
    Column("p99_ms", "p99 ms", 1),
    Column("max_ms", "max ms", 1),
    *CORRECT,
    Column("delivery_bytes", "B/delivery"),
    Column("event_redis_cpu_us", "Redis µs/event"),
    Column("event_publisher_cpu_us", "publisher µs/event"),
)
CONNECTING = (
    Column("connects_per_s", "connects/s"),
    Column("connect_cpu_ms", "CPU ms/connect", 2),
    Column("socket_kib", "KiB/socket", 1),
    Column("loaded_socket_kib", "KiB/socket after traffic", 1),
)
COMING_BACK = (
    Column("took_s", "s until all are back", 2),
    Column("arrived", "back"),
    Column("recovered", "recovered"),
    Column("comeback_cpu_ms", "CPU ms/socket", 2),
    Column("comeback_redis_cpu_ms", "Redis ms/socket", 2),
    *CORRECT,
)
COMPRESSED = (Column("deflated_sockets", "sockets compressed"), Column("loaded_socket_kib", "KiB/socket", 1))
# A scenario may give several tables: connecting is measured with the fan-out.
TABLES: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (FAN_OUT, "", DELIVERY),
    (FAN_OUT, "Connecting and memory", CONNECTING),
    (INBOX, "", DELIVERY),
    (REPLICAS, "", (Column("cpu_of_one", "x CPU of one", 2), *DELIVERY)),
    (COMPRESSION, "", (*DELIVERY[:-2], *COMPRESSED)),
    (STORM, "", COMING_BACK),
    (BIG_STORM, "", COMING_BACK),
)
TITLES = {scenario.name: scenario.title for scenario in SCENARIOS}


def render(document: Document) -> str:
    """Write all tables."""
    return "\n".join(_lines(document))


def _lines(document: Document) -> Iterator[str]:
    for scenario, title, columns in TABLES:
        if scenario in document["scenarios"]:
            entry = document["scenarios"][scenario]
            yield f"\n{title or TITLES[scenario]}  ({describe(entry['load'])})"
            yield from _table(document["labels"], entry, columns)
    machine = document["machine"]
    yield f"\nCPU is of all replicas, in user and kernel mode. {machine['system']}, {machine['cores']} cores."
    yield ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    if machine["was_busy"]:
        yield f"The machine was busy when this began (load {machine['load_before']}): take the figures as hints."


def _table(labels: dict[str, str], entry: dict[str, Any], columns: tuple[Column, ...]) -> Iterator[str]:
    rows = [["", *(column.heading for column in columns)]]
    notes = []
    for name, found in entry["systems"].items():
        if "error" in found:
            notes.append(f"  {labels[name]}: {found['error']}")
        else:
            rows.append([labels[name], *(_cell(found, column, entry["load"]) for column in columns)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield "  ".join(["  " + first.ljust(widths[0]), *cells])
    yield from notes


def _cell(found: dict[str, float], column: Column, load: dict[str, Any]) -> str:
    if column.figure not in found:
        return ABSENT
    text = f"{found[column.figure]:,.{column.digits}f}"
    return f">{text}" if column.figure == "took_s" and not is_finished(found, load) else text


def describe(load: dict[str, Any]) -> str:
    """Say in words what a load is."""
    sockets = f"{load['sockets']:,} sockets"
    if "missed" in load:
        return f"{sockets}, {load['room_size']} a room, {load['missed']} missed events each"
    return f"{sockets}, {load['rooms']:,} rooms, {load['rate']:g} events/s"
