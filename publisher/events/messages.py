"""The events that backends publish."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta

from publisher.events.fields import Absent, Count, Payload, Status, Timestamp, Uuid


class MessageNew(Payload, kw_only=True):
    """A message of a conversation, sent or received."""

    id: Annotated[Uuid, Meta(description="the message's id; each id is published once")]
    conversation_id: Uuid
    direction: Literal["inbound", "outbound"]
    sender_type: Annotated[str, Meta(description="such as `contact`, `agent` or `bot`")]
    message_type: Annotated[str, Meta(description="WhatsApp's type, such as `text`, `image` or `document`")]
    content: Annotated[dict[str, Any], Meta(description="depends on `message_type`; `{text}` for a text")]
    status: Annotated[str, Meta(description="`received`, or a status of `message:status`")]
    whatsapp_message_id: Annotated[str | None, Meta(description="WhatsApp's id of it; null until it has one")]
    created_at: Timestamp
    sent_at: Timestamp | Absent | None = UNSET


class MessageStatus(Payload, kw_only=True):
    """The status of a message. It never goes back to an earlier one, and a failure is final."""

    message_id: Uuid
    status: Status
    timestamp: Timestamp
    conversation_id: Uuid


class ConversationUpdated(Payload, kw_only=True):
    """The last message of a conversation, as an inbox shows it while the conversation is not open."""

    conversation_id: Uuid
    last_message_at: Timestamp
    preview: Annotated[str, Meta(max_length=100, description="beginning of its text; empty without text")]
    message_type: str | None
    unread: Annotated[Count, Meta(description="messages that the reader has not read")] | Absent = UNSET


class UnreadUpdate(Payload, kw_only=True):
    """The number of messages in a conversation that the user has not read."""

    conversation_id: Uuid
    unread_count: Count


class NotificationNew(Payload, kw_only=True):
    """A notification for one user; `title`, `body`, `tag`, `icon` and `url` are for the desktop."""

    notification_id: Annotated[str, Meta(description="each id is published once")]
    type: str
    subject: str
    message: str
    metadata: dict[str, Any] | None
    created_at: Timestamp
    title: Annotated[str, Meta(description="plain text; without it, `subject` is shown")] | Absent = UNSET
    body: (
        Annotated[str, Meta(description="plain text, shown on locked screens; without it, `message` is shown")]
        | Absent
    ) = UNSET
    tag: (
        Annotated[str, Meta(description="replaces an older one with the same tag, such as the conversation's id")]
        | Absent
    ) = UNSET
    icon: Annotated[str, Meta(description="absolute URL of a picture")] | Absent = UNSET
    url: Annotated[str, Meta(description="the page that a click opens")] | Absent = UNSET


class CampaignProgress(Payload, kw_only=True):
    """The progress of a campaign."""

    campaign_id: Uuid
    campaign_name: str
    status: str
    progress: Annotated[Any, Meta(description="in the backend's own unit; a decimal arrives as text")]
    stats: dict[str, Any]
    timestamp: Timestamp
