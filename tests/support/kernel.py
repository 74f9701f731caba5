"""What this machine's kernel keeps of connections, those that no process has open any more among them."""

from __future__ import annotations

from pathlib import Path


def kept_by_peer(port: int) -> dict[str, int]:
    """Return how many bytes the kernel keeps to be sent from a port, by its connections' other ends."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {row[2]: int(row[4].partition(":")[0], 16) for row in rows if row[1] == f"0100007F:{port:04X}"}


def kept_bytes(port: int) -> int:
    """Return all of them together."""
    return sum(kept_by_peer(port).values())


def tcp_mib() -> float:
    """Return what all TCP connections of this machine take of its memory (`net.ipv4.tcp_mem`)."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.rpartition(" ")[2]) * 4096 / 2**20
    return 0.0
