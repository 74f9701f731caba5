"""Rooms, as the events of a page and of the gateway name them."""

from __future__ import annotations

from typing import Any


def names(room: str) -> dict[str, str]:
    """Return the fields by which an event names a room."""
    kind, _, ident = room.partition(":")
    return {"conversation_id": ident} if kind == "conversation" else {"room": room}


def request(what: str, room: str) -> tuple[str, dict[str, str]]:
    """Return the event that joins or leaves a room, and its data."""
    return f"{what}_{'conversation' if room.startswith('conversation:') else 'room'}", names(room)


def room_of(data: dict[str, Any]) -> str | None:
    """Return the room that an event or an answer is of, where it says so."""
    if "conversation_id" in data:
        return f"conversation:{data['conversation_id']}"
    if "campaign_id" in data:
        return f"campaign:{data['campaign_id']}"
    room = data.get("room")
    return room if isinstance(room, str) else None
