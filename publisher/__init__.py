"""The publisher: how a backend hands its events to the realtime gateway.

    from publisher import AsyncPublisher, conversation

    events = AsyncPublisher.from_url("redis://localhost:6379/0")
    await events.message_new(organization_id, message)

`Publisher` is the same for code that blocks. See README.md in this folder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from publisher.aio.publisher import AsyncPublisher
    from publisher.blocking.publisher import Publisher
    from publisher.counters import Counters
    from publisher.envelope import Options
    from publisher.errors import InvalidEvent, PublishError
    from publisher.offsets import Offset, parse_offset
    from publisher.rooms import Room, campaign, conversation, organization, parse_room, user
    from publisher.sending import Sending
    from publisher.verbs import Receipt

__all__ = [
    "AsyncPublisher",
    "Counters",
    "InvalidEvent",
    "Offset",
    "Options",
    "PublishError",
    "Publisher",
    "Receipt",
    "Room",
    "Sending",
    "campaign",
    "conversation",
    "organization",
    "parse_offset",
    "parse_room",
    "user",
]

_MODULES = {
    "AsyncPublisher": "publisher.aio.publisher",
    "Counters": "publisher.counters",
    "InvalidEvent": "publisher.errors",
    "Offset": "publisher.offsets",
    "Options": "publisher.envelope",
    "PublishError": "publisher.errors",
    "Publisher": "publisher.blocking.publisher",
    "Receipt": "publisher.verbs",
    "Room": "publisher.rooms",
    "Sending": "publisher.sending",
    "campaign": "publisher.rooms",
    "conversation": "publisher.rooms",
    "organization": "publisher.rooms",
    "parse_offset": "publisher.offsets",
    "parse_room": "publisher.rooms",
    "user": "publisher.rooms",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562).

    So a blocking backend loads no asyncio, and the gateway's core loads neither publisher.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
