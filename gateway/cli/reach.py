"""Redis' address as somebody typed it: what is wrong with it is one line."""

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
    """The address of Redis, and the options that redis-py needs beside the URL."""

    url: str
    options: dict[str, Any]

    def client(self, library: ModuleType, **options: Any) -> Any:
        """Make a client of redis-py's, `library` being redis or redis.asyncio; raises `ValueError`."""
        return client_of(library, parse_address(self.url), {**options, **self.options})


def load(redis_url: str | None) -> settings.Settings:
    """Read the settings, with the address from the command line if there is one; raises `ConfigurationError`."""
    return settings.load(**({} if redis_url is None else instead(redis_url)))


def instead(redis_url: str) -> dict[str, Any]:
    """Return the settings that another address than the configured one goes with: it may take no files for TLS."""
    plain = {} if redis_url.startswith("rediss") else dict.fromkeys(TLS_FILES)
    return {"redis_url": redis_url, **plain}


def target(redis_url: str | None) -> Target:
    """Return the Redis that a command is for: the given one or the configured one."""
    configuration = load(redis_url)
    return Target(configuration.redis_url.get_secret_value(), configuration.redis_options())


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise `StartError` for what redis-py or the system says of that address in here."""
    try:
        yield
    except (*OPEN_ERRORS, ReplyError, ValueError) as error:
        raise StartError(redis_trouble(shown_url(url), error)) from None


def say(text: str) -> None:
    """Print a line at once; where nobody reads on, as after `| head`, end without a word."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go at the end of the process, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def check(where: Target) -> None:
    """Raise `StartError` unless there is a Redis that answers: sooner and more plainly than a publisher would."""
    timeouts = {"socket_connect_timeout": TIMEOUT_S, "socket_timeout": TIMEOUT_S}
    with reaching(where.url), where.client(redis, **timeouts) as client:
        client.ping()
