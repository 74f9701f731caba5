"""The sizes and times of a replica that no operator sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times, each with the value that a replica runs with. A test passes smaller ones."""

    fan_out_sockets: int = 500
    """Sockets that one event is handed to in one go: some 5 ms of work. Heartbeats and connects run in between."""
    fan_out_bundles: int = 100
    """The same, where each socket is given hundreds of frames."""
    backlog_messages: int = 10_000
    """Live messages of one tenant that wait for a resync. Beyond that the logs are read once more instead."""
    cork_events: int = 10_000
    """Events that wait in one corked socket. One more closes it as slow."""
    paced_keys: int = 32
    """Conflation keys whose latest event waits in one paced socket. With one more they are all sent."""
    replay_portion_bytes: int = 32 * 1024
    """Bytes of a replay that are sent before the client has taken the ones before.

    Half of the least `max_buffer_bytes`, as is the largest event: live ones fit beside either.
    """
    subscribed_channels: int = 500
    """Channels in one SUBSCRIBE: a replica with 10,000 rooms must not stall Redis or its own loop."""
    redis_answer_s: float = 5.0
    """Seconds after which a question without an answer means that the connection is half-open."""
    redis_patience_s: float = 5.0
    """Seconds that a connect, a join or a resync waits for Redis."""
    reconnect_first_s: float = 0.05
    """Upper end of the first pause before Redis is connected to again. Clients wait for it, so it is short."""
    reconnect_most_s: float = 0.5
    """Upper end of the pauses after that, which double."""
    probe_every_s: float = 2.0
    """Seconds between two probes of a subscriber's connection."""
    probe_timeout_s: float = 5.0
    """Seconds without a probe after which a connection is deaf: two in a row unanswered, and some."""
    resync_rooms: int = 100
    """Rooms read in one script call, which holds Redis up for that long."""
    resync_events: int = 200
    """Events that a resync hands out in one go."""
    resync_bytes: int = 64 << 20
    """Bytes that all resyncs together may have read and not handed out yet, as far as can be foreseen."""
    reread_first_s: float = 0.1
    """Seconds before a tenant's unreadable logs are read again. The read is cheap, and its members wait."""
    reread_most_s: float = 2.0
    """Seconds of the pauses after that, which double."""
    reread_tell_s: float = 30.0
    """Seconds after which a tenant's members are told that its logs can't be read."""
    idle_sweep_s: float = 1.0
    """Seconds between two looks for rooms that nobody needs any more."""
    close_pause_s: float = 0.05
    """Seconds between two batches of sockets that are told to come back."""
    write_retry_s: float = 0.5
    """Seconds between two attempts to write what has to be written before sockets may come back."""


LIMITS = Limits()
"""What a replica runs with."""
