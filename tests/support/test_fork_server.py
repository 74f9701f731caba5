"""A forked process is like one that was started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fork_server
from tests.support.environment import clean_environment
from tests.support.waiting import PATIENCE_S

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


@linux
def test_it_has_the_environment_and_the_folder_that_it_was_given(tmp_path: Path) -> None:
    env = clean_environment(JWT_SECRET_KEY="short", GATEWAY_PORT="not a port")
    done = fork_server.finished("gateway", ["serve"], env=env, cwd=tmp_path, within_s=PATIENCE_S)
    anew = subprocess.run(
        [sys.executable, "-m", "gateway", "serve"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (anew.returncode, anew.stdout, anew.stderr)
    assert done.returncode == 2


@linux
def test_its_end_is_told_with_its_status_and_once(tmp_path: Path) -> None:
    args = ["async", "redis://127.0.0.1:1", "{}"]
    process = fork_server.Forked("tests.support.publisher_process", args, env=clean_environment(), cwd=tmp_path)
    assert process.pid != os.getpid()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE_S) == process.poll() == -signal.SIGKILL
    process.kill()  # of which nobody is left
    assert not Path(f"/proc/{process.pid}").exists()
    for file in (process.stdin, process.stdout):
        assert file is not None
        file.close()


def test_what_changes_the_interpreter_is_started_anew() -> None:
    assert not fork_server.may_fork(clean_environment(PYTHONPATH="/elsewhere"))
    assert not fork_server.may_fork(clean_environment(PYTHONASYNCIODEBUG="1"))
    assert fork_server.may_fork(clean_environment(GATEWAY_PORT="1")) == (sys.platform == "linux")
