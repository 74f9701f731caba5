"""What is published: by real publishers, with asyncio and without, for all tenants, as a backend would."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from publisher import Receipt
from publisher.verbs import STATUS_VERSION
from tests.faults.torture.ledger import Event, seq_of
from tests.faults.torture.verdict import Finding
from tests.support.publisher_process import Kind, PublisherProcess
from tests.support.tokens import new_id
from tests.support.waiting import until

KINDS: tuple[Kind, ...] = ("async", "async", "blocking")
# A blocking publisher takes one call after the other: more than this must not wait in its pipe.
MOST_WAITING = {"async": 2000, "blocking": 40}
FLUSH_S = 180.0


@dataclass(slots=True)
class Tenant:
    """One organization, and what of it may be published again or go on."""

    ident: str
    users: tuple[str, ...]
    conversations: tuple[str, ...]
    campaigns: tuple[str, ...]
    messages: deque[tuple[str, str, Call]] = field(default_factory=lambda: deque(maxlen=40))
    """Message, conversation and call of the latest."""
    versions: int = 0
    sids: list[str] = field(default_factory=list)

    @property
    def rooms(self) -> list[str]:
        """What a page may join."""
        return [f"conversation:{c}" for c in self.conversations] + [f"campaign:{c}" for c in self.campaigns]


def tenant(users: int, conversations: int, campaigns: int) -> Tenant:
    """Make one up."""
    several = (tuple(new_id() for _ in range(number)) for number in (users, conversations, campaigns))
    return Tenant(new_id(), next(several), next(several), next(several))


@dataclass(slots=True)
class Call:
    """One call of a publisher, and its receipt."""

    ident: str
    tenant: str
    future: Future[Receipt]
    repeats: bool = False
    """Whether it may be left unpublished: as a duplicate, an older version, or too large."""


class Source:
    """One publisher's process, whose calls are numbered."""

    def __init__(self, name: str, kind: Kind, redis_url: str) -> None:
        self.name = name
        self.kind = kind
        self.process = PublisherProcess(redis_url, kind)
        self.calls: list[Call] = []
        self._number = 0

    def ident(self) -> str:
        """Number the next call."""
        self._number += 1
        return f"{self.name}-{self._number}"

    def send(self, ident: str, tenant: str, verb: str, *args: Any, repeats: bool = False, **more: Any) -> Call:
        """Make a call without waiting."""
        call = Call(ident, tenant, self.process.send(verb, tenant, *args, **more), repeats)
        self.calls.append(call)
        return call

    @property
    def is_busy(self) -> bool:
        """Whether it has enough to do."""
        most = MOST_WAITING[self.kind]
        return sum(not call.future.done() for call in self.calls[-most:]) >= most


class Load:
    """All publishers. `rate` is events a second over all of them."""

    def __init__(self, redis_url: str, tenants: list[Tenant], rate: float, draw: random.Random) -> None:
        self.sources = [Source(f"p{i}", kind, redis_url) for i, kind in enumerate(KINDS)]
        self.tenants = tenants
        self.rate = rate
        self.skipped = 0
        """Calls that were not made as a publisher had enough to do."""
        self._draw = draw
        self._kinds = [
            *([self._message] * 40),
            *([self._status] * 14),
            *([self._union] * 14),
            *([self._progress] * 14),
            *([self._version] * 6),
            *([self._notification] * 4),
            *([self._unread] * 3),
            *([self._again] * 3),
            *([self._large] * 2),
        ]

    async def run(self) -> None:
        """Publish until cancelled."""
        due = time.monotonic()
        while True:
            # After a pause of this very process there is no more to do than before it.
            due = max(due, time.monotonic() - 0.5) + self._draw.expovariate(self.rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            source = self._draw.choice(self.sources)
            if source.is_busy:
                self.skipped += 1
            else:
                self._draw.choice(self._kinds)(source, self._draw.choice(self.tenants))

    def burst(self, tenant: Tenant, rooms: list[str], times: int, size: int) -> None:
        """Publish many in one go."""
        source = self.sources[0]
        for _ in range(times):
            data = {"n": (ident := source.ident()), "padding": "x" * size}
            source.send(ident, tenant.ident, "emit", "test:burst", data, to=rooms)

    def oversized(self, tenant: Tenant, room: str, size: int) -> None:
        """Publish one that may be refused: a publisher that knows by now how large an event may be."""
        source = self.sources[0]
        data = {"n": (ident := source.ident()), "padding": "x" * size}
        source.send(ident, tenant.ident, "emit", "test:oversized", data, to=room, repeats=True)

    def mark(self, tenant: Tenant) -> Call:
        """Publish one event to everybody of a tenant."""
        source = self.sources[0]
        ident = source.ident()
        room = f"organization:{tenant.ident}"
        return source.send(ident, tenant.ident, "emit", "test:mark", {"n": ident}, to=room)

    async def flushed(self) -> None:
        """Wait until every call has its receipt, and nothing waits to be sent."""
        for source in self.sources:
            await until(lambda: all(call.future.done() for call in source.calls), FLUSH_S, "all receipts")  # noqa: B023

            async def is_sent() -> bool:
                return bool(await source.process.acall("unsent") == 0)  # noqa: B023

            await until(is_sent, FLUSH_S, "everything to be sent")

    def close(self) -> list[int]:
        """End the processes; return what they end with."""
        return [source.process.close() for source in self.sources]

    # -- the kinds

    def _skip(self, tenant: Tenant) -> str | None:
        return self._draw.choice(tenant.sids) if tenant.sids and self._draw.random() < 0.15 else None

    def _message(self, source: Source, tenant: Tenant) -> None:
        talk, message = self._draw.choice(tenant.conversations), new_id()
        ident = source.ident()
        data = {"id": message, "n": ident, "conversation_id": talk, "content": {"text": "Olá " * 20}}
        more: dict[str, Any] = {"skip_sid": self._skip(tenant)}
        if self._draw.random() < 0.2:
            more["inbox"] = self._draw.choice([True, list(tenant.users[:2])])
        call = source.send(ident, tenant.ident, "message_new", data, **more)
        tenant.messages.append((message, talk, call))

    def _again(self, source: Source, tenant: Tenant) -> None:
        """Publish under the key of a message that is out for certain: a webhook that is delivered twice."""
        out = [(message, talk) for message, talk, call in tenant.messages if _is_out(call)]
        if out:
            message, talk = self._draw.choice(out)
            data = {"n": (ident := source.ident()), "again": message}
            more: dict[str, Any] = {"to": f"conversation:{talk}", "key": f"message:new:{message}", "repeats": True}
            source.send(ident, tenant.ident, "emit", "test:again", data, **more)

    def _status(self, source: Source, tenant: Tenant) -> None:
        if tenant.messages:
            message, talk, _ = self._draw.choice(tenant.messages)
            status = self._draw.choice([*STATUS_VERSION])
            source.send("", tenant.ident, "message_status", talk, message, status, repeats=True)

    def _union(self, source: Source, tenant: Tenant) -> None:
        rooms = [*tenant.rooms, f"organization:{tenant.ident}", *(f"user:{user}" for user in tenant.users)]
        chosen = self._draw.sample(rooms, self._draw.choice((2, 2, 3, 4)))
        data = {"n": (ident := source.ident()), "padding": "x" * 300}
        source.send(ident, tenant.ident, "emit", "test:union", data, to=chosen, skip_sid=self._skip(tenant))

    def _progress(self, source: Source, tenant: Tenant) -> None:
        """Report progress of one campaign several times in a row: most of it is never seen."""
        campaign = self._draw.choice(tenant.campaigns)
        for _ in range(self._draw.choice((1, 2, 5))):
            data = {"n": (ident := source.ident()), "progress": 40, "status": "running"}
            source.send(ident, tenant.ident, "campaign_progress", campaign, data, conflate=True)

    def _version(self, source: Source, tenant: Tenant) -> None:
        tenant.versions += 1
        version = max(1, tenant.versions - self._draw.choice((0, 0, 1, 3)))
        key = f"queue-{self._draw.randrange(3)}"
        data = {"n": (ident := source.ident()), "key": key, "version": version}
        room = f"organization:{tenant.ident}"
        more: dict[str, Any] = {"key": key, "version": version, "to": room, "repeats": True}
        source.send(ident, tenant.ident, "emit", "test:version", data, **more)

    def _notification(self, source: Source, tenant: Tenant) -> None:
        data = {"notification_id": new_id(), "n": (ident := source.ident()), "subject": "Olá"}
        source.send(ident, tenant.ident, "notification_new", self._draw.choice(tenant.users), data)

    def _unread(self, source: Source, tenant: Tenant) -> None:
        user, talk = self._draw.choice(tenant.users), self._draw.choice(tenant.conversations)
        source.send("", tenant.ident, "unread_update", user, talk, self._draw.randrange(9))

    def _large(self, source: Source, tenant: Tenant) -> None:
        data = {"n": (ident := source.ident()), "padding": "x" * self._draw.choice((4_000, 20_000))}
        to = self._draw.choice(tenant.rooms)
        source.send(ident, tenant.ident, "emit", "test:large", data, to=to)

    # -- what came of it

    def findings(self, truth: dict[tuple[str, int], Event]) -> Iterator[Finding]:
        """Compare the receipts with what Redis has."""
        idents = {(event.tenant, event.ident) for event in truth.values()}
        for source in self.sources:
            for call in source.calls:
                error = call.future.exception() if call.future.done() else "there is no receipt"
                if error is not None:
                    yield Finding("strange", source.name, 0, f"{call.ident} raised {error!r}")
                    continue
                receipt = call.future.result()
                if receipt.offset is not None and (call.tenant, seq_of(receipt.offset)) not in truth:
                    yield Finding("strange", source.name, 0, f"{call.ident} has {receipt}, which Redis has not")
                elif receipt.offset is None and not receipt.queued and not call.repeats:
                    yield Finding("strange", source.name, 0, f"{call.ident} was dropped")
                elif receipt.duplicate and not call.repeats:
                    yield Finding("strange", source.name, 0, f"{call.ident} has {receipt}, but it was the first")
                elif not call.repeats and call.ident and (call.tenant, call.ident) not in idents:
                    yield Finding("lost", source.name, 0, f"{call.ident} with {receipt} was never published")


def _is_out(call: Call) -> bool:
    if not call.future.done() or call.future.exception() is not None:
        return False
    return call.future.result().offset is not None
