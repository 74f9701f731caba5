"""The servers under measurement, as processes of their own."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from gateway.dev.embedded_redis import free_port
from tests.bench.accounting import Usage, usage
from tests.bench.systems import System
from tests.bench.worker import BenchError
from tests.support.environment import clean_environment

START_S = 20.0
# At rest: less than 2 % of a core, for this long; waited for no longer than that.
REST_S, REST_CPU_S, REST_WITHIN_S = 0.25, 0.005, 5.0


class Replicas:
    """`count` replicas of a system. `with` starts and kills them: they have nothing to keep."""

    def __init__(self, system: System, redis_url: str, count: int, folder: Path) -> None:
        self._system = system
        self._redis_url = redis_url
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports = [free_port() for _ in range(count)]

    def __enter__(self) -> Self:
        try:
            for port in self.ports:
                self._start(port)
            for port, process in zip(self.ports, self._processes, strict=True):
                self._wait(port, process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def _log(self, port: int) -> Path:
        return self._folder / f"{self._system.name}-{port}.log"

    def _start(self, port: int) -> None:
        environment = clean_environment(**self._system.environment(port, self._redis_url))
        with self._log(port).open("wb") as output:
            process = subprocess.Popen(
                self._system.command,
                env=environment,
                cwd=self._folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)

    def _wait(self, port: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise BenchError(f"{self._system.name} does not start:\n{self._log(port).read_text()[-2000:]}")

    def usage(self) -> Usage:
        """Return what all of them have used so far."""
        return usage(process.pid for process in self._processes)

    def come_to_rest(self) -> Usage:
        """Wait until they do nothing, and give what they have used."""
        deadline = time.monotonic() + REST_WITHIN_S
        now = self.usage()
        while time.monotonic() < deadline:
            time.sleep(REST_S)
            before, now = now, self.usage()
            if now.cpu_s - before.cpu_s < REST_CPU_S:
                break
        return now
