"""The contract as rows of tables in the READMEs."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import fields

from publisher.events import COMMANDS, EVENTS, Command, Payload
from publisher.events.joining import Nothing

Row = tuple[str, ...]

PUBLISHED_HEAD: Row = ("event", "payload", "room", "since")
TOLD_HEAD: Row = ("event", "payload", "to")
COMMANDS_HEAD: Row = ("browser sends", "payload", "answer", "fails with")


def published() -> list[Row]:
    """Return the rows of events that backends publish."""
    return [
        (
            f"`{event.name}`",
            shape(event.payload),
            " or ".join(event.rooms) + (", conflated if asked for" if event.conflated else ""),
            event.since,
        )
        for event in EVENTS.values()
        if event.by == "backend"
    ]


def told() -> list[Row]:
    """Return the rows of events that gateways send on their own; answers are left out."""
    answers = {command.event for command in COMMANDS.values()} - {"left_conversation", "left_room"}
    return [
        (f"`{event.name}`", shape(event.payload), ", ".join(filter(None, (_whom(event.rooms[0]), event.note))))
        for event in EVENTS.values()
        if event.by == "gateway" and event.name not in answers
    ]


def commands() -> list[Row]:
    """Return the rows of commands that browsers send."""
    return [
        (
            f"`{command.name}`",
            shape(command.payload),
            _answer(command),
            " ".join(f"`{code}`" for code in command.codes),
        )
        for command in COMMANDS.values()
    ]


def shape(model: type[Payload]) -> str:
    """Return the keys of a payload, optional ones with a question mark."""
    own = model.__annotations__
    # The model's own fields first: msgspec lists inherited ones before them.
    ordered = sorted(fields(model), key=lambda field: field.name not in own)
    names = [field.name + ("" if field.required else "?") for field in ordered]
    return f"`{{{', '.join(names)}}}`" if names else ""


def _whom(room: Literal["conversation", "organization", "user", "campaign", "socket"]) -> str:
    return "the socket" if room == "socket" else room


def _answer(command: Command) -> str:
    if command.event:
        return f"`{command.event}` {shape(command.answer)}"
    if command.answer is not Nothing:
        return f"ack {shape(command.answer)}"
    return f"to the others in the room: `{command.tells}`"
