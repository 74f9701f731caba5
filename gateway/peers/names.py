"""Names of processes, and where they stand in the ids of sessions. Pure."""

from __future__ import annotations

import re

from publisher.ids import new_id

NAME_BYTES = 6
NAME_CHARS = 8
_SID = re.compile(r"[A-Za-z0-9_-]{20,64}")


def new_name() -> str:
    """Draw a name for a process: 8 characters, 48 random bits."""
    return new_id(NAME_BYTES)


def holder_of(sid: str) -> str | None:
    """Return the name of the process that holds a session, None for what can't be an id of ours."""
    return sid[:NAME_CHARS] if _SID.fullmatch(sid) else None
