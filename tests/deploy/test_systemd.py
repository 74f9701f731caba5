"""The unit: systemd understands it, it is locked in, and what it says of the gateway is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import cli
from gateway.settings import Settings, variable_names
from tests.support.environment import ROOT, finished

UNIT = ROOT / "deploy" / "systemd" / "gateway@.service"
TEXT = UNIT.read_text()


def value(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", TEXT, re.M)
    return str(found)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: `apt-get install systemd`")
    return finished(["systemd-analyze", "--no-pager", *arguments], timeout=60.0)


@pytest.fixture(params=["serve", "relay"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit of one command, as if the gateway were installed where it says."""
    unit = tmp_path / UNIT.name.replace("@", f"@{request.param}")
    unit.write_text(TEXT.replace("/opt/gateway/bin", str(Path(sys.executable).parent)))
    return unit


def test_systemd_understands_every_line(installed: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", "--man=no", str(installed))
    assert done.returncode == 0, done.stderr
    assert installed.name not in done.stderr


def test_it_is_exposed_to_next_to_nothing(installed: Path) -> None:
    # Tenths of systemd's own figure: 0 is safe, 100 is not.
    done = analyze("security", "--offline=true", "--threshold=20", str(installed))
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_the_commands_that_it_is_for_exist() -> None:
    assert value("ExecStart").endswith("/gateway %i")
    assert {"serve", "relay"} <= set(cli.commands)


def test_it_is_given_the_time_that_it_takes_to_drain() -> None:
    assert float(value("TimeoutStopSec")) > Settings.model_fields["shutdown_grace_s"].default
    # With `control-group` the workers would get SIGTERM from systemd and from their parent.
    assert value("KillMode") == "mixed"


def test_every_variable_that_it_names_is_a_setting() -> None:
    named = set(re.findall(r"\b((?:GATEWAY|JWT|REDIS)_[A-Z_]+)", TEXT))
    assert "JWT_SECRET_KEY" in named
    assert named <= set(variable_names())


def test_it_may_open_as_many_files_as_it_is_for() -> None:
    assert int(value("LimitNOFILE")) >= 65536
