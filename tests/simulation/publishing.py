"""What publishers promised, compared with what Redis published."""

from __future__ import annotations

from tests.simulation.backend import Backend, Promise
from tests.simulation.plan import OF_BACKENDS, OF_REDIS
from tests.simulation.story import Story
from tests.simulation.truth import Committed

SHOWN = 5


def publishing(story: Story) -> list[str]:
    """Return promises of publishers that were not kept: what was acknowledged or queued is published.

    No verb fails, no event is refused, and none waits or is given up unless Redis or a backend was in trouble.
    """
    truth, found = story.cluster.truth, []
    newest = None if story.plan.forgets else _newest_versions(story)
    is_calm = not story.plan.has(*OF_REDIS, *OF_BACKENDS)
    for backend in story.cluster.backends:
        if backend.process.is_alive and backend.unsent is None:
            found.append(f"{backend.name} did not close")
        if backend.unsent:
            found.append(f"{backend.name} closed with {backend.unsent} events unsent, although nothing was wrong")
        found += [f"{backend.name} failed to {error}" for error in backend.errors]
        for promise in backend.promises:
            found += _broken(backend, promise, truth.events.get(promise.ident), is_calm=is_calm)
            if newest is not None:
                found += _withheld(promise, newest)
    return found[:SHOWN]


def _broken(backend: Backend, promise: Promise, event: Committed | None, *, is_calm: bool) -> list[str]:
    """Return what is wrong with one call."""
    receipt, what, found = promise.receipt, promise.ident, []
    if promise.error:
        found.append(f"{what} failed: {promise.error}")
    if event is not None and {*event.rooms} != {*promise.rooms}:
        found.append(f"{what} was for {promise.rooms}, and went to {event.rooms}")
    if receipt is None:
        if is_calm and not promise.error and backend.process.is_alive:
            found.append(f"{what} was never answered")
    elif receipt.refused:
        found.append(f"{what} was refused: {receipt.refused}")
    elif receipt.duplicate:
        if promise.key is None:
            found.append(f"{what} was taken for a repeat")
    elif receipt.offset is not None:
        if event is None or (event.offset != receipt.offset and not event.is_lost):
            found.append(f"{what} was acknowledged at {receipt.offset}, and is {event}")
    elif is_calm:
        found.append(f"{what} was not published, although nothing was wrong: {receipt}")
    elif receipt.queued and event is None and promise.version is None and not backend.has_lost:
        found.append(f"{what} was queued and never published")
    return found


def _newest_versions(story: Story) -> dict[tuple[str, str], int]:
    """Return the newest version of each key that was published, by a publisher or through the outbox."""
    newest: dict[tuple[str, str], int] = {}
    promises = [promise for backend in story.cluster.backends for promise in backend.promises]
    versions = [(promise.ident, promise.tenant, promise.key, promise.version) for promise in promises]
    if (database := story.outbox.database) is not None:
        rows = database.committed
        versions += [(row.ident, row.tenant, row.how.get("key"), row.how.get("version")) for row in rows]
    for ident, tenant, key, version in versions:
        if version is not None and ident in story.cluster.truth.events:
            newest[tenant, key or ""] = max(newest.get((tenant, key or ""), 0), version)
    return newest


def _withheld(promise: Promise, newest: dict[tuple[str, str], int]) -> list[str]:
    """Return a version that was not published, as if a newer one had been."""
    if promise.version is None or promise.receipt is None or not promise.receipt.duplicate:
        return []
    published = newest.get((promise.tenant, promise.key or ""), 0)
    if promise.version <= published:
        return []
    return [f"{promise.ident} was taken for older than {promise.key} {published}, and is {promise.version}"]
