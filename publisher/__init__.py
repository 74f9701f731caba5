"""The publisher: how a backend hands its events to the realtime gateway.

    from publisher import AsyncPublisher, conversation

    events = AsyncPublisher.from_url("redis://localhost:6379/0")
    await events.message_new(organization_id, message)

`Publisher` is the same for code that blocks. See README.md in this folder.
"""

from publisher.aio.publisher import AsyncPublisher
from publisher.blocking.publisher import Publisher
from publisher.buffer import Counters
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
