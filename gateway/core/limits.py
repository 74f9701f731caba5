"""The sizes and times of a replica that no operator sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and times, each with the value that a replica runs with. Tests pass smaller ones."""

    fan_out_sockets: int = 500
    """Sockets that get one event at a time: some 5 ms of work. Heartbeats and connects run in between."""
    fan_out_bundles: int = 100
    """The same for an event that is hundreds of frames for each socket."""
    backlog_messages: int = 10_000
    """Most live messages of one tenant that wait for a resync. With one more, the logs are read again instead."""
    cork_events: int = 10_000
    """Most events that wait in one corked socket. One more closes it as slow."""
    paced_keys: int = 32
    """Most conflation keys with a waiting event in one paced socket. With one more, all events are sent."""
    replay_portion_bytes: int = 32 * 1024
    """Bytes of one portion of a replay. The next portion is sent after the client has read this one.

    Half of the smallest `GATEWAY_MAX_BUFFER_BYTES`, so that live events fit into the other half.
    """
    subscribed_channels: int = 500
    """Most channels in one SUBSCRIBE: a replica with 10,000 rooms must not stall Redis or its own loop."""
    redis_answer_s: float = 5.0
    """Seconds without a reply to a command after which the connection counts as half-open."""
    redis_patience_s: float = 5.0
    """Seconds that a connect, a join or a resync waits for Redis."""
    reconnect_first_s: float = 0.05
    """Most seconds of the first pause before a reconnect to Redis. Clients wait for it, so it is short."""
    reconnect_most_s: float = 0.5
    """Most seconds of the later pauses, which double."""
    probe_every_s: float = 2.0
    """Seconds between two probes of a subscriber's connection."""
    probe_timeout_s: float = 5.0
    """Seconds without a probe after which a connection counts as deaf: two lost probes and some more."""
    resync_rooms: int = 100
    """Rooms that one script call reads. Redis does nothing else meanwhile."""
    resync_events: int = 200
    """Events that a resync hands out before the loop does other work."""
    resync_bytes: int = 64 << 20
    """Most bytes that all resyncs together have read and not handed out yet, by an estimate."""
    reread_first_s: float = 0.1
    """Seconds before a tenant's unreadable logs are read again. The read is cheap, and the members wait."""
    reread_most_s: float = 2.0
    """Most seconds of the later pauses, which double."""
    reread_tell_s: float = 30.0
    """Seconds after which a tenant's members are closed because its logs can't be read."""
    idle_sweep_s: float = 1.0
    """Seconds between two searches for rooms that are not in use."""
    close_pause_s: float = 0.05
    """Seconds between two batches of sockets that are closed so that they reconnect."""
    sample_every_s: float = 0.1
    """Seconds between two samples of the loop's lag, each with a slice of the sockets."""
    write_retry_s: float = 0.5
    """Seconds between two attempts to write sessions, before their sockets are closed so that they reconnect."""


LIMITS = Limits()
"""The limits that a replica runs with."""
