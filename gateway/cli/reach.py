"""Redis' address as somebody typed it: what is wrong with it is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from gateway.app import StartError, one_line, shown_url
from gateway.bus.commands import OPEN_ERRORS

TIMEOUT_S = 3.0


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise `StartError` for what redis-py or the system says of that address in here."""
    try:
        yield
    except (*OPEN_ERRORS, ValueError) as error:
        raise StartError(f"Redis can't be reached at {shown_url(url)}: {one_line(error)}") from None


def check(url: str) -> None:
    """Raise `StartError` unless there is a Redis that answers: sooner and more plainly than a publisher would."""
    with (
        reaching(url),
        redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S) as client,
    ):
        client.ping()
