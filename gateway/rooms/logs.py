"""Reading the rooms' logs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.core.history import Brief, Entry, Log, Retention, judge
from gateway.loop_slices import SLICE, Slices
from gateway.redis.commands import Commands
from gateway.redis.connection import ReplyError
from gateway.settings import Settings
from publisher import wire
from publisher.envelope import new_epoch
from publisher.rooms import Room

# Number of facts about the tenant in a reply, before those about its rooms.
HEAD = 5
# Approximate bytes of the entries in one reply. Redis does nothing else while the script runs.
PAGE_BYTES = 1 << 20
# Pages under way at a time: Redis holds them until we have read them, and ends a connection with too much.
PAGES_AT_ONCE = 16


class Tail(NamedTuple):
    """The position of a room's newest event, and whether its log was read to the end."""

    seq: int
    """Seq of the room's newest event; 0 if that has expired."""
    more: bool
    """Whether there may be more entries than were read."""


class Snapshot(NamedTuple):
    """The logs of some rooms of a tenant at one moment."""

    epoch: str
    seq: int
    """Events at or below it were published before that moment, all others after it."""
    logs: dict[Room, Log]
    size: int = 0
    """Approximate bytes of the replies."""


class History:
    """Reads logs, up to the amount of history in the settings."""

    def __init__(self, commands: Commands, kept: Retention) -> None:
        self.retention = kept
        self._commands = commands
        self._read_logs = commands.script("rooms/read_logs")
        self._renew_epoch = commands.script("rooms/renew_epoch")
        # By number, since the size of one reply says nothing about the next one.
        self._turns = asyncio.Semaphore(PAGES_AT_ONCE)

    async def read(
        self,
        tenant: str,
        after: Mapping[Room, int],
        *,
        newest: int | None = None,
        most_bytes: int = PAGE_BYTES,
        sure: int = 0,
        heard: int = 0,
    ) -> Snapshot:
        """Read the entries of each room after its seq, as of one moment.

        All entries are read, in pages of `most_bytes`. With `newest`, at most that many of the newest are read
        from one page. `sure` and `heard` are as for `judge`. Raises `RedisUnavailable` or `ReplyError`.
        """
        limit = self.retention.size if newest is None else min(newest, self.retention.size)
        slices = Slices()
        found: dict[Room, list[Entry]] = {}
        head, tails, size = await self._page(
            tenant, after, found, slices, newest=None if newest is None else limit, most_bytes=most_bytes
        )
        epoch, seq, now = head[0].decode(), int(head[1]), int(head[2])
        rest = tails if newest is None else {}
        while due := [room for room, tail in rest.items() if tail.more]:
            begin = {room: found[room][-1].seq if found[room] else after[room] for room in due}
            _, rest, more = await self._page(tenant, begin, found, slices, until=seq, most_bytes=most_bytes)
            size += more
        kept = self.retention._replace(size=limit, briefs=_briefs(now, *head[3:]))
        logs = {
            room: judge(after[room], found[room], tail.seq, now, kept, until=seq, sure=sure, heard=heard)
            for room, tail in tails.items()
        }
        return Snapshot(epoch, seq, logs, size)

    async def _page(
        self,
        tenant: str,
        after: Mapping[Room, int],
        found: dict[Room, list[Entry]],
        slices: Slices,
        *,
        newest: int | None = None,
        until: int | None = None,
        most_bytes: int,
    ) -> tuple[Sequence[bytes], dict[Room, Tail], int]:
        """Call the script once, and add the entries to `found`; return head, tails and size of the reply."""
        rooms = list(after)
        keys = [
            wire.meta_key(tenant),
            *(wire.log_key(tenant, room) for room in rooms),
            *(wire.tail_key(tenant, room) for room in rooms),
        ]
        limits = ("" if newest is None else newest, "" if until is None else until, most_bytes)
        args: list[str | int] = [len(rooms), new_epoch(), *limits, *after.values()]
        if rooms:
            async with self._turns:
                reply = await self._commands.run(self._read_logs, keys, *args)
            size = _size(reply)
        else:
            reply, size = await self._commands.run(self._read_logs, keys, *args), 0
        tails: dict[Room, Tail] = {}
        for room, (seq, rows, more) in zip(rooms, reply[HEAD:], strict=True):
            entries = await _entries(rows[::-1] if newest is not None else rows, slices)
            before = found.get(room)
            if before and entries and entries[0].previous > before[-1].seq:
                before = None  # the log was trimmed meanwhile: only entries behind the gap count
            found[room] = [*before, *entries] if before else entries
            tails[room] = Tail(int(seq), bool(more))
        return reply[:HEAD], tails, size

    async def renew_epoch(self, tenant: str, epoch: str) -> str:
        """Begin a new epoch in place of `epoch`, unless another replica has done so; return the present epoch.

        Offsets of the old epoch are void then, and clients that come with one are told. Raises `RedisUnavailable`
        or `ReplyError`.
        """
        found: bytes = await self._commands.run(self._renew_epoch, [wire.meta_key(tenant)], epoch, new_epoch())
        return found.decode()


def retention_of(settings: Settings) -> Retention:
    """Return the amount of history in the settings."""
    return Retention(
        max(settings.history_size, settings.history_max_events),
        settings.history_ttl_s,
        settings.max_event_bytes,
        settings.history_window_s,
        settings.history_size,
        settings.history_max_bytes,
    )


def _size(reply: Sequence[Any]) -> int:
    """Return the approximate bytes of a reply: the bodies, and 128 bytes for each entry."""
    return sum(128 + len(flat[1]) for _, rows, _ in reply[HEAD:] for _, flat in rows)


def _briefs(now: int, ttl: bytes, brief: bytes) -> tuple[Brief, ...]:
    """Return the times for which Redis keeps, or kept, events: they may be shorter than in our settings."""
    found = [Brief(now, int(ttl) / 1000)] if ttl else []
    if brief:
        until, ms = brief.split()
        found.append(Brief(int(until), int(ms) / 1000))
    return tuple(found)


async def _entries(rows: list[Any], slices: Slices) -> list[Entry]:
    """Return parsed stream entries; raises `ReplyError` if no publisher wrote one of them."""
    entries: list[Entry] = []
    try:
        for begin in range(0, len(rows), SLICE):
            part = rows[begin : begin + SLICE]
            entries += [_entry(ident, flat) for ident, flat in part]
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
