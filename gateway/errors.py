"""Every refusal a client can get: one table of codes, what they mean, and whether to come back.

The message is a plain word for a stranger; cause and fix for the operator go to the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """A client is refused what it asked for; `code` is a key of `CODES`, `facts` are for programs to read."""

    def __init__(self, code: str, message: str | None = None, **facts: Any) -> None:
        self.code = code
        self.message = message or CODES[code].message
        self.facts = facts
        super().__init__(self.message)

    def as_error(self) -> dict[str, Any]:
        """Give the error as acks and `error` events carry it."""
        return {"code": self.code, "message": self.message, **self.facts}


class Unavailable(Exception):
    """What was asked needs Redis, which is away: the client may try again in a moment."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means."""

    message: str
    retry: bool
    """Whether the same request may well succeed later."""


CODES = {
    # At connect, as CONNECT_ERROR.
    "token_missing": Code("a token is required", retry=False),
    "token_invalid": Code("the token is not valid", retry=False),
    "token_expired": Code("the token has expired", retry=False),
    "token_revoked": Code("the token is not valid any more", retry=False),
    "tenant_missing": Code("the token names no organization", retry=False),
    "too_many_connections": Code("too many connections", retry=True),
    "draining": Code("this server is going down", retry=True),
    # To events, as an ack or an `error` event.
    "bad_request": Code("the payload is not valid", retry=False),
    "unknown_event": Code("there is no such event", retry=False),
    "forbidden": Code("not allowed", retry=False),
    "not_joined": Code("join the conversation first", retry=False),
    "too_many_rooms": Code("too many rooms joined", retry=False),
    "rate_limited": Code("too many events", retry=True),
    # From the HTTP API.
    "unauthorized": Code("a valid API key is required", retry=False),
    "not_found": Code("there is no such path", retry=False),
    "bad_method": Code("this path takes another method", retry=False),
    "bad_media_type": Code("the body must be JSON", retry=False),
    "too_large": Code("the body is too large", retry=False),
    "too_slow": Code("the request did not arrive in time", retry=True),
    # From all of them.
    "internal": Code("something went wrong here", retry=True),
    "unavailable": Code("try again in a moment", retry=True),
}
