"""The real nginx, with the configuration of deploy/nginx: only ports, paths and replicas are put in."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.embedded import free_port
from tests.support.environment import ROOT
from tests.support.waiting import PATIENCE_S, until_sync

SOURCE = ROOT / "deploy" / "nginx"
REPLICAS = "gateway/replicas.conf"
# The line that the file itself gives for a replica with an address.
(REPLICA,) = re.findall(r"^#\s+(server .+;\n)", (SOURCE / REPLICAS).read_text(), re.M)
# pytest's folders are closed to the user that nginx's workers become when root starts it.
AS_ROOT = "user root;" if os.geteuid() == 0 else ""


def find_nginx() -> str:
    """Give the path of nginx, or skip the test where there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("nginx is not installed: `apt-get install nginx`")
    return found


class Nginx:
    """One nginx in front of `ports` of 127.0.0.1. `changes` are put into its configuration, old to new."""

    def __init__(self, folder: Path, ports: Iterable[int], changes: Mapping[str, str]) -> None:
        self.folder = folder
        self.port, self.tls_port, self.alive_port = free_port(), free_port(), free_port()
        places = {
            "/tmp/": f"{folder}/",
            "listen 8080": f"listen 127.0.0.1:{self.port}",
            "listen 8443": f"listen 127.0.0.1:{self.tls_port}",
            "127.0.0.1:8081": f"127.0.0.1:{self.alive_port}",
            "/etc/nginx/certs": str(folder),
            "/dev/stdout": str(folder / "access.log"),
        }
        self._copy({**changes, **places})
        lines = (REPLICA.replace("10.0.0.11:8080", f"127.0.0.1:{port}") for port in ports)
        (folder / REPLICAS).write_text("".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    def _copy(self, changes: Mapping[str, str]) -> None:
        unused = set(changes)
        for source in SOURCE.rglob("*.conf"):
            text = source.read_text()
            for old, new in changes.items():
                if old in text:
                    unused.discard(old)
                    text = text.replace(old, new)
            copy = self.folder / source.relative_to(SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        assert not unused, f"deploy/nginx has no {unused}"

    @property
    def url(self) -> str:
        """Where browsers connect to."""
        return f"http://127.0.0.1:{self.port}"

    def access_log(self) -> str:
        """Give its lines about requests."""
        return (self.folder / "access.log").read_text()

    def error_log(self) -> str:
        """Give what else it has to say."""
        return (self.folder / "error.log").read_text()

    def command(self, *options: str) -> list[str]:
        """Give the command line that runs it."""
        config = str(self.folder / "nginx.conf")
        return [find_nginx(), "-p", str(self.folder), "-c", config, "-g", f"daemon off;{AS_ROOT}", *options]

    def check(self) -> tuple[int, str]:
        """Run `nginx -t`; gives its status and what it prints."""
        done = subprocess.run(self.command("-t"), capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    def start(self) -> Nginx:
        """Start it and wait until it answers."""
        with (self.folder / "error.log").open("wb") as output:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stderr=output)
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, self.error_log()
            return ask(f"{self.url}/")[0] != 0

        until_sync(answers, what="nginx to answer")
        return self

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)


def ask(
    url: str,
    *,
    method: str = "GET",
    source: str = "127.0.0.1",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Send one request from the address `source`; gives status and body, 0 where nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_S, source_address=(source, 0))
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


Proxies = Callable[..., Nginx]


@pytest.fixture
def make_nginx(tmp_path: Path) -> Callable[..., Nginx]:
    """Make an nginx without starting it: `make_nginx([port, …], {"75s": "1s"})`."""

    def make(ports: Iterable[int], changes: Mapping[str, str] | None = None) -> Nginx:
        find_nginx()
        return Nginx(tmp_path / "nginx", ports, changes or {})

    return make


@pytest.fixture
def proxies(make_nginx: Callable[..., Nginx]) -> Iterator[Proxies]:
    """Start an nginx, as `make_nginx` makes it."""
    started: list[Nginx] = []

    def start(ports: Iterable[int], changes: Mapping[str, str] | None = None) -> Nginx:
        started.append(make_nginx(ports, changes))
        return started[-1].start()

    yield start
    for nginx in started:
        nginx.stop()
