"""The sender of a lane's events from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from publisher.address import Node
from publisher.aio.servers import AsyncServers
from publisher.buffer import BROKEN, Buffer, Item
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


def is_lost(connection: Any) -> bool:
    """Return whether the transport of a redis-py connection is closed; redis-py notices it only when it reads.

    Nothing may be written to such a transport. asyncio of Python 3.12, and of early releases of 3.13, then watches
    the number of the closed file. If another socket of the process has got that number, it never learns that it is
    connected, or the loop spins (cpython#136234).
    """
    writer = connection._writer
    return writer is not None and bool(writer.is_closing())


class AsyncLane:
    """A queue of events, which one task sends in their order over one connection."""

    def __init__(self, servers: AsyncServers, sending: Sending) -> None:
        self.buffer = Buffer(sending.buffer_events, sending.buffer_bytes, sending.retry_s)
        self._servers = servers
        self._of = slot_of_item if servers.topology is not None else None
        self._sending = sending
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connections: dict[Node | None, Any] = {}
        self._node: Node | None = None
        """The node of the last batch."""

    def put(self, item: Item) -> None:
        """Append an item to the queue; start the task if it does not run."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all(), name="publisher")
        note_drop(self.buffer.put(item), self.buffer.counters)
        self._filled.set()

    async def aclose(self, timeout_s: float) -> None:
        """Send the waiting events for at most `timeout_s` seconds, then disconnect."""
        if self._task is not None:
            self._emptied.clear()
            self._filled.set()
            if len(self.buffer):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.buffer.close()
        await self._disconnect()

    async def _send_all(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Python 3.11's `wait_for`, which redis-py uses, may swallow a cancellation; `cancelling` still shows it.
        steps = send_loop(self.buffer, self._of, lambda: bool(task.cancelling()))
        answer: Answer = None
        with contextlib.suppress(StopIteration):
            while True:
                answer = await self._do(steps.send(answer))

    async def _do(self, step: Step) -> Answer:
        match step:
            case Send(items):
                try:
                    return await self._execute(items)
                except Exception as error:  # noqa: BLE001  # the buffer knows which errors are temporary
                    await self._disconnect()
                    return error
            case Wait():
                self._emptied.set()
                self._filled.clear()
                await self._filled.wait()
            case LoadScripts():
                await self._load_scripts()
            case Pause(seconds):
                await asyncio.sleep(seconds)
                await self._servers.look_again()
        return None

    async def _execute(self, items: Sequence[Item]) -> Sequence[Any]:
        """Send a batch in one write; return the result of each item. An error reply counts for its whole call."""
        node = self._node = await self._servers.owner(items[0].envelope.keys[0])
        connection = await self._connect(node)
        envelopes = [item.envelope for item in items]
        calls = calls_of(envelopes)
        commands = (command_of([items[i] for i in call], self.buffer.lane) for call in calls)
        packed = [connection.pack_command("EVALSHA", *command) for command in commands]
        wanted = self._sending.wait_replicas
        if wanted:
            packed.append(connection.pack_command("WAIT", wanted, REPLICAS_TIMEOUT_MS))
        await connection.send_packed_command([b"".join(chunks) for chunks in packed])
        answers: list[Any] = []
        for _ in packed:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        if wanted:
            check_replicas(answers, wanted)
        return results_of(envelopes, calls, heed(self._servers.topology, answers, node))

    async def _connect(self, node: Node | None) -> Any:
        """Return the lane's own connection to a node of a cluster, or to the one server if `node` is None.

        It does not come from redis-py's pool, whose checks would be paid for each command. A lane has several
        connections only while a cluster moves its slots from one node to another.
        """
        connection = self._connections.get(node)
        if connection is not None and is_lost(connection):
            await self._disconnect()
            connection = None
        if connection is None:
            connection = self._connections[node] = self._servers.make_connection(node)
        await connection.connect()
        return connection

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            with contextlib.suppress(*BROKEN):
                await connection.disconnect(nowait=True)

    async def _load_scripts(self) -> None:
        try:
            connection = await self._connect(self._node)
            for script in SCRIPTS.values():
                await connection.send_command("SCRIPT", "LOAD", script.source)
                await connection.read_response()
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)
            await self._disconnect()
