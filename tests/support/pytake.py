"""What PyTake's three call sites publish, with the objects that SQLAlchemy gives them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4


def sent_message(conversation_id: UUID | str, text: str = "Bom dia!") -> dict[str, Any]:
    """Make what `send_message` publishes: an agent's message that WhatsApp has taken."""
    return {
        "id": uuid4(),
        "conversation_id": UUID(str(conversation_id)),
        "direction": "outbound",
        "sender_type": "agent",
        "message_type": "text",
        "content": {"text": text},
        "status": "sent",
        "whatsapp_message_id": f"wamid.{secrets.token_hex(12)}",
        "created_at": datetime.now(UTC),
        "sent_at": datetime.now(UTC),
    }


def incoming_message(
    conversation_id: UUID | str, text: str = "Olá, quero saber do meu pedido 🙂"
) -> dict[str, Any]:
    """Make what `_process_incoming_message` publishes: a contact's message."""
    return {
        "id": uuid4(),
        "conversation_id": UUID(str(conversation_id)),
        "direction": "inbound",
        "sender_type": "contact",
        "message_type": "text",
        "content": {"text": text},
        "status": "received",
        "whatsapp_message_id": f"wamid.{secrets.token_hex(12)}",
        "created_at": datetime.now(UTC),
    }


def as_seen(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as the browsers see it: ids as text, times as ISO 8601."""
    return {name: _text(value) for name, value in message.items()}


def _text(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
