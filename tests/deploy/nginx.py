"""The real nginx, with the configuration of deploy/nginx."""

from __future__ import annotations

import os
import re
from typing import ClassVar

from tests.deploy.proxy import Changes, Proxy
from tests.support.environment import ROOT, finished

SOURCE = ROOT / "deploy" / "nginx"
REPLICAS = "gateway/replicas.conf"
# The line that the file itself gives for a replica with an address.
(REPLICA,) = re.findall(r"^#\s+(server .+;\n)", (SOURCE / REPLICAS).read_text(), re.M)
# pytest's folders are closed to the user that nginx's workers become when root starts it.
AS_ROOT = "user root;" if os.geteuid() == 0 else ""
# Prose has one blank after the #; what can be switched on has none, or its indentation.
SWITCHES = re.findall(r"^ *#(?:    )*\S.*$", (SOURCE / "nginx.conf").read_text(), re.M)


class Nginx(Proxy):
    """One nginx."""

    switches = SWITCHES
    name = "nginx"
    package = "apt-get install nginx"
    short: ClassVar[Changes] = {f"proxy_{one}_timeout 75s": f"proxy_{one}_timeout 1s" for one in ("read", "send")}

    def _places(self) -> Changes:
        return {
            "/tmp/": f"{self.folder}/",
            "listen 8080": f"listen 127.0.0.1:{self.port}",
            "listen 8443": f"listen 127.0.0.1:{self.tls_port}",
            "127.0.0.1:8081": f"127.0.0.1:{self.alive_port}",
            "/etc/nginx/certs": str(self.folder),
            "/dev/stdout": str(self.folder / "access.log"),
        }

    def _name_replicas(self, ports: list[int]) -> None:
        lines = (REPLICA.replace("10.0.0.11:8080", f"127.0.0.1:{port}") for port in ports)
        (self.folder / REPLICAS).write_text("".join(lines))

    def access_log(self) -> str:
        """Return its lines about requests."""
        return (self.folder / "access.log").read_text()

    def command(self, *options: str) -> list[str]:
        """Return the command line that runs it."""
        config = str(self.folder / "nginx.conf")
        return [self.find(), "-p", str(self.folder), "-c", config, "-g", f"daemon off;{AS_ROOT}", *options]

    def check(self) -> tuple[int, str]:
        """Run `nginx -t`; return its status and what it prints."""
        done = finished(self.command("-t"))
        return done.returncode, done.stderr
