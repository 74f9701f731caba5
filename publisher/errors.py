"""The exceptions of the publisher; its verbs raise no others.

A bad argument raises `InvalidEvent` at the call, whether Redis can be reached or not. An event that is not
published raises `PublishError` only with `strict=True`; a closed publisher always raises it.
"""

from __future__ import annotations


class InvalidEvent(ValueError):
    """An argument is not valid; the message says which one and why."""


class PublishError(Exception):
    """The event was not published, or may have been: `maybe_published` says which.

    Publishing again with the same `key` is safe in both cases. It never helps if there is a `code`: `too_large`
    means that the event is larger than the gateways can deliver.
    """

    def __init__(self, message: str, *, maybe_published: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.maybe_published = maybe_published
        self.code = code
