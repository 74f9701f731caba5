"""The sender of a lane's events from a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from publisher.address import Node
from publisher.blocking.servers import Servers
from publisher.buffer import Buffer, Item
from publisher.calls import calls_of, results_of
from publisher.lanes import command_of, heed, slot_of_item
from publisher.scripts import SCRIPTS
from publisher.send_loop import Answer, LoadScripts, Pause, Send, Step, Wait, send_loop
from publisher.sending import (
    REPLICAS_TIMEOUT_MS,
    Sending,
    check_replicas,
    note_drop,
)

_log = logging.getLogger("publisher")


class Lane:
    """One lane: its buffer, and the daemon thread that sends it. All lanes share the lock of `changed`."""

    def __init__(self, servers: Servers, sending: Sending, changed: threading.Condition) -> None:
        self.buffer = Buffer(sending.buffer_events, sending.buffer_bytes, sending.retry_s)
        self._servers = servers
        self._of = slot_of_item if servers.topology is not None else None
        self._sending = sending
        self._changed = changed
        self._thread: threading.Thread | None = None
        self._closed = False
        self._given_up = False
        self._node: Node | None = None
        """The node of the last batch."""

    def put(self, item: Item) -> None:
        """Append an item to the queue; start the thread if there is none. The caller holds the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="publisher", daemon=True)
            self._thread.start()
        note_drop(self.buffer.put(item), self.buffer.counters)
        self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Send the waiting events for at most `timeout_s` seconds; no batch is started after that."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None or not len(self.buffer), timeout_s)
            self._given_up = True
            self.buffer.close()
            self._changed.notify_all()
        if self._thread is not None and not len(self.buffer):
            self._thread.join(timeout_s)

    def _send_all(self) -> None:
        steps = send_loop(self.buffer, self._of, self._is_over)
        answer: Answer = None
        while True:
            with self._changed:
                try:
                    step = steps.send(answer)
                except StopIteration:
                    return
                finally:
                    self._changed.notify_all()
            answer = self._do(step)

    def _is_over(self) -> bool:
        return self._given_up or (self._closed and not len(self.buffer))

    def _do(self, step: Step) -> Answer:
        match step:
            case Send(items):
                try:
                    self._node = self._servers.owner(items[0])
                    return self._execute(items, self._node)
                except Exception as error:  # noqa: BLE001  # the buffer knows which errors are temporary
                    return error
            case Wait():
                with self._changed:
                    self._changed.wait_for(lambda: self._is_over() or len(self.buffer))
            case LoadScripts():
                self._load_scripts(self._node)
            case Pause(seconds):
                with self._changed:
                    self._changed.wait_for(lambda: self._given_up, seconds)
                self._servers.look_again()
        return None

    def _execute(self, items: Sequence[Item], node: Node | None) -> Sequence[Any]:
        envelopes = [item.envelope for item in items]
        calls = calls_of(envelopes)
        with self._servers.client(node).pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.evalsha(*command_of([items[i] for i in call], self.buffer.lane))
            wanted = self._sending.wait_replicas
            if wanted:
                pipe.execute_command("WAIT", wanted, REPLICAS_TIMEOUT_MS)  # type: ignore[no-untyped-call]
            answers = pipe.execute(raise_on_error=False)
        if wanted:
            check_replicas(answers, wanted)
        return results_of(envelopes, calls, heed(self._servers.topology, answers, node))

    def _load_scripts(self, node: Node | None) -> None:
        try:
            for script in SCRIPTS.values():
                self._servers.client(node).script_load(script.source)
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)
