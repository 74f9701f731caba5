"""Reading the rooms' logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.bus.budget import Budget
from gateway.bus.commands import Commands
from gateway.bus.link import ReplyError
from gateway.core.history import Brief, Entry, Kept, Log, judge
from gateway.limits.slices import SLICE, Slices
from publisher import wire
from publisher.envelope import new_epoch
from publisher.rooms import Room

# Facts about the tenant in an answer, before those about its rooms.
HEAD = 5


class Snapshot(NamedTuple):
    """Some rooms of a tenant at one moment."""

    epoch: str
    seq: int
    """Every event at or below it was published before that moment, every other one after."""
    logs: dict[Room, Log]
    size: int = 0
    """Bytes that Redis sent, near enough."""


class History:
    """Reads logs, as much of them as the settings say there is."""

    def __init__(self, commands: Commands, kept: Kept) -> None:
        self.kept = kept
        self._commands = commands
        self._read_logs = commands.script("read_logs")
        self._renew_epoch = commands.script("renew_epoch")
        self._budget = Budget()

    async def read(
        self, tenant: str, after: Mapping[Room, int], *, newest: int | None = None, sure: int = 0, heard: int = 0
    ) -> Snapshot:
        """Read each room after its seq, all in one round trip and at one moment.

        `newest` asks for fewer entries than are kept; `sure` and `heard` are as for `judge`. Raises `LinkDown` or
        `ReplyError`.
        """
        rooms = list(after)
        limit = self.kept.size if newest is None else min(newest, self.kept.size)
        keys = [
            wire.meta_key(tenant),
            *(wire.log_key(tenant, room) for room in rooms),
            *(wire.tail_key(tenant, room) for room in rooms),
        ]
        args: list[str | int] = [len(rooms), new_epoch(), limit, *(after[room] for room in rooms)]
        if rooms:
            async with self._budget.turn():
                reply = await self._commands.run(self._read_logs, keys, *args)
                size = _size(reply)
                self._budget.note(size)
        else:
            reply, size = await self._commands.run(self._read_logs, keys, *args), 0
        epoch, seq, now = reply[0].decode(), int(reply[1]), int(reply[2])
        kept = self.kept._replace(size=limit, briefs=_briefs(now, *reply[3:HEAD]))
        logs, slices = {}, Slices()
        for room, (tail, rows) in zip(rooms, reply[HEAD:], strict=True):
            entries = await _entries(rows, slices)
            logs[room] = judge(after[room], entries, int(tail), now, kept, until=seq, sure=sure, heard=heard)
        return Snapshot(epoch, seq, logs, size)

    async def renew_epoch(self, tenant: str, epoch: str) -> str:
        """Begin a new epoch in place of this one, unless another replica has; gives the one that holds.

        Every offset of before is void then: whoever comes back with one is told so. Raises as `read` does.
        """
        found: bytes = await self._commands.run(self._renew_epoch, [wire.meta_key(tenant)], epoch, new_epoch())
        return found.decode()


def _size(reply: Sequence[Any]) -> int:
    """Give the bytes of an answer, near enough: bodies, and what is around them."""
    return sum(128 + len(flat[1]) for _, rows in reply[HEAD:] for _, flat in rows)


def _briefs(now: int, ttl: bytes, brief: bytes) -> tuple[Brief, ...]:
    """Tell which events are, or were, kept for less than by our settings."""
    found = [Brief(now, int(ttl) / 1000)] if ttl else []
    if brief:
        until, ms = brief.split()
        found.append(Brief(int(until), int(ms) / 1000))
    return tuple(found)


async def _entries(rows: list[Any], slices: Slices) -> list[Entry]:
    """Read stream entries, newest first, into entries, oldest first; raises `ReplyError` for a stranger's."""
    entries: list[Entry] = []
    try:
        for rest in range(len(rows), 0, -SLICE):
            part = rows[max(rest - SLICE, 0) : rest]
            entries += [_entry(ident, flat) for ident, flat in reversed(part)]
            await slices.did(len(part))
    except (KeyError, ValueError):
        raise ReplyError("UNREADABLE a log holds an entry that no publisher wrote") from None
    return entries


def _entry(ident: bytes, flat: Sequence[bytes]) -> Entry:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Entry(
        int(ident[: ident.index(b"-")]),
        int(fields[wire.LogField.PREVIOUS]),
        fields[wire.LogField.BODY],
        tuple(fields.get(wire.LogField.ROOMS, b"").decode().split()),
        fields.get(wire.LogField.SKIP_SID, b"-"),
        fields.get(wire.LogField.CONFLATE, b""),
    )
