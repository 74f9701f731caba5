"""The events that backends publish."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta

from publisher.events.fields import Absent, Count, Payload, Status, Timestamp, Uuid


class MessageNew(Payload, kw_only=True):
    """A message of a conversation, sent or received."""

    id: Annotated[Uuid, Meta(description="the message's; the same message is published once")]
    conversation_id: Uuid
    direction: Literal["inbound", "outbound"]
    sender_type: Annotated[str, Meta(description="`contact`, `agent`, `bot`")]
    message_type: Annotated[str, Meta(description="WhatsApp's: `text`, `image`, `document`")]
    content: Annotated[dict[str, Any], Meta(description="by `message_type`; of a text `{text}`")]
    status: Annotated[str, Meta(description="`received`, or as `message:status` has it")]
    whatsapp_message_id: Annotated[str | None, Meta(description="WhatsApp's own id; null until it has one")]
    created_at: Timestamp
    sent_at: Timestamp | Absent | None = UNSET


class MessageStatus(Payload, kw_only=True):
    """The status of a message. It never goes back to an earlier one, and a failure is final."""

    message_id: Uuid
    status: Status
    timestamp: Timestamp
    conversation_id: Uuid


class ConversationUpdated(Payload, kw_only=True):
    """A conversation as an inbox shows it without opening it."""

    conversation_id: Uuid
    last_message_at: Timestamp
    preview: Annotated[str, Meta(max_length=100, description="the beginning of its text; empty where it has none")]
    message_type: str | None
    unread: Annotated[Count, Meta(description="how many its reader has not read")] | Absent = UNSET


class UnreadUpdate(Payload, kw_only=True):
    """The number of messages of a conversation that its user has not read."""

    conversation_id: Uuid
    unread_count: Count


class NotificationNew(Payload, kw_only=True):
    """A notification for one user; `title`, `body`, `tag`, `icon` and `url` are for the desktop."""

    notification_id: Annotated[str, Meta(description="the same notification is published once")]
    type: str
    subject: str
    message: str
    metadata: dict[str, Any] | None
    created_at: Timestamp
    title: Annotated[str, Meta(description="plain text; `subject` where there is none")] | Absent = UNSET
    body: (
        Annotated[str, Meta(description="plain text, shown on locked screens; `message` where there is none")]
        | Absent
    ) = UNSET
    tag: (
        Annotated[str, Meta(description="one takes the place of an older one with it: the conversation's id")]
        | Absent
    ) = UNSET
    icon: Annotated[str, Meta(description="absolute URL of a picture")] | Absent = UNSET
    url: Annotated[str, Meta(description="the page that a click opens")] | Absent = UNSET


class CampaignProgress(Payload, kw_only=True):
    """The progress of a campaign."""

    campaign_id: Uuid
    campaign_name: str
    status: str
    progress: Annotated[Any, Meta(description="as the backend counts it; a decimal arrives as text")]
    stats: dict[str, Any]
    timestamp: Timestamp
