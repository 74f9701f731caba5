"""The address of Redis for commands; an error with it is reported in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import click
import redis

from gateway import settings
from gateway.errors import StartError, redis_trouble, shown_url
from gateway.redis.commands import OPEN_ERRORS
from gateway.redis.connection import ReplyError
from publisher.address import client_of, parse_address

TIMEOUT_S = 3.0
TLS_FILES = ("redis_ca_file", "redis_cert_file", "redis_key_file")


class Target(NamedTuple):
    """The URL of Redis, and further options for redis-py."""

    url: str
    options: dict[str, Any]

    def client(self, library: ModuleType, **options: Any) -> Any:
        """Return a redis-py client; `library` is `redis` or `redis.asyncio`. Raises `ValueError`."""
        return client_of(library, parse_address(self.url), {**options, **self.options})


def load(redis_url: str | None) -> settings.Settings:
    """Return the settings, with the URL from the command line if given; raises `ConfigurationError`."""
    return settings.load(**({} if redis_url is None else instead(redis_url)))


def instead(redis_url: str) -> dict[str, Any]:
    """Return the settings for another URL than the configured one; without TLS files unless it is rediss://."""
    plain = {} if redis_url.startswith("rediss") else dict.fromkeys(TLS_FILES)
    return {"redis_url": redis_url, **plain}


def target(redis_url: str | None) -> Target:
    """Return the given Redis, else the configured one; raises `ConfigurationError`."""
    configuration = load(redis_url)
    return Target(configuration.redis_url.get_secret_value(), configuration.redis_options())


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn errors of Redis, the system or the URL inside this block into `StartError`."""
    try:
        yield
    except (*OPEN_ERRORS, ReplyError, ValueError) as error:
        raise StartError(redis_trouble(shown_url(url), error)) from None


def say(text: str) -> None:
    """Print a line at once; exit without an error if the reader has closed the pipe, as `| head` does."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # Python flushes the rest of the buffer at exit, which would fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def check(where: Target) -> None:
    """Raise `StartError` unless Redis answers; earlier, and with a clearer text, than a publisher would."""
    timeouts = {"socket_connect_timeout": TIMEOUT_S, "socket_timeout": TIMEOUT_S}
    with reaching(where.url), where.client(redis, **timeouts) as client:
        client.ping()
