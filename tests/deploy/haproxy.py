"""The real HAProxy, with the configuration of deploy/haproxy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from tests.deploy.proxy import Changes, Proxy
from tests.support.environment import ROOT, finished

FILE = "haproxy.cfg"
SWITCHES = re.findall(r"^ *#bind .+$", (ROOT / "deploy/haproxy" / FILE).read_text(), re.M)
assert len(SWITCHES) == 1


class Haproxy(Proxy):
    """One HAProxy."""

    switches = SWITCHES
    name = "haproxy"
    package = "apt-get install haproxy"
    short: ClassVar[Changes] = {
        f"timeout {one} 75s": f"timeout {one} 1s" for one in ("client", "server", "tunnel")
    }

    def _places(self) -> Changes:
        return {
            "bind :8080": f"bind 127.0.0.1:{self.port}",
            "bind :8443": f"bind 127.0.0.1:{self.tls_port}",
            "/etc/haproxy/certs": str(self.folder),
            # As many as the tests need, on machines with a low limit of open files.
            "maxconn 65536": "maxconn 200",
        }

    def _name_replicas(self, ports: list[int]) -> None:
        file = self.folder / FILE
        text, named = re.subn(r"^    server .+\n", "", file.read_text(), flags=re.M)
        assert named == 3
        file.write_text(text + "".join(f"    server r{port} 127.0.0.1:{port}\n" for port in ports))

    def place_certificate(self, cert: Path, key: Path) -> None:
        """Put a certificate where the configuration looks for one."""
        (self.folder / "site.pem").write_bytes(cert.read_bytes() + key.read_bytes())

    def command(self, *options: str) -> list[str]:
        """Return the command line that runs it."""
        return [self.find(), "-f", str(self.folder / FILE), "-db", *options]

    def check(self) -> tuple[int, str]:
        """Run `haproxy -c`; return its status and what it prints, warnings included."""
        done = finished(self.command("-c", "-dW"))
        return done.returncode, done.stdout + done.stderr
