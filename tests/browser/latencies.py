"""How long messages took from one window into another, as their users see it."""

from __future__ import annotations

import json

from tests.browser.window import ARTEFACTS

_taken_ms: dict[str, list[float]] = {}


def note(where: str, milliseconds: float) -> None:
    """Note one message, also among the artefacts: several processes may run the tests."""
    taken = _taken_ms.setdefault(where, [])
    taken.append(round(milliseconds, 1))
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    file = ARTEFACTS / f"milliseconds, {where}.json"
    file.write_text(json.dumps({"median": sorted(taken)[len(taken) // 2], "each": taken}))


def summary() -> list[str]:
    """Say it in a line for each page."""
    return [
        f"published in one window to shown in another, {where}: {len(taken)} messages, "
        f"median {sorted(taken)[len(taken) // 2]:.0f} ms, most {max(taken):.0f} ms"
        for where, taken in _taken_ms.items()
    ]
