"""Every refusal a client can get, in one table: code, what it means, whether to come back. And what stops a start.

The message is a plain word for a stranger; cause and fix for the operator go to the log.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, NoPermissionError

from publisher.events.codes import CONNECT_CODES, EVENT_CODES, Code


class Refused(Exception):
    """A client is refused what it asked for; `code` is a key of `CODES`, `facts` are for programs to read."""

    def __init__(self, code: str, message: str | None = None, **facts: Any) -> None:
        self.code = code
        self.message = message or CODES[code].message
        self.facts = facts
        super().__init__(self.message)

    def as_error(self) -> dict[str, Any]:
        """Return the error as acks and `error` events carry it."""
        return {"code": self.code, "message": self.message, **self.facts}


class Unavailable(Exception):
    """Redis is away, and the request needs it: the client may try again in a moment."""


class StartError(Exception):
    """The replica can't start; the message is one line that says why and what to do."""


class PortTaken(StartError):
    """Somebody else listens there."""


CODES = {
    **CONNECT_CODES,
    **EVENT_CODES,
    # From the HTTP API.
    "unauthorized": Code("a valid API key is required", retry=False),
    "not_found": Code("there is no such path", retry=False),
    "bad_method": Code("this path takes another method", retry=False),
    "bad_media_type": Code("the body must be JSON", retry=False),
    "too_large": Code("the body is too large", retry=False),
    "too_slow": Code("the request did not arrive in time", retry=True),
}


# How Redis begins its answer to somebody whom it does not know, or who may not do that.
_REFUSALS = ("NOPERM", "NOAUTH", "WRONGPASS")


def redis_trouble(where: str, error: BaseException) -> str:
    """Say in one line why Redis is of no use: nobody answers there, or it does not take this user."""
    refused = isinstance(error, NoPermissionError | AuthenticationError) or str(error).startswith(_REFUSALS)
    trouble = f"Redis at {where} refuses this user" if refused else f"Redis can't be reached at {where}"
    return f"{trouble}: {one_line(error)}"


def shown_url(url: str) -> str:
    """Return a URL without its password."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def one_line(error: BaseException) -> str:
    """Return an error as one line."""
    return " ".join(str(error).split()) or type(error).__name__
