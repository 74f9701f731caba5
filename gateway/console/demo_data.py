"""Fixed ids and a sample message for `gateway dev` and `gateway publish --text`."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

ORGANIZATION = "00000000-0000-4000-8000-00000000000a"
ALICE = "00000000-0000-4000-8000-0000000000a1"
BRUNO = "00000000-0000-4000-8000-0000000000b2"
CONVERSATION = "00000000-0000-4000-8000-0000000000c3"


def sample_message(conversation_id: str, text: str) -> dict[str, Any]:
    """Return a message of a WhatsApp contact, in the form that PyTake publishes."""
    return {
        "id": str(uuid.uuid4()),
        "conversation_id": conversation_id,
        "direction": "inbound",
        "sender_type": "contact",
        "message_type": "text",
        "content": {"text": text},
        "status": "received",
        "whatsapp_message_id": f"wamid.{secrets.token_hex(12)}",
        "created_at": datetime.now(UTC).isoformat(),
    }
