"""Runs tests with the mark `simulated` in a process of their module, with the simulation's clocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.apart import Apart


@pytest.fixture(scope="module")
def apart(request: pytest.FixtureRequest) -> Iterator[Apart]:
    process = Apart(request.module.__name__)
    yield process
    process.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("simulated") is None:
        return None
    process: Apart = pyfuncitem._request.getfixturevalue("apart")
    failure = process.run(pyfuncitem.name)
    if failure:
        pytest.fail(failure, pytrace=False)
    return True
