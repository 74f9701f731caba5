"""The examples in gateway/README.md do what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tests.api.conftest import KEY
from tests.support.environment import ROOT, clean_environment
from tests.support.replica import Replica
from tests.support.tokens import new_id


def test_the_examples_work_as_they_are(replica: Replica, org: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    section = (ROOT / "gateway" / "README.md").read_text().partition("## The HTTP API")[2].partition("\n## ")[0]
    (script,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    names = {"GATEWAY": replica.url, "KEY": KEY, "ORG": org, "CONVERSATION": new_id()}
    done = subprocess.run(
        ["sh", "-e", "-c", script.replace("\ncurl", "\necho; curl").replace("curl ", "curl -sS ")],
        env=clean_environment(**names),
        capture_output=True,
        text=True,
        timeout=20.0,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    receipt, presence, room, document = map(json.loads, done.stdout.splitlines())
    assert receipt == {"offset": receipt["offset"], "duplicate": False, "queued": False}
    assert presence == {"online": []}
    assert [event["offset"] for event in room["events"]] == [room["offset"]] == [receipt["offset"]]
    assert document["openapi"].startswith("3.1")
