"""Codes of refusals that a socket can get: at connect (CONNECT_ERROR), and to events (in an ack or an `error`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True, slots=True)
class Code:
    """The meaning of a code in a refusal."""

    message: str
    retry: bool
    """Whether the same request may succeed later."""


CONNECT_CODES = {
    "token_missing": Code("a token is required", retry=False),
    "token_invalid": Code("the token is not valid", retry=False),
    "token_expired": Code("the token has expired", retry=False),
    "token_revoked": Code("the token is not valid any more", retry=False),
    "tenant_missing": Code("the token names no organization", retry=False),
    "too_many_connections": Code("too many connections", retry=True),
    "draining": Code("this server is going down", retry=True),
}

EVENT_CODES = {
    "bad_request": Code("the payload is not valid", retry=False),
    "unknown_event": Code("there is no such event", retry=False),
    "forbidden": Code("not allowed", retry=False),
    "not_joined": Code("join the conversation first", retry=False),
    "too_many_rooms": Code("too many rooms joined", retry=False),
    "rate_limited": Code("too many events", retry=True),
    "internal": Code("something went wrong here", retry=True),
    "unavailable": Code("try again in a moment", retry=True),
}

# Codes of `auth:refresh`, besides its others: it checks its token as a connect does.
TOKEN_CODES = ("token_missing", "token_invalid", "token_expired", "token_revoked", "tenant_missing")
# Codes of any event.
ANY_EVENT = ("bad_request", "rate_limited", "internal", "unavailable")

if TYPE_CHECKING:
    ConnectCode = str
    EventCode = str
    AnyCode = str
else:
    # A type checker can't read a literal that is made from a table, so it sees `str` instead.
    ConnectCode = Literal[tuple(CONNECT_CODES)]
    EventCode = Literal[tuple(EVENT_CODES)]
    AnyCode = Literal[(*CONNECT_CODES, *EVENT_CODES)]
