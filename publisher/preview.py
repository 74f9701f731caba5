"""The payload of `conversation:updated`: what an inbox shows of a conversation that is not open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_PREVIEW = 100

# Fields with the text of a message, the best first: of a text, of a message with buttons, of a picture, of the
# answer to a button, of a file. The names of templates and places are for machines, so they are not shown.
_TEXTS = ("text", "body", "caption", "title", "filename")
# PyTake nests content as WhatsApp does, `{"image": {"caption": ...}}`, at most two levels deep.
_DEPTH = 2


def summary(conversation_id: str, message: Mapping[str, Any], unread: int | None) -> dict[str, Any]:
    """Return the payload: the message's time, a preview of its text, its type, and `unread` if that is given."""
    data = {
        "conversation_id": conversation_id,
        "last_message_at": message.get("created_at") or message.get("sent_at") or datetime.now(UTC),
        "preview": preview(message.get("content")),
        "message_type": message.get("message_type"),
    }
    return data if unread is None else data | {"unread": unread}


def preview(content: Any) -> str:
    """Return the first 100 characters of a content's text on one line; empty for a bare picture, without text."""
    # A text may be a megabyte, so white space is folded in the first 200 characters only.
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
