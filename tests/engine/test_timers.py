import asyncio
import socket

from gateway.engine.timers import Timers
from tests.support.waiting import until


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_process_that_stood_still_reads_its_sockets_before_it_judges_them() -> None:
    clock, order, loop = Clock(), list[str](), asyncio.get_running_loop()
    timers = Timers(0.01, clock, lambda error: None)
    ours, theirs = socket.socketpair()

    def read() -> None:
        order.append("pong")
        loop.remove_reader(ours)

    with ours, theirs:
        loop.add_reader(ours, read)
        timers.call_later(0.001, lambda: order.append("timer"))
        # What happened while the process was stopped, and the loop's timers come before its sockets:
        theirs.send(b"pong")
        clock.now += 60.0
        timers._turn()
        await until(lambda: len(order) == 2)
    assert order == ["pong", "timer"]


async def test_deadlines_that_come_due_together_fire_in_order() -> None:
    clock, order = Clock(), list[int]()
    timers = Timers(0.01, clock, lambda error: None)
    for number in (3, 1, 2):
        timers.call_later(number * 0.02, lambda number=number: order.append(number))  # type: ignore[misc]
    clock.now += 0.2
    await until(lambda: order == [1, 2, 3])


async def test_a_cancelled_call_is_released_at_once() -> None:
    timers = Timers(0.01, Clock(), lambda error: None)
    timers.call_later(5.0, lambda: None).cancel()
    assert len(timers) == 0
    timers.stop()
