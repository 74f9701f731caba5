"""Names of processes, which are the beginning of session ids. Pure."""

from __future__ import annotations

import re

from publisher.ids import new_id

NAME_BYTES = 6
NAME_CHARS = 8
_SID = re.compile(r"[A-Za-z0-9_-]{20,64}")


def new_name() -> str:
    """Return a new random name for a process: 8 characters, 48 bits."""
    return new_id(NAME_BYTES)


def holder_of(sid: str) -> str | None:
    """Return the name of the process that has the session; None for a malformed id."""
    return sid[:NAME_CHARS] if _SID.fullmatch(sid) else None
