"""The examples in gateway/README.md do what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from publisher.events import checking
from tests.api.conftest import KEY
from tests.support.environment import ROOT, clean_environment
from tests.support.replica import Replica
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S


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
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    message, receipt, presence, room, document = map(json.loads, done.stdout.splitlines())
    for each in (message, receipt):
        assert each == {"offset": each["offset"], "duplicate": False, "queued": False}
    assert presence == {"online": []}
    assert [event["offset"] for event in room["events"]] == [message["offset"], receipt["offset"]]
    assert room["offset"] == receipt["offset"]
    checking.check("message:new", json.dumps(room["events"][0]["data"]).encode(), "raise")
    assert document["openapi"].startswith("3.1")
