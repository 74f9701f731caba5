"""The wire format between backend and gateway: every key, channel and message in Redis, on one page.

All names of a tenant carry its hash tag `{tenant}`: one tenant lives in one cluster slot, one script may
touch all its keys, and one subscriber connection sees all its events in order.

    rt:{t}:meta              hash    epoch, seq (the last one given); what the gateways want kept: keep (events a
                                     room), ttl (ms), window (ms of which all is kept), most (events), bytes;
                                     brief ("<seq> <ms>": up to that seq events were kept for so long only);
                                     max_event_bytes (body of the largest event that they can hand out)
    rt:{t}:log:<room>        stream  the room's recent events; id <seq>-0; fields as in `LogField`
    rt:{t}:tail:<room>       string  "<seq> <bytes> <n>": seq of the room's newest event, for as long as its log
                                     lives; how much that holds, near enough; events since it was trimmed
    rt:{t}:latest:<room>     string  "<seq> <previous> <key>" of the room's last conflated event
    rt:{t}:once:<key>        string  idempotency: "<offset> <version>" of the last event under that key
    rt:{t}:lane:<lane>       string  number of the last event that was taken from a publisher's queue
    rt:{t}:versions:<n>:<p>  hash    digest of a key -> its last version; sixteen for each half of a week
    rt:{t}:revoked:<user>    hash    room, "*" for all, "token/<id>" -> seq at which that access was taken away;
                                     "before" -> Unix time in seconds: tokens that were issued earlier are void;
                                     "kept" -> ms for which all that is remembered
    rt:{t}:room:<room>       channel the room's events, as `Message`
    rt:{t}:notices           channel what gateways did: resyncs, recoveries that failed
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from publisher.rooms import Room


def prefix(tenant: str) -> str:
    """Return what all keys and channels of a tenant begin with."""
    return f"rt:{{{tenant}}}:"


def meta_key(tenant: str) -> str:
    """Name the hash with the tenant's epoch and counter."""
    return f"rt:{{{tenant}}}:meta"


def log_key(tenant: str, room: Room) -> str:
    """Name the stream of a room's recent events."""
    return f"rt:{{{tenant}}}:log:{room}"


def tail_key(tenant: str, room: Room) -> str:
    """Name the key with the seq of a room's newest event."""
    return f"rt:{{{tenant}}}:tail:{room}"


def latest_key(tenant: str, room: Room) -> str:
    """Name the key that says which event in a room's log the next under the same conflation key replaces."""
    return f"rt:{{{tenant}}}:latest:{room}"


def once_key(tenant: str, key: str) -> str:
    """Name the record of what was published under an idempotency key."""
    return f"rt:{{{tenant}}}:once:{key}"


def lane_key(tenant: str, lane: str) -> str:
    """Name the number of the last event that was taken from a publisher's queue, which only grows."""
    return f"rt:{{{tenant}}}:lane:{lane}"


def version_field(key: str) -> bytes:
    """Name a key in the hashes of versions, where a million of them are to be small."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def versions_key(tenant: str, field: bytes) -> str:
    """Name the hashes of versions that a field may be in, to which the script adds the period.

    There are several, so that those of a small tenant are packed, and none of a large one takes long to move or to
    delete.
    """
    return f"rt:{{{tenant}}}:versions:{field[0] % 16:x}"


def revoked_key(tenant: str, user_id: str) -> str:
    """Name the hash of what was taken away from a user."""
    return f"rt:{{{tenant}}}:revoked:{user_id}"


def blocked_key(tenant: str, user_id: str, room: Room) -> str:
    """Name the string that is there while a user may not join a room."""
    return f"{revoked_key(tenant, user_id)}:{room}"


def channel(tenant: str, room: Room) -> str:
    """Name the pub/sub channel of a room."""
    return f"rt:{{{tenant}}}:room:{room}"


def notices_channel(tenant: str) -> str:
    """Name the channel on which gateways say what they did: for `gateway tail`; a JSON object each."""
    return f"rt:{{{tenant}}}:notices"


class LogField:
    """Field names in a room's log, short because every event pays for them."""

    BODY = b"d"
    PREVIOUS = b"p"
    ROOMS = b"r"  # only of an event for several rooms: their names, separated by spaces
    SKIP_SID = b"s"  # only where a socket is left out
    CONFLATE = b"c"  # only of a conflated event: its key


class Flag:
    """The kind of a message, one letter."""

    RECOVERABLE = b"r"  # logged; carries its offset to the client
    EPHEMERAL = b"e"  # at most once, never logged, never replayed
    CONTROL = b"c"  # for the gateways themselves; the body is a JSON object


_EVENTS = (Flag.RECOVERABLE, Flag.EPHEMERAL)


class Message(NamedTuple):
    """A message of a room: `<epoch>-<seq> <previous> <flag> <skip_sid>[ c=<conflate>][ t=<trace>]\\n<body>`.

    `previous` is the seq of the event before it in this room, 0 where the room has none that is kept;
    `skip_sid` is `-` for nobody; `conflate` is the key under which a later event takes this one's place, empty
    for none; `trace` is W3C's traceparent, empty for none. The body is the finished JSON array `["event",data]`.
    Further header fields may follow after another space; readers ignore those they don't know.
    """

    offset: bytes
    seq: int
    previous: int
    flag: bytes
    skip_sid: bytes
    body: bytes
    conflate: bytes = b""
    trace: bytes = b""


def parse_message(raw: bytes) -> Message:
    """Take a channel message apart; raises `ValueError` for anything that the script did not write.

    An event's body is looked at from outside only: parsing it would cost more than all the rest.
    """
    header, newline, body = raw.partition(b"\n")
    fields = header.split(b" ", 7)
    plain = len(fields) == 4
    offset, previous, flag, skip_sid = fields if plain else fields[:4]
    epoch, _, seq = offset.partition(b"-")
    if not (newline and header.isascii() and epoch.isalnum() and seq.isdigit() and previous.isdigit()):
        raise ValueError("no header")
    if flag in _EVENTS and not (body.startswith(b'["') and body.endswith(b"]")):
        raise ValueError("no event")
    if plain:
        return Message(offset, int(seq), int(previous), flag, skip_sid, body)
    conflate = trace = b""
    for field in fields[4:]:
        if field.startswith(b"c="):
            conflate = field[2:]
        elif field.startswith(b"t="):
            trace = field[2:]
    return Message(offset, int(seq), int(previous), flag, skip_sid, body, conflate, trace)
