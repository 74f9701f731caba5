"""A conversation as an inbox shows it without opening it: the payload of `conversation:updated`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_PREVIEW = 100

# Where the text of a message stands, the best first: of a text, of what has buttons, of a picture, of the answer
# to a button, of a file. What a template or a place is called is for machines.
_TEXTS = ("text", "body", "caption", "title", "filename")
# PyTake nests what WhatsApp sends, `{"image": {"caption": ...}}`, and twice at the most.
_DEPTH = 2


def summary(conversation_id: str, message: Mapping[str, Any], unread: int | None) -> dict[str, Any]:
    """Make the payload: when the message was created or sent, the beginning of its text, what kind it is."""
    data = {
        "conversation_id": conversation_id,
        "last_message_at": message.get("created_at") or message.get("sent_at") or datetime.now(UTC),
        "preview": preview(message.get("content")),
        "message_type": message.get("message_type"),
    }
    return data if unread is None else data | {"unread": unread}


def preview(content: Any) -> str:
    """Return the beginning of a content's text, on one line; empty where it has none, such as a bare picture."""
    # Twice as much as is shown is enough to fold white space in: a text may be a megabyte.
    text = " ".join(_text(content, _DEPTH).lstrip()[: 2 * MAX_PREVIEW].split())
    return text if len(text) <= MAX_PREVIEW else text[: MAX_PREVIEW - 1].rstrip() + "…"


def _text(content: Any, depth: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Mapping):
        return ""
    found = [content[name] for name in _TEXTS if isinstance(content.get(name), str)]
    inner = (_text(value, depth - 1) for value in content.values() if isinstance(value, Mapping) and depth)
    return next((text for text in (*found, *inner) if text.strip()), "")
