"""The events of the contract as types, with their payloads, their rooms and their delivery.

A backend may publish these types (`emit(org, "message:new", MessageNew(...), to=...)`) or mappings of the same
shape; with `validate` a publisher checks every event against its type.
"""

from publisher.events.catalogue import COMMANDS, EVENTS, Command, Event, RoomKind
from publisher.events.codes import CONNECT_CODES, EVENT_CODES, Code
from publisher.events.fields import LOSS_REASONS, Payload, Status
from publisher.events.messages import (
    CampaignProgress,
    ConversationUpdated,
    MessageNew,
    MessageStatus,
    NotificationNew,
    UnreadUpdate,
)

__all__ = [
    "COMMANDS",
    "CONNECT_CODES",
    "EVENTS",
    "EVENT_CODES",
    "LOSS_REASONS",
    "CampaignProgress",
    "Code",
    "Command",
    "ConversationUpdated",
    "Event",
    "MessageNew",
    "MessageStatus",
    "NotificationNew",
    "Payload",
    "RoomKind",
    "Status",
    "UnreadUpdate",
]
