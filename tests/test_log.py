"""What strangers say reaches a log as text, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gateway.log import Format, printable
from tests.support.environment import ROOT, clean_environment

HOSTILE = "\x1b[2J\x1b]0;title\x07\nline\u2028\x9b31m"
SAY = "import sys, structlog; from gateway import log; log.configure('info', sys.argv[1]); "
SAY += "structlog.get_logger().warning('socket_denied', event_name=sys.argv[2], code='x')"


def logged(fmt: Format) -> str:
    command = [sys.executable, "-c", SAY, fmt, HOSTILE]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
    return done.stderr


def test_on_a_terminal_control_characters_are_spelt_out() -> None:
    line = logged("pretty")
    assert line.count("\n") == 1
    assert r"\x1b[2J\x1b]0;title\x07\nline\u2028\x9b31m" in line
    assert "\x1b]" not in line


def test_as_json_a_line_is_a_line() -> None:
    (line,) = logged("json").splitlines()
    assert json.loads(line)["event_name"] == HOSTILE


@pytest.mark.parametrize("value", ["plain", "ümläut 漢字", 7, None, ["\x1b"]])
def test_what_is_printable_stays_what_it_is(value: object) -> None:
    assert printable(None, "", {"event": value}) == {"event": value}
