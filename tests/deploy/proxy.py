"""A real proxy process with the configuration of deploy/: only ports, paths and replicas are put in."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlsplit

import pytest

from gateway.dev.embedded_redis import free_port
from tests.support.environment import ROOT
from tests.support.waiting import PATIENCE_S, until_sync

Changes = Mapping[str, str]


class Proxy(ABC):
    """One proxy in front of `ports` of 127.0.0.1. `changes` are put into its configuration, old to new."""

    name: ClassVar[str]
    """Of the program, and of its folder in deploy/."""
    package: ClassVar[str]
    """Where it comes from, for people who lack it."""
    short: ClassVar[Changes]
    """Changes with which it would cut what is silent for a second."""
    switches: ClassVar[list[str]]
    """The lines of its configuration that are commented out, and switch TLS on."""
    ends_on: ClassVar[signal.Signals] = signal.SIGTERM
    """What ends it at once, websockets or not."""

    def __init__(self, folder: Path, ports: Iterable[int], changes: Changes) -> None:
        self.folder = folder
        self.port, self.tls_port, self.alive_port = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._copy({**changes, **self._places()})
        self._name_replicas(list(ports))

    @abstractmethod
    def _places(self) -> Changes:
        """Return what becomes of the ports and paths."""

    @abstractmethod
    def _name_replicas(self, ports: list[int]) -> None:
        """Put the replicas in."""

    @abstractmethod
    def command(self, *options: str) -> list[str]:
        """Return the command line that runs it."""

    @abstractmethod
    def check(self) -> tuple[int, str]:
        """Have it look at its configuration; return its status and what it prints."""

    @classmethod
    def tls_on(cls) -> Changes:
        """Return the changes that take the comment signs away where the configuration says so."""
        return {line: line.replace("#", "", 1) for line in cls.switches}

    def place_certificate(self, cert: Path, key: Path) -> None:
        """Put a certificate where the configuration looks for one."""
        (self.folder / "fullchain.pem").write_bytes(cert.read_bytes())
        (self.folder / "privkey.pem").write_bytes(key.read_bytes())

    @classmethod
    def source(cls) -> Path:
        """Return its folder in deploy/."""
        return ROOT / "deploy" / cls.name

    @classmethod
    def find(cls) -> str:
        """Return the path of the program, or skip the test where there is none."""
        folders = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        found = shutil.which(cls.name, path=folders)
        if found is None:
            pytest.skip(f"{cls.name} is not installed: `{cls.package}`")
        return found

    def _copy(self, changes: Changes) -> None:
        unused = set(changes)
        for source in (path for path in self.source().rglob("*") if path.is_file()):
            text = source.read_text()
            for old, new in changes.items():
                if old in text:
                    unused.discard(old)
                    text = text.replace(old, new)
            copy = self.folder / source.relative_to(self.source())
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        assert not unused, f"deploy/{self.name} has no {unused}"

    @property
    def url(self) -> str:
        """Where browsers connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where they connect to once TLS is on."""
        return f"https://127.0.0.1:{self.tls_port}"

    def access_log(self) -> str:
        """Return its lines about requests."""
        return self.error_log()

    def error_log(self) -> str:
        """Return what it prints."""
        return (self.folder / "error.log").read_text()

    def start(self) -> Self:
        """Start it and wait until it answers."""
        with (self.folder / "error.log").open("wb") as output:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, self.error_log()
            return ask(f"{self.url}/")[0] != 0

        until_sync(answers, what=f"{self.name} to answer")
        return self

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.send_signal(self.ends_on)
            self._process.wait(PATIENCE_S)


def ask(
    url: str,
    *,
    method: str = "GET",
    source: str = "127.0.0.1",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    within_s: float = PATIENCE_S,
) -> tuple[int, str]:
    """Send one request from the address `source`; return status and body, 0 where nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=within_s, source_address=(source, 0))
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        # The latter where nobody listens yet, and the kernel has chosen that very port to connect from: an echo.
        return 0, ""
    finally:
        connection.close()


Proxies = Callable[..., Proxy]
