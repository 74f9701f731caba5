"""The counters of a publisher."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """The counters of a publisher since it was made. Each only grows."""

    sent: int = 0
    """Events that Redis took."""
    duplicates: int = 0
    """Events that Redis did not publish, because it knew their key, or a later version of it."""
    queued: int = 0
    """Calls that were answered with `queued=True`."""
    dropped: int = 0
    """Events lost because the buffer was full, the oldest first."""
    failed: int = 0
    """Events given up: Redis refused them for good, or they were ephemeral and the connection broke."""
    uncertain: int = 0
    """Events given up although Redis may have them: the answer was lost, and retries failed for almost a day."""
    retries: int = 0
    """Batches that had to be sent again."""
