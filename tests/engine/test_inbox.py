import asyncio

import pytest

from gateway.engine import CloseCode, CloseReason, EngineSocket, ProtocolViolation
from gateway.engine.reader import TEXT
from tests.engine.rig import serve
from tests.support.polling import polling
from tests.support.waiting import until
from tests.support.websocket import frame, opened


class Gate:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun: list[str | bytes] = []
        self.done: list[str | bytes] = []

    async def __call__(self, socket: EngineSocket, data: str | bytes) -> None:
        self.begun.append(data)
        await self.open.wait()
        self.done.append(data)


async def test_messages_of_one_socket_are_handled_one_after_the_other() -> None:
    gate = Gate()
    async with serve(receiver=gate) as rig, opened(rig.port) as peer:
        for number in range(20):
            peer.send(f"4{number}")
        await peer.pong()
        assert gate.begun == ["0"]
        gate.open.set()
        await until(lambda: gate.done == [str(number) for number in range(20)])
        await until(lambda: not rig.engine._context.tasks)


async def test_handlers_that_wait_and_handlers_that_do_not_keep_their_order() -> None:
    done: list[str | bytes] = []

    async def later(data: str | bytes) -> None:
        await asyncio.sleep(0)
        done.append(data)

    def receiver(socket: EngineSocket, data: str | bytes) -> object:
        if int(data) % 3 == 0:
            return later(data)
        done.append(data)
        return None

    async with serve(receiver=receiver) as rig, opened(rig.port) as peer:
        for number in range(500):
            peer.send(f"4{number}")
        await until(lambda: done == [str(number) for number in range(500)])


async def test_a_full_inbox_stops_reading_and_bounds_memory() -> None:
    gate = Gate()
    async with serve(receiver=gate, inbox_messages=8) as rig, opened(rig.port) as peer:
        total = 30_000_000
        message = "4" + "x" * 9_999

        async def send_all() -> None:
            for _ in range(total // 10_000):
                peer.send(message)
                await peer.writer.drain()

        sender = asyncio.create_task(send_all())
        await until(lambda: rig.socket.full)
        await until(lambda: peer.writer.transport.get_write_buffer_size() > 0)
        assert not sender.done()
        assert len(rig.socket._inbox._queue) == 8  # type: ignore[union-attr]
        gate.open.set()
        await sender
        await until(lambda: len(gate.done) == total // 10_000)


async def test_the_inbox_is_bounded_by_bytes_too() -> None:
    gate = Gate()
    async with serve(receiver=gate, inbox_bytes=1000) as rig, opened(rig.port) as peer:
        for _ in range(10):
            peer.send("4" + "x" * 400)
        await until(lambda: rig.socket.full)
        assert len(rig.socket._inbox._queue) == 3  # type: ignore[union-attr]
        gate.open.set()
        await until(lambda: len(gate.done) == 10)


async def test_a_post_waits_for_the_inbox() -> None:
    gate = Gate()
    async with serve(receiver=gate, inbox_messages=4) as rig, polling(rig.port) as client:
        post = asyncio.create_task(client.post("\x1e".join(f"4{number}" for number in range(50))))
        await until(lambda: rig.socket.full)
        assert not post.done()
        gate.open.set()
        assert await post == (200, "ok")
        await until(lambda: gate.done == [str(number) for number in range(50)])


async def test_a_burst_of_one_socket_does_not_keep_the_others_waiting() -> None:
    turns: list[str | bytes] = []
    async with (
        serve(receiver=lambda socket, data: turns.append(data)) as rig,
        opened(rig.port) as loud,
        opened(rig.port) as quiet,
    ):
        for _ in range(5000):
            loud.send("4x")
        quiet.send("4y")
        await until(lambda: len(turns) == 5001)
        assert turns.index("y") < 4000
        assert turns.count("x") == 5000


async def test_large_messages_take_turns_one_by_one() -> None:
    turns = 0
    handled_in: list[int] = []

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        if len(handled_in) < 6:
            asyncio.get_running_loop().call_soon(count_turns)

    async with serve(receiver=lambda socket, data: handled_in.append(turns)) as rig, opened(rig.port) as peer:
        count_turns()
        peer.raw(frame(TEXT, b"4" + b"x" * 70_000) * 6)
        await until(lambda: len(handled_in) == 6)
        assert len(set(handled_in)) == 6


async def test_what_a_client_sent_before_it_left_is_handled_before_its_end() -> None:
    gate = Gate()
    order: list[str] = []

    async def receiver(socket: EngineSocket, data: str | bytes) -> None:
        await gate(socket, data)
        order.append(str(data))

    def closer(socket: EngineSocket, reason: str) -> None:
        order.append(reason)

    async with serve(receiver=receiver, closer=closer) as rig, opened(rig.port) as peer:
        for text in ("4a", "4b", "1"):
            peer.send(text)
        await peer.close_code()
        assert rig.socket.closed
        assert order == []
        gate.open.set()
        await until(lambda: order == ["a", "b", CloseReason.CLIENT])


async def test_what_waits_behind_our_own_close_is_dropped() -> None:
    gate = Gate()
    async with serve(receiver=gate) as rig, opened(rig.port) as peer:
        peer.send("4a")
        peer.send("4b")
        await peer.pong()
        rig.socket.close()
        gate.open.set()
        await until(lambda: rig.reasons == [CloseReason.SERVER])
        assert gate.begun == ["a"]


async def test_the_end_is_never_reported_from_within_a_call() -> None:
    async with serve() as rig, opened(rig.port):
        rig.socket.close()
        assert rig.reasons == []
        await until(lambda: rig.reasons == [CloseReason.SERVER])


async def test_a_closer_may_wait_and_may_fail() -> None:
    async def closer(socket: EngineSocket, reason: str) -> None:
        await asyncio.sleep(0)
        raise KeyError(reason)

    async with serve(closer=closer) as rig, opened(rig.port):
        rig.socket.close()
        await until(lambda: [event for event, _ in rig.notes.logged] == ["engine_closer_failed"])


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_violation_found_by_a_handler_closes_with_its_code(awaits: bool) -> None:
    async def later() -> None:
        raise ProtocolViolation(CloseCode.POLICY, "too many joins")

    def receiver(socket: EngineSocket, data: str | bytes) -> object:
        if awaits:
            return later()
        raise ProtocolViolation(CloseCode.POLICY, "too many joins")

    async with serve(receiver=receiver) as rig, opened(rig.port) as peer:
        peer.send("4x")
        assert await peer.close_code() == CloseCode.POLICY
        assert peer.reason == "too many joins"


async def test_a_value_error_is_the_peers_fault() -> None:
    async def receiver(socket: EngineSocket, data: str | bytes) -> None:
        int(data)

    async with serve(receiver=receiver) as rig, opened(rig.port) as peer:
        peer.send("4no number")
        assert await peer.close_code() == CloseCode.PROTOCOL


async def test_a_broken_handler_is_logged_once_and_the_socket_stays() -> None:
    async def receiver(socket: EngineSocket, data: str | bytes) -> None:
        if data != "fine":
            raise KeyError(data)
        socket.send_text("fine")

    async with serve(receiver=receiver) as rig, opened(rig.port) as peer:
        for text in ("4a", "4b", "4c", "4fine"):
            peer.send(text)
        assert await peer.receive() == "4fine"
        assert rig.notes.logged == [("engine_handler_failed", {"remote": "127.0.0.1", "error": "KeyError"})]
        # Whoever reads the log must not be able to post to a session that goes on.
        assert rig.socket.sid not in str(rig.notes.logged)
        assert rig.engine.stats.handler_errors == 3
