"""The real publisher in another process: a backend with asyncio, or a worker without.

The test's process sends JSON lines on stdin, `{"id": 1, "verb": "message_new", "args": [...], "kwargs":
{...}}`, and gets `{"id": 1, "offset": ..., "duplicate": ..., "queued": ...}` or `{"id": 1, "error":
"InvalidEvent", "message": ...}` on stdout. UUIDs, datetimes and decimals arrive over there as what they are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Counters, Publisher, Receipt
from tests.support.child import Child
from tests.support.environment import ROOT, clean_environment
from tests.support.waiting import PATIENCE_S

ANSWER_S = 5.0
Kind = Literal["async", "blocking"]
TYPES: dict[str, Callable[[str], Any]] = {"UUID": UUID, "datetime": datetime.fromisoformat, "Decimal": Decimal}


class Failed(Exception):
    """The publisher raised; `kind` is the name of the error's class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class PublisherProcess(Child):
    """A process that publishes. Calls are made there in the order in which they are made here.

    When it is closed it sends what is left.
    """

    def __init__(self, redis_url: str, kind: Kind = "async", **options: Any) -> None:
        # Options are those of `from_url`: strict, timeout_s. By default a busy machine gives receipts, too.
        options.setdefault("timeout_s", ANSWER_S)
        self._waiting: dict[int, Future[Any]] = {}
        self._next = 0
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.support.publisher_process", kind, redis_url, json.dumps(options)]
        super().__init__(command, ROOT, clean_environment())

    def send(self, verb: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Make a call without waiting; await the outcome with `asyncio.wrap_future`, or take `.result()`.

        A verb of the publisher's gives its `Receipt`, `unsent` and `counters` what they are. Raises `Failed`.
        """
        with self._lock:
            self._next += 1
            future = self._waiting[self._next] = Future()
            line = {"id": self._next, "verb": verb, "args": args, "kwargs": kwargs}
            self.tell(line, _tagged)
        return future

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call and wait for its outcome."""
        return self.send(verb, *args, **kwargs).result(PATIENCE_S)

    async def acall(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call and wait for its outcome without holding up the loop."""
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.wrap_future(self.send(verb, *args, **kwargs))

    def _hear(self, line: dict[str, Any]) -> None:
        future = self._waiting.pop(line["id"])
        if "error" in line:
            future.set_exception(Failed(line["error"], line["message"]))
        elif "value" in line:
            future.set_result(line["value"])
        else:
            future.set_result(Receipt(line["offset"], line["duplicate"], line["queued"]))

    def _hear_the_end(self) -> None:
        for future in self._waiting.values():
            future.set_exception(Failed("EOFError", "the publisher's process has ended"))


Publishers = Callable[..., PublisherProcess]


def _publisher_factory() -> Iterator[Publishers]:
    started: list[PublisherProcess] = []

    def start(redis_url: str, kind: Kind = "async", **options: Any) -> PublisherProcess:
        started.append(PublisherProcess(redis_url, kind, **options))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def publishers() -> Iterator[Publishers]:
    """Start publishers for one test: `publishers(redis_server.url, "blocking", strict=True)`."""
    yield from _publisher_factory()


@pytest.fixture(scope="module")
def shared_publishers() -> Iterator[Publishers]:
    """Start publishers for a whole module."""
    yield from _publisher_factory()


@pytest.fixture(scope="session")
def backend(stage_redis: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend on asyncio that publishes to the shared stage; the folder's conftest has it."""
    process = PublisherProcess(stage_redis.url)
    yield process
    assert process.close() == 0


def _tagged(value: object) -> dict[str, str]:
    return {f"${type(value).__name__}": str(value)}


# -- over there


def _untagged(pairs: dict[str, Any]) -> Any:
    name, value = next(iter(pairs.items()), ("", ""))
    make = TYPES.get(name[1:]) if name.startswith("$") and len(pairs) == 1 else None
    return pairs if make is None else make(str(value))


def _answer(ident: int, outcome: Any) -> None:
    answer: dict[str, Any] = {"id": ident}
    if isinstance(outcome, Exception):
        answer |= {"error": type(outcome).__name__, "message": str(outcome)}
    elif isinstance(outcome, Receipt):
        answer |= outcome._asdict()
    else:
        answer |= {"value": dataclasses.asdict(outcome) if isinstance(outcome, Counters) else outcome}
    print(json.dumps(answer), flush=True)


def _blocking(url: str, options: dict[str, Any]) -> None:
    with Publisher.from_url(url, **options) as events:
        for line in sys.stdin:
            request = json.loads(line, object_hook=_untagged)
            try:
                found = getattr(events, request["verb"])
                outcome = found(*request["args"], **request["kwargs"]) if callable(found) else found
            except Exception as error:  # noqa: BLE001  # the test's to judge
                outcome = error
            _answer(request["id"], outcome)


async def _asynchronous(url: str, options: dict[str, Any]) -> None:
    tasks: set[asyncio.Task[None]] = set()
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0))
    async with AsyncPublisher.from_url(url, **options) as events:
        while line := await reader.readline():
            task = loop.create_task(_publish(events, json.loads(line, object_hook=_untagged)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


async def _publish(events: AsyncPublisher, request: dict[str, Any]) -> None:
    try:
        found = getattr(events, request["verb"])
        outcome = await found(*request["args"], **request["kwargs"]) if callable(found) else found
    except Exception as error:  # noqa: BLE001  # the test's to judge
        outcome = error
    _answer(request["id"], outcome)


if __name__ == "__main__":
    kind, url, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    if kind == "async":
        asyncio.run(_asynchronous(url, options))
    else:
        _blocking(url, options)
