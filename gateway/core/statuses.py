"""`user:statuses`: many users who came and went, in one event, for pages that say they take it.

The others are given as many `user:status`, which is what every page knows, still in one write.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.frames import Frame

NAME = b'["user:statuses",'


class Told(msgspec.Struct, gc=False):
    """Users who came and users who went."""

    online: list[str]
    offline: list[str]


_DECODER = msgspec.json.Decoder(tuple[str, Told])


def one_by_one(body: bytes) -> dict[str, Frame]:
    """Make of a `user:statuses` a frame for each of its users; none of one that is not the gateway's."""
    try:
        _, told = _DECODER.decode(body)
    except msgspec.DecodeError:
        return {}
    named = [(user, "offline") for user in told.offline] + [(user, "online") for user in told.online]
    return {user: _frame(user, status) for user, status in named}


def _frame(user: str, status: str) -> Frame:
    event: list[Any] = ["user:status", {"user_id": user, "status": status}]
    return Frame(b"2" + msgspec.json.encode(event))
