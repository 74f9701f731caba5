"""The real gateway, as a process of its own: `python -m gateway serve`, forked after its imports.

Its log goes to a file, which is shown with a failure. A log line that no healthy replica writes fails the
test in which it was written: a traceback, an exception that nobody took, an `error` of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support import fork_server
from tests.support.environment import clean_environment
from tests.support.tokens import SECRET
from tests.support.waiting import PATIENCE_S, until, until_sync

GRACE_S = 0.5
ANSWER_S = 20.0
# As text, because a crash of the interpreter's own is no JSON.
NEVER = ("Traceback (most recent call last)", "was never", "Task was destroyed", '"level": "error"')

alive: list[Replica] = []
"""Every replica that a test or a module has started and not closed yet."""


class Replica:
    """One replica. `environment` is added to the defaults; `may_log` allows words that would fail the test."""

    def __init__(
        self, redis_url: str, log: Path, environment: Mapping[str, str], *, may_log: Iterable[str] = ()
    ) -> None:
        self.log = log
        log.unlink(missing_ok=True)
        self.port = 0
        self.may_log = tuple(may_log)
        usual = {
            "JWT_SECRET_KEY": SECRET,
            "REDIS_URL": redis_url,
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_LOG_FORMAT": "json",
            "GATEWAY_SHUTDOWN_GRACE_S": str(GRACE_S),
        }
        self._environment = clean_environment(**usual | dict(environment))
        self._process: fork_server.Forked | subprocess.Popen[str] | None = None
        self._judged = 0

    @property
    def url(self) -> str:
        """Where browsers connect to."""
        scheme = "https" if "GATEWAY_TLS_CERT" in self._environment else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Start the process without waiting for it; on the port that it had before, if it had one."""
        assert not self.is_running
        with self.log.open("ab") as output, open(os.devnull) as nothing:
            self._from = output.tell()
            self._process = fork_server.start(
                "gateway",
                ["serve"],
                env={"GATEWAY_PORT": str(self.port)} | self._environment,
                cwd=self.log.parent,
                stdin=nothing.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )

    def start(self) -> Replica:
        """Start the process and wait until it is ready."""
        self.begin()
        until_sync(self._is_ready, PATIENCE_S, "the replica to be ready")
        return self

    async def restarted(self) -> Replica:
        """Start it again, on its old port, without holding up the loop."""
        self.begin()
        await until(self._is_ready, PATIENCE_S, "the replica to be ready")
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the replica ended with {self._process.returncode}:\n{self.log_text()}")
        if not self.port:
            for line in self.log_lines():
                if line["event"] == "gateway_started":
                    self.port = int(line["url"].rpartition(":")[2])
        return bool(self.port) and self.get("/health/ready")[0] == 200

    def get(self, path: str) -> tuple[int, Any]:
        """Ask for a page; return its status, 0 where nobody answers, and its JSON or text."""
        return get_json(self.url + path)

    def health(self) -> dict[str, Any]:
        """Return what /health says."""
        body: dict[str, Any] = self.get("/health")[1]
        return body

    def terminate(self) -> None:
        """Send SIGTERM, and return at once."""
        self.signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Send SIGHUP, which has it read its certificate again, and return at once."""
        self.signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it with SIGKILL and wait for that."""
        self.signal(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP), until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send any signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for the end of the process; return its exit status."""
        assert self._process is not None
        return self._process.wait(within_s)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for the end of the process without holding up the loop; return its exit status."""
        await until(lambda: not self.is_running, within_s, "the replica to end")
        return self.wait()

    # -- its log

    def log_text(self) -> str:
        """Return the log, as it is."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the log's lines of one name, or all; a line that is not JSON has the name `?`."""
        lines = [_parsed(line) for line in self.log_text().splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    def assert_log_is_clean(self) -> None:
        """Fail for what a healthy replica never writes; each line once."""
        text = self.log_text()
        fresh, self._judged = text[self._judged :], len(text)
        bad = [line for line in fresh.splitlines() if any(word in line for word in NEVER)]
        bad = [line for line in bad if not any(word in line for word in self.may_log)]
        assert not bad, "the replica logged:\n" + "\n".join(bad) + "\n-- in\n" + fresh[-8000:]

    def memory_kib(self) -> int:
        """Return the resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def close(self) -> None:
        """End the process, whatever state it is in, and judge its log."""
        if self in alive:
            alive.remove(self)
        if self.is_running:
            self.resume()
            self.terminate()
            try:
                self.wait(float(self._environment["GATEWAY_SHUTDOWN_GRACE_S"]) + PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the replica did not end:\n{self.log_text()[-8000:]}") from None
        self.assert_log_is_clean()


def get_json(url: str) -> tuple[int, Any]:
    """Ask for a page, without a look at certificates; return its status, 0 where nobody answers, and its content.

    That is JSON or text.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        unchecked = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=ANSWER_S, context=unchecked
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=ANSWER_S)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        body = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(body) if is_json else body.decode()
    except OSError:
        return 0, None
    finally:
        connection.close()


def _parsed(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) and "event" in parsed else {"event": "?", "text": line}


Replicas = Callable[..., Replica]


def replica_factory(folder: Path) -> Iterator[Replicas]:
    """Return `replicas(redis_url, may_log=(), **environment)`, which starts one; end them all afterwards."""
    started: list[Replica] = []

    def start(redis_url: str, *, may_log: Iterable[str] = (), **environment: str) -> Replica:
        replica = Replica(redis_url, folder / f"replica-{len(started)}.log", environment, may_log=may_log)
        started.append(replica)
        alive.append(replica)
        return replica.start()

    yield start
    troubles = []
    for replica in started:
        try:
            replica.close()
        except AssertionError as error:
            troubles.append(str(error))
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    """Start replicas for one test: `replicas(redis_server.url, GATEWAY_HISTORY_SIZE="10")`."""
    yield from replica_factory(tmp_path)


@pytest.fixture
def new_replica(replicas: Replicas, redis_server: EmbeddedRedis) -> Replicas:
    """Start replicas on the test's own Redis: `new_replica(GATEWAY_HISTORY_SIZE="10")`."""
    return partial(replicas, redis_server.url)


@pytest.fixture(scope="module")
def shared_replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Start replicas for a whole module."""
    yield from replica_factory(tmp_path_factory.mktemp("replicas"))
