"""What was published, by Redis' own account: its append-only file, in which every write is.

It holds also what the logs have trimmed since, what a publisher never got an answer for, and what was published
twice. Rewriting has to be off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from publisher.verbs import STATUS_VERSION
from tests.faults.torture.ledger import Event

OPTIONS = ("--auto-aof-rewrite-percentage", "0")
_LOG = re.compile(rb"rt:\{(.+)\}:log:(.+)")
_ID = re.compile(rb"(\d+)-0")


def published(folder: Path) -> dict[tuple[str, int], Event]:
    """Return every recoverable event by tenant and seq."""
    found: dict[tuple[str, int], Event] = {}
    for file in sorted(folder.glob("appendonlydir/*.incr.aof"), key=_number):
        with file.open("rb") as lines:
            for command in _commands(lines):
                if command[0].upper() == b"XADD" and (named := _LOG.fullmatch(command[1])) is not None:
                    _add(found, named[1].decode(), named[2].decode(), command)
    return found


def _number(file: Path) -> int:
    return int(file.name.split(".")[-3])


def _commands(lines: BinaryIO) -> Iterator[list[bytes]]:
    """Read one command after the other; what a SIGKILL left half written at the end is no command."""
    while head := lines.readline():
        if not head.startswith(b"*"):
            continue  # an annotation
        words = []
        for _ in range(int(head[1:])):
            size = lines.readline()
            if not size.endswith(b"\n"):
                return
            word = lines.read(int(size[1:]) + 2)
            if len(word) != int(size[1:]) + 2:
                return
            words.append(word[:-2])
        yield words


def _add(found: dict[tuple[str, int], Event], tenant: str, room: str, command: list[bytes]) -> None:
    at = next(i for i, word in enumerate(command) if i > 1 and _ID.fullmatch(word))
    seq = int(command[at].partition(b"-")[0])
    known = found.get((tenant, seq))
    if known is not None:
        found[tenant, seq] = known._replace(rooms=known.rooms | {room})
        return
    fields = dict(zip(command[at + 1 :: 2], command[at + 2 :: 2], strict=True))
    name, data = json.loads(fields[b"d"])
    skip = fields.get(b"s", b"-").decode()
    about, rank = _standing(name, data)
    found[tenant, seq] = Event(
        *(tenant, seq, frozenset({room}), name, ident_of(data)),
        skip_sid="" if skip == "-" else skip,
        conflate=fields.get(b"c", b"").decode(),
        about=about,
        rank=rank,
    )


def ident_of(data: Any) -> str:
    """Return the number that the load wrote into an event, empty where it wrote none."""
    return str(data.get("n", "")) if isinstance(data, dict) else ""


def _standing(name: str, data: Any) -> tuple[str, int]:
    """Return what an event is about and how far that has come, of those that must not go back."""
    if name == "message:status":
        return f"message {data['message_id']}", STATUS_VERSION[data["status"]]
    if isinstance(data, dict) and "version" in data:
        return f"key {data['key']}", int(data["version"])
    return "", 0
