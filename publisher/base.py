"""The part of both publishers that does no I/O: their options, and their creation from a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from publisher.address import Address, parse_address
from publisher.envelope import Options, Validate, validating
from publisher.lanes import sharded
from publisher.sending import TIMEOUT_S, Sending, connection_options
from publisher.verbs import R, Verbs

S = TypeVar("S")


class PublisherBase(Verbs[R], Generic[R, S]):
    """A publisher over servers of type `S`, whose verbs return `R`."""

    @staticmethod
    def _servers_at(address: Address, options: Mapping[str, Any]) -> Any:
        """Return the servers of an address; nothing is connected yet."""
        raise NotImplementedError

    def __init__(self, servers: S, *, options: Options | None = None, sending: Sending | None = None) -> None:
        self._servers = servers
        self._options = options or Options()
        self._sending = sending or Sending()
        self._closed = False

    @classmethod
    def from_url(
        cls,
        url: object,
        *,
        options: Options | None = None,
        strict: bool = False,
        timeout_s: float = TIMEOUT_S,
        wait_replicas: int = 0,
        validate: Validate | None = None,
        **connection: Any,
    ) -> Self:
        """Return a publisher for the URL of a server, of Sentinels or of a cluster (see `publisher.address`).

        `validate` checks events against their types in `publisher.events`: "warn" logs a mismatch, once for each
        field; "raise" raises `InvalidEvent` at the call. `connection` goes to redis-py unchanged. Raises
        `ValueError` for a malformed URL.
        """
        options = validating(options, validate)
        address = parse_address(url)
        servers = cls._servers_at(address, connection_options(connection))
        sending = Sending(strict=strict, timeout_s=timeout_s, wait_replicas=wait_replicas)
        return cls(servers, options=sharded(options) if address.kind == "cluster" else options, sending=sending)
