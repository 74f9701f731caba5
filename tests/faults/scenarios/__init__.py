"""The rows, by what goes wrong. `load_all` registers them."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    *("connections", "sessions", "rooms", "replicas", "redis_gone", "failovers"),
    *("bus", "publishing", "slow", "many", "everything"),
)


def load_all() -> None:
    """Import every module of rows, in the order of the table."""
    for name in MODULES:
        import_module(f"tests.faults.scenarios.{name}")
