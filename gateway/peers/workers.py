"""Several processes on one port: a parent starts them, restarts those that die, and ends after them.

The kernel spreads connections over the workers (SO_REUSEPORT). Each worker is a replica, with an additional Unix
socket, to which the others forward requests of its sessions.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import structlog

from gateway.child_process import end_with_parent
from gateway.settings import Settings

# Least time between two starts of a worker.
RESTART_S = 1.0

_log = structlog.get_logger("gateway.workers")


class Worker(NamedTuple):
    """The number of a worker, and the folder of the Unix sockets."""

    number: int
    folder: str

    @property
    def socket(self) -> str:
        """The path of the Unix socket at which the worker takes requests of the others."""
        return str(Path(self.folder, f"{self.number}.sock"))

    def prepare(self) -> None:
        """Remove the socket file of an earlier worker; on Linux, make this process end with its parent."""
        end_with_parent()
        Path(self.socket).unlink(missing_ok=True)


def count(settings: Settings) -> int:
    """Return the configured number of workers; `auto` is the number of usable CPUs."""
    if settings.workers != "auto":
        return settings.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """The parent of the workers. `run` returns the exit status."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._settings = settings
        self._number = number
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._have_served = False
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return 2 if workers can't start, 1 if one did not end with status 0."""
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        with tempfile.TemporaryDirectory(prefix="gateway-") as folder, self._reserved() as reserved:
            port = reserved.getsockname()[1]
            for number in range(self._number):
                self._start(number, port, folder)
            while self._processes:
                self._see_to(port, folder)
        return self._status

    def _reserved(self) -> socket.socket:
        """Return a socket that is bound to the port but does not listen: it proves that the port is free."""
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        held = socket.socket(family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((self._settings.host, self._settings.port))
        except OSError:
            held.close()
            raise
        return held

    def _start(self, number: int, port: int, folder: str) -> None:
        command = [sys.executable, "-m", "gateway", "serve", "--host", self._settings.host, "--port", str(port)]
        self._processes[number] = subprocess.Popen([*command, "--worker", str(number), "--worker-folder", folder])
        self._started[number] = time.monotonic()

    def _see_to(self, port: int, folder: str) -> None:
        """Wait until a worker ends, and start it again, except during a stop."""
        pid, status = os.wait()
        number = next((n for n, process in self._processes.items() if process.pid == pid), None)
        if number is None:
            return
        process = self._processes.pop(number)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        if self._stopping:
            self._status = self._status or (1 if code else 0)
            return
        _log.error("worker_ended", worker=number, status=code)
        lived_s = time.monotonic() - self._started[number]
        # A worker that has served once has left its socket file, even if it was killed.
        sockets = (Path(Worker(n, folder).socket) for n in range(self._number))
        self._have_served = self._have_served or any(path.exists() for path in sockets)
        if code == 2 and not self._have_served:
            # The worker has printed the reason, and the others would fail for the same.
            self._status = code
            self._stop(signal.SIGTERM, None)
            return
        time.sleep(max(0.0, RESTART_S - lived_s))
        if not self._stopping:
            self._start(number, port, folder)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._pass_on(signal.SIGTERM, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        for process in self._processes.values():
            process.send_signal(number)
