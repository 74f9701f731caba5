"""What processes cost, from the operating system's own accounting. Linux only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

CPUCLOCK_SCHED = 2


class Usage(NamedTuple):
    """CPU time used so far, in user and kernel mode, and resident memory."""

    cpu_s: float
    resident_kib: int


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process: all its threads, also those that ended, in nanoseconds' resolution.

    /proc/PID/stat counts in hundredths of a second and /proc/PID/schedstat only one thread. This is the clock
    that clock_getcpuclockid(3) gives.
    """
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def family(pid: int) -> list[int]:
    """Return a process and all its descendants that live."""
    pids = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += family(int(child))
    return pids


def usage(pids: Iterable[int]) -> Usage:
    """Return what processes and their descendants have used."""
    everyone = [member for pid in pids for member in family(pid)]
    return Usage(sum(map(cpu_s, everyone)), sum(map(resident_kib, everyone)))
