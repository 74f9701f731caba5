"""The missed events of a socket that comes back, or joins with an offset. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from gateway.core.conflation import latest
from gateway.core.frames import Frame
from gateway.core.history import Entry, Log
from gateway.core.model import NEVER, Member, QueuedFrame
from gateway.core.stays import Stay
from publisher.rooms import Room


class MissedEvent(NamedTuple):
    """One event that a returning socket missed."""

    seq: int
    entry: Entry


def missed_events(logs: Iterable[Log], kept: Iterable[QueuedFrame], sid: str) -> list[MissedEvent]:
    """Return the events that are in the logs and not in the cork, each once, in order.

    `logs` were read after the socket became a member, and all events that were published before the read have
    been handed out. So an event is in the cork, or it will never come live. Events that skip this very socket are
    left out.
    """
    live = {corked.seq for corked in kept}
    found = {
        entry.seq: entry
        for log in logs
        for entry in log.entries
        if entry.seq not in live and entry.skip_sid.decode() != sid
    }
    return [MissedEvent(seq, found[seq]) for seq in sorted(found)]


def newest(logs: Iterable[Log]) -> int:
    """Return the highest seq among the entries of some logs; 0 without entries."""
    return max((log.entries[-1].seq for log in logs if log.entries), default=0)


def in_order(missed: Iterable[MissedEvent], kept: Iterable[QueuedFrame], epoch: str) -> list[QueuedFrame]:
    """Return missed events and queued frames as frames in the order of publishing.

    Of each conflation key only the latest is returned.
    """
    frames = [QueuedFrame(seq, event_frame(entry.body, f"{epoch}-{seq}"), entry.conflate) for seq, entry in missed]
    return latest(sorted((*frames, *kept), key=attrgetter("seq")), attrgetter("key"))


def event_frame(body: bytes, offset: str) -> Frame:
    """Return the frame of a recoverable event: its JSON array with the offset as an additional last argument."""
    return Frame(b'2%b,"%b"]' % (body[:-1], offset.encode()))


class Told(NamedTuple):
    """The events of a room that the answer to a join may show."""

    events: list[MissedEvent]
    doubtful: bool
    """Whether an event was left out that the socket may not have received live."""


def not_had(missed: Iterable[MissedEvent], room: Room, member: Member) -> Told:
    """Return the events of a room without those that the socket received live, through any room.

    An event that it may have received is left out as well, and makes the result doubtful.
    """
    stays = [Stay(other.name, at, NEVER) for other, at in member.rooms.items() if other.name != room]
    stays += member.stays or ()
    events, doubtful = [], False
    for event in missed:
        rooms = event.entry.rooms or (room,)
        there = [stay for stay in stays if stay.room in rooms and stay.joined_at < event.seq]
        if any(event.seq <= stay.left_at for stay in there):
            continue
        forgotten = len(rooms) > 1 and member.opened_at < event.seq <= member.stays_from
        if forgotten or any(event.seq <= stay.maybe_until for stay in there):
            doubtful = True
            continue
        events.append(event)
    return Told(events, doubtful)


def split_body(body: bytes) -> tuple[str, bytes]:
    """Return name and data of `["event",data]`. The data is not parsed; names have no characters to escape."""
    end = body.index(b'"', 2)
    return body[2:end].decode(), body[end + 2 : -1]


def as_past(body: bytes, offset: str) -> bytes:
    """Return an event as answers with history show it: `{"event":...,"data":...,"offset":...}`."""
    name, data = split_body(body)
    return b'{"event":"%b","data":%b,"offset":"%b"}' % (name.encode(), data, offset.encode())
