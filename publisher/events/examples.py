"""One example of each payload, for the documents; tests check each example against its type."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from publisher.events.joining import (
    ConversationRef,
    JoinConversation,
    JoinedConversation,
    JoinedRoom,
    JoinRoom,
    LeftConversation,
    LeftRoom,
    PastEvent,
    Presence,
    PresenceQuery,
    RoomRef,
)
from publisher.events.messages import (
    CampaignProgress,
    ConversationUpdated,
    MessageNew,
    MessageStatus,
    NotificationNew,
    UnreadUpdate,
)
from publisher.events.presence import ConversationViewers, UserStatus, UserStatuses, UserTyping
from publisher.events.session import (
    AuthExpiring,
    AuthRefresh,
    AuthRefreshed,
    ConnectAccepted,
    ConnectAuth,
    Connected,
    ConnectError,
    ConnectErrorData,
    EventError,
    EventFailed,
    Failed,
    Pong,
)

_CONVERSATION = UUID("00000000-0000-4000-8000-0000000000c3")
_MESSAGE = UUID("00000000-0000-4000-8000-0000000000d4")
_CAMPAIGN = UUID("00000000-0000-4000-8000-0000000000e5")
_ALICE = "00000000-0000-4000-8000-0000000000a1"
_BRUNO = "00000000-0000-4000-8000-0000000000b2"
_ROOM = f"campaign:{_CAMPAIGN}"
_AT = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
_OFFSET = "9c1f2ab4-1790000000000000"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.…"  # noqa: S105  # not one

MESSAGE = MessageNew(
    id=_MESSAGE,
    conversation_id=_CONVERSATION,
    direction="inbound",
    sender_type="contact",
    message_type="text",
    content={"text": "Olá!"},
    status="received",
    whatsapp_message_id="wamid.HBgNNTUxMTk5OTk5OTk5ORUCABIYFDNB",
    created_at=_AT,
)
STATUS = MessageStatus(message_id=_MESSAGE, status="read", timestamp=_AT, conversation_id=_CONVERSATION)
UPDATED = ConversationUpdated(
    conversation_id=_CONVERSATION, last_message_at=_AT, preview="Olá!", message_type="text", unread=3
)
UNREAD = UnreadUpdate(conversation_id=_CONVERSATION, unread_count=3)
NOTIFICATION = NotificationNew(
    notification_id="00000000-0000-4000-8000-0000000000f6",
    type="message",
    subject="Nova mensagem",
    message="Maria mandou uma mensagem",
    metadata={"conversation_id": str(_CONVERSATION)},
    created_at=_AT,
    title="Maria",
    body="Nova mensagem",
    tag=str(_CONVERSATION),
    icon="https://app.example.com/icon.png",
    url=f"/conversations/{_CONVERSATION}",
)
PROGRESS = CampaignProgress(
    campaign_id=_CAMPAIGN,
    campaign_name="Natal",
    status="running",
    progress=12.5,
    stats={"sent": 125, "failed": 0},
    timestamp=_AT,
)

TYPING = UserTyping(conversation_id=_CONVERSATION, user_id=_BRUNO, typing=True)
ONLINE = UserStatus(user_id=_BRUNO, status="online")
STATUSES = UserStatuses(online=[_ALICE], offline=[_BRUNO])
VIEWERS = ConversationViewers(conversation_id=_CONVERSATION, user_ids=[_ALICE, _BRUNO], sockets=3)

CONNECT_AUTH = ConnectAuth(token=_TOKEN)
CONNECT_ACCEPTED = ConnectAccepted(sid="GZ0pR2yVqXwT8kLmNb3c", pid="pL7dQ0sWnE4rTyUi9oPaSdFg")
CONNECT_ERROR = ConnectError(message="the token has expired", data=ConnectErrorData(code="token_expired"))
CONNECTED = Connected(message="Connected", user_id=_ALICE, recovered=False)
FAILED = Failed(ok=False, error=EventError(code="forbidden", message="you may not join this room"))
FAILED_EVENT = EventFailed(
    code="rate_limited", message="too many events", limit="events_per_s", retry_after_ms=40, event="typing_start"
)
EXPIRING = AuthExpiring(expires_at=_AT)
REFRESH = AuthRefresh(token=_TOKEN)
REFRESHED = AuthRefreshed(expires_at=_AT)
PONG = Pong(timestamp=_AT)

JOIN_CONVERSATION = JoinConversation(conversation_id=_CONVERSATION, history=20)
JOIN_ROOM = JoinRoom(room=_ROOM, since=_OFFSET)
CONVERSATION = ConversationRef(conversation_id=_CONVERSATION)
ROOM = RoomRef(room=_ROOM)
JOINED_CONVERSATION = JoinedConversation(
    conversation_id=_CONVERSATION,
    message="Joined conversation",
    offset=_OFFSET,
    events=[PastEvent(event="message:new", data=MESSAGE, offset=_OFFSET)],
    complete=True,
)
JOINED_ROOM = JoinedRoom(room=_ROOM, message="Joined room", offset=_OFFSET, events=[], complete=True)
LEFT_CONVERSATION = LeftConversation(conversation_id=_CONVERSATION)
LEFT_ROOM = LeftRoom(room=_ROOM)
PRESENCE_QUERY = PresenceQuery(user_ids=[_ALICE, _BRUNO])
PRESENCE = Presence(online=[_ALICE])
