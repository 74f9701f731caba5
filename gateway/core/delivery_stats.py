"""Counts of events: by name, by the number of their sockets, and by their age when the last socket got them."""

from __future__ import annotations

from bisect import bisect_left

from gateway.core.clock import ServerClock
from gateway.core.histogram import Histogram
from publisher.envelope import EVENT_NAME

# Names that are counted separately; later ones count as `other`.
MAX_NAMES = 64
OTHER = "other"
# The search for the end of the name in `["name",` ends here: a builder allows 64 characters.
_LAST = 2 + 64 + 1

# Each bound is one less than a power of two, so the bucket of a number is its bit length.
FAN_OUT = tuple(2**bits - 1 for bits in range(16))
_MANY = 2 ** len(FAN_OUT)
LATENCY_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)


def name_of(body: bytes) -> str:
    """Return the name in an event's body; `other` if no builder made the body."""
    text = body[2 : body.find(b'"', 2, _LAST)].decode("ascii", "replace")
    return text if EVENT_NAME.fullmatch(text) else OTHER


class Counted:
    """The number of events with one name, and of their deliveries to sockets."""

    __slots__ = ("deliveries", "events")

    def __init__(self) -> None:
        self.events = 0
        self.deliveries = 0


class DeliveryStats:
    """The counts of one hub. They take some 0.7 µs for an event, and nothing for a delivery.

    For this speed, `came` and `given` repeat the code of `Histogram.observe` and `ServerClock.age_s`.
    """

    def __init__(self, clock: ServerClock | None = None) -> None:
        self.clock = clock
        """Redis' clock; without it, or before it knows the time, no latency is counted."""
        self.fan_out = Histogram(*FAN_OUT)
        """Number of members in the room of each event."""
        self.latency = Histogram(*LATENCY_S)
        """Seconds from the time in an event's seq until its last socket here got it."""
        self.names: dict[str, Counted] = {}
        self._known: dict[bytes, Counted] = {}

    def came(self, body: bytes, members: int) -> Counted:
        """Count an event for a number of members; of its body only the name is read."""
        name = body[2 : body.find(b'"', 2, _LAST)]
        counted = self._known.get(name) or self._first(name, body)
        counted.events += 1
        fan_out = self.fan_out
        fan_out.counts[members.bit_length() if members < _MANY else -1] += 1
        fan_out.total += members
        return counted

    def given(self, seq: int) -> None:
        """Count the age of an event, which its last socket has just got."""
        clock = self.clock
        if clock is not None and (offset_s := clock.offset_s) is not None:
            age_s = clock.monotonic() + offset_s - seq * 1e-6
            latency = self.latency
            latency.counts[bisect_left(LATENCY_S, age_s)] += 1
            # A negative age is within the clock's error, and a sum must not shrink.
            if age_s > 0.0:
                latency.total += age_s

    @property
    def events(self) -> int:
        """The number of all events so far."""
        return sum(counted.events for counted in self.names.values())

    @property
    def deliveries(self) -> int:
        """All deliveries so far, without those that a later event replaced."""
        return sum(counted.deliveries for counted in self.names.values())

    def _first(self, name: bytes, body: bytes) -> Counted:
        """Start to count a name; a body that no builder made counts as `other`."""
        text = name_of(body)
        if len(self._known) < MAX_NAMES and text != OTHER:
            counted = self._known[name] = self.names[text] = Counted()
            return counted
        return self.names.setdefault(OTHER, Counted())
