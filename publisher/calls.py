"""Script calls: how a batch is divided into calls, and the result of each envelope from their answers. Pure.

All events of a tenant go into one call, so that a server which refuses one refuses all that follow it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from publisher.envelope import Envelope
from publisher.errors import PublishError

# Statuses in publish.lua's answer. KNOWN: key or lane number was taken before. STALE: the key has a later version.
PUBLISHED, KNOWN, STALE, TOO_LARGE, FAILED = range(5)


class Taken(NamedTuple):
    """An event that Redis took now or recognized."""

    status: int
    offset: str | None
    """None if Redis recognized the event but no longer knows its offset."""


Result = list[Taken] | Exception | None
"""The result of an envelope: its events that Redis has, or the error; None if Redis stopped before it."""


def calls_of(envelopes: Iterable[Envelope]) -> list[list[int]]:
    """Return the calls, one per tenant, each as the indices of its envelopes in order."""
    calls: dict[str, list[int]] = {}
    for i, envelope in enumerate(envelopes):
        calls.setdefault(envelope.tenant, []).append(i)
    return list(calls.values())


def results_of(
    envelopes: Sequence[Envelope], calls: Sequence[Sequence[int]], answers: Sequence[Any]
) -> list[Result]:
    """Return the result of each envelope from the answers to the calls."""
    results: list[Result] = [None] * len(envelopes)
    for call, answer in zip(calls, answers, strict=True):
        refused = isinstance(answer, Exception)
        found = [answer] * len(call) if refused else _read([envelopes[i] for i in call], answer)
        for i, result in zip(call, found, strict=True):
            results[i] = result
    return results


def _read(envelopes: Sequence[Envelope], answer: Sequence[Any]) -> list[Result]:
    pairs = list(zip(answer[::2], answer[1::2], strict=True))
    results: list[Result] = []
    for envelope in envelopes:
        mine, pairs = pairs[: envelope.events], pairs[envelope.events :]
        results.append(_result(envelope, mine) if mine else None)
    return results


def _result(envelope: Envelope, answer: list[tuple[int, bytes | str]]) -> Result:
    """Return the result of one envelope; it is an error even if only one of two events failed."""
    taken: list[Taken] = []
    for status, said in answer:
        text = said.decode() if isinstance(said, bytes) else said
        if status == TOO_LARGE:
            error = f"the event is larger than gateways hand out: at most {text} bytes of JSON"
            return PublishError(error, maybe_published=bool(taken), code="too_large")
        if status == FAILED:
            error = f"Redis refused the event: {text}"
            return PublishError(error, maybe_published=True) if taken else ResponseError(text)
        taken.append(Taken(status, text or None))
    return taken
