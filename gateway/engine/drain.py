"""The number of sockets to close at a time when a server drains. Pure."""

from collections.abc import Iterator


def batches(count: int, over_s: float, step_s: float = 0.05) -> Iterator[int]:
    """Yield how many of `count` sockets to close in each step of `step_s`, evenly over `over_s` seconds."""
    steps = max(int(over_s / step_s), 1)
    done = 0
    for step in range(1, steps + 1):
        target = count * step // steps
        yield target - done
        done = target
