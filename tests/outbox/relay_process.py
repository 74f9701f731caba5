"""`gateway relay`, as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.support.environment import ROOT, clean_environment


class RelayProcess:
    """One relay; the arguments are those of the command."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "relay", *arguments],
            env=clean_environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @classmethod
    def on(cls, database_url: str, redis_url: str) -> RelayProcess:
        """Start one for a database and a Redis."""
        return cls("--database-url", database_url, "--redis-url", redis_url)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> tuple[int, str]:
        """End it with SIGTERM; give its exit status and what it said."""
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end; give its exit status and what it said."""
        output, _ = self._process.communicate(timeout=10.0)
        return self._process.returncode, output

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
