import pytest

from gateway.engine.drain import batches


@pytest.mark.parametrize(("count", "over_s"), [(0, 1.0), (1, 1.0), (7, 0.2), (10_000, 3.0), (5, 0.0)])
def test_all_are_closed_within_the_time(count: int, over_s: float) -> None:
    sizes = list(batches(count, over_s, 0.05))
    assert sum(sizes) == count
    assert len(sizes) == max(round(over_s / 0.05), 1)


def test_batches_are_even() -> None:
    sizes = list(batches(1000, 1.0, 0.1))
    assert max(sizes) - min(sizes) <= 1
