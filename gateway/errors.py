"""The table of all refusals that a client can get, and the errors that prevent a start.

A refusal's message is for clients and tells no internals; cause and fix are logged for the operator.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError

from publisher.address import split_url
from publisher.events.codes import CONNECT_CODES, EVENT_CODES, Code


class Refused(Exception):
    """A client's request is refused; `code` is a key of `CODES`, `facts` are further fields for programs."""

    def __init__(self, code: str, message: str | None = None, **facts: Any) -> None:
        self.code = code
        self.message = message or CODES[code].message
        self.facts = facts
        super().__init__(self.message)

    def as_error(self) -> dict[str, Any]:
        """Return the error as it is sent in acks and `error` events."""
        return {"code": self.code, "message": self.message, **self.facts}


class Unavailable(Exception):
    """A service that the request needs (mostly Redis) does not answer: the client may try again soon."""


class StartError(Exception):
    """The process can't start; the message is one line with the reason and what to do."""


class PortTaken(StartError):
    """Another process listens on the address."""


CODES = {
    **CONNECT_CODES,
    **EVENT_CODES,
    # From the HTTP API.
    "unauthorized": Code("a valid API key is required", retry=False),
    "not_found": Code("this path does not exist", retry=False),
    "bad_method": Code("this path does not accept this method: see the Allow header", retry=False),
    "bad_media_type": Code("the body must be JSON", retry=False),
    "too_large": Code("the body is too large", retry=False),
    "too_slow": Code("the request did not arrive in time", retry=True),
}


# Codes of Redis' errors for an unknown user, or one without the right.
_REFUSALS = ("NOPERM", "NOAUTH", "WRONGPASS")


def redis_trouble(where: str, error: BaseException) -> str:
    """Return one line about an error of Redis: it refuses the user, or it can't be reached."""
    refused = isinstance(error, NoPermissionError | AuthenticationError) or str(error).startswith(_REFUSALS)
    trouble = f"Redis at {where} refuses this user" if refused else f"Redis can't be reached at {where}"
    return f"{trouble}: {one_line(error)}"


def shown_url(url: str) -> str:
    """Return a URL without its password."""
    parts = split_url(url)
    if not parts.netloc:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def one_line(error: BaseException) -> str:
    """Return the text of an error as one line; without a text, its type."""
    return " ".join(str(error).split()) or type(error).__name__
