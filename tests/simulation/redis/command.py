"""A command of the simulated Redis: its function, its arity and its flags, as in Valkey's own table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.replies import Refused

Args = list[bytes]
Handler = Callable[[Keyspace, Args], Any]
"""Takes the arguments after the name. It depends on the keys, their time and the arguments alone; if it raises
`Refused`, it has changed nothing."""


class Command(NamedTuple):
    """One command on the keys."""

    handler: Handler
    least: int
    """Fewest arguments after the name."""
    most: int
    """Most arguments after the name; -1 for any number."""
    writes: bool = False
    denies_oom: bool = False
    loading: bool = False
    """Whether it is allowed while the data is loaded."""


class Table(dict[bytes, Command]):
    """Commands by their names, in capitals."""

    def add(self, name: str, least: int, most: int = -2, *, flags: str = "") -> Callable[[Handler], Handler]:
        """Decorate a handler; `most` is `least` if it is left out. Flags: `write`, `denyoom`, `loading`."""

        def decorate(handler: Handler) -> Handler:
            found = flags.split()
            bound = least if most == -2 else most
            row = Command(handler, least, bound, "write" in found, "denyoom" in found, "loading" in found)
            self[name.encode()] = row
            return handler

        return decorate


def wrong_arity(name: bytes) -> Refused:
    """Return the error for a wrong number of arguments."""
    return Refused(b"ERR wrong number of arguments for '%b' command" % name.lower())
