"""The exceptions of the publisher; no others reach a caller.

Bad arguments are the caller's mistake and raise at the call, Redis or no Redis: `InvalidEvent`.
Trouble on the way raises only with `strict=True`: `PublishError`.
"""

from __future__ import annotations


class InvalidEvent(ValueError):
    """An argument can't be published as it is; the message says which one and why."""


class PublishError(Exception):
    """The event was not published, or nobody can tell: `maybe_published` says which.

    Publishing again with the same `key` is safe in both cases, and never helps where there is a `code`:
    `too_large` is an event that is larger than the gateways hand out.
    """

    def __init__(self, message: str, *, maybe_published: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.maybe_published = maybe_published
        self.code = code
