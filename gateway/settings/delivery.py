"""The settings of heartbeats, recovery, histories and compression."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.settings.common import Group


class Delivery(Group):
    """The settings of delivery to sockets."""

    ping_interval_s: float = Field(25.0, gt=0, le=300, description="seconds between heartbeats of a connection")
    ping_timeout_s: float = Field(20.0, gt=0, le=300, description="seconds a client has to answer a heartbeat")
    recovery_window_s: float = Field(
        120.0,
        ge=0.01,
        le=86_400,
        description="seconds within which a dropped socket can come back and miss nothing",
    )
    history_size: int = Field(
        500,
        ge=0,
        le=100_000,
        description="newest events that a room keeps beyond the recovery window",
    )
    history_max_events: int = Field(
        10_000,
        ge=0,
        le=100_000,
        description="largest number of events that a room keeps, also within the recovery window, unless "
        "`GATEWAY_HISTORY_SIZE` is larger; 0 for both keeps no events",
    )
    history_max_bytes: int = Field(
        16 << 20,
        ge=65_536,
        le=1 << 30,
        description="largest size in bytes of all events that a room keeps",
    )
    history_ttl_s: float = Field(
        3600.0, ge=0.01, le=30 * 86_400, description="seconds after which a room's events are removed"
    )
    room_linger_s: float = Field(
        5.0,
        ge=0,
        description="seconds for which a room stays subscribed after its last member on this replica left",
    )
    conflate_per_s: int = Field(
        4,
        ge=0,
        le=100,
        description="times a second that a socket gets conflated events, such as progress, the latest of each "
        "key; 0 sends every event",
    )
    shutdown_grace_s: float = Field(
        10.0,
        ge=0,
        le=600,
        description="seconds after SIGTERM in which all sockets are moved away and the process ends",
    )
    compression: Literal["off", "shared"] = Field(
        "off",
        description="permessage-deflate compression of websockets: off, or shared, once per event for all sockets",
    )
    compression_threshold_bytes: int = Field(256, ge=0, description="bytes below which an event is not compressed")
    compression_level: int = Field(6, ge=1, le=9, description="zlib's level of compression: 1 is fast, 9 is small")
    compression_window_bits: int = Field(12, ge=9, le=15, description="zlib's window size, as a power of two")

    @property
    def unnoticed_s(self) -> float:
        """Return the seconds for which a socket may be gone before the gateway notices."""
        return self.ping_interval_s + self.ping_timeout_s + 5.0

    @property
    def history_window_s(self) -> float:
        """Return the seconds for which all events are kept, for a socket that may still recover."""
        return self.recovery_window_s + self.unnoticed_s
