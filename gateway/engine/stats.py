"""The engine's counters: plain integers, which the metrics page reads."""

from collections import Counter
from dataclasses import dataclass, field

from gateway.engine.errors import CloseReason, Refusal

_REASONS = frozenset(CloseReason)


@dataclass(slots=True)
class EngineStats:
    """Counters since the start of one server; they only grow."""

    opened: int = 0
    slow_cut: int = 0
    bad_frames: int = 0
    handler_errors: int = 0
    limited: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)

    def count_refusal(self, refusal: Refusal) -> None:
        """Count a refused request, and the limit that it exceeded."""
        self.refused[refusal.status] += 1
        if refusal.limit:
            self.limited[refusal.limit] += 1

    def count_close(self, reason: str) -> None:
        """Count a session that ended; a reason that is no `CloseReason` counts as ``other``."""
        self.closed[reason if reason in _REASONS else "other"] += 1
        if reason == CloseReason.SLOW:
            self.slow_cut += 1
            self.limited["max_buffer_bytes"] += 1
        elif reason == CloseReason.LATE:
            self.limited["connect_timeout_s"] += 1
