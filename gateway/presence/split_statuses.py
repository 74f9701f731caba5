"""`user:statuses`: one event about many users who came online or went offline.

Only pages that ask for it get it. The others get one `user:status` for each user, in one write.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.frames import Bundle, Frame
from gateway.core.hub import FrameOf
from gateway.core.model import Member

NAME = b'["user:statuses",'


class Told(msgspec.Struct, gc=False):
    """Ids of the users who came online and of those who went offline."""

    online: list[str]
    offline: list[str]


_DECODER = msgspec.json.Decoder(tuple[str, Told])


def split(body: bytes, frame: Frame) -> FrameOf | None:
    """Return the frame of a `user:statuses` event for each member, as `gateway.core.hub.Split`."""
    changes = one_by_one(body) if body.startswith(NAME) else {}
    if not changes:
        return None
    everybody = Bundle([*changes.values()])

    def frame_of(member: Member) -> Frame | None:
        if member.takes_statuses:
            return frame
        own = changes.get(member.identity.user_id)
        if own is None:
            return everybody
        others = [change for change in changes.values() if change is not own]
        return Bundle(others) if others else None

    return frame_of


def one_by_one(body: bytes) -> dict[str, Frame]:
    """Return a `user:status` frame for each user of a `user:statuses`; none if the gateway did not make it."""
    try:
        _, told = _DECODER.decode(body)
    except msgspec.DecodeError:
        return {}
    named = [(user, "offline") for user in told.offline] + [(user, "online") for user in told.online]
    return {user: _frame(user, status) for user, status in named}


def _frame(user: str, status: str) -> Frame:
    event: list[Any] = ["user:status", {"user_id": user, "status": status}]
    return Frame(b"2" + msgspec.json.encode(event))
