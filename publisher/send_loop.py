"""The loop that sends a lane's events, without I/O: each publisher does the steps, in a task or in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, NamedTuple

from publisher.buffer import Buffer, Item
from publisher.sending import SendWindow, note_retry


class Send(NamedTuple):
    """Send these items in one write. The answer is a result for each item, or one error for the whole batch."""

    items: list[Item]


class Wait(NamedTuple):
    """Ask the driver to wait until the buffer has an item."""


class LoadScripts(NamedTuple):
    """Load the scripts into the server that did not know them."""


class Pause(NamedTuple):
    """Pause for `seconds`, then ask the cluster for the owners of its slots."""

    seconds: float


Step = Send | Wait | LoadScripts | Pause
Answer = Sequence[Any] | Exception | None
Of = Callable[[Item], Hashable] | None


def send_loop(buffer: Buffer, of: Of, is_over: Callable[[], bool]) -> Generator[Step, Answer, None]:
    """Yield the next step, until `is_over()` is true. Only `Send` has an answer.

    With `of`, a batch has only items with the same `of(item)`.
    """
    window = SendWindow()
    while not is_over():
        items = buffer.take(window.most, time.time(), of)
        if not items:
            yield Wait()
            continue
        answer = yield Send(items)
        assert answer is not None
        trouble = buffer.settle(items, answer)
        if window.wants_scripts(trouble):
            yield LoadScripts()
        elif trouble is not None:
            note_retry(window.failures, trouble, len(buffer))
            yield Pause(window.pause_s())
