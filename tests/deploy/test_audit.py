"""`make audit` reads pip-audit right: what it found, and what it could not look up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.audit import LOCKS, judge, say

CLEAN = {"name": "redis", "version": "8.1.0", "vulns": []}
SKIPPED = {"name": "msgspec", "skip_reason": "Dependency not found on PyPI and could not be audited"}
ADVISORY = {"id": "PYSEC-2020-1", "fix_versions": ["3.9"], "aliases": [], "description": ""}
VULNERABLE = {"name": "aiohttp", "version": "3.8", "vulns": [ADVISORY, ADVISORY | {"fix_versions": []}]}


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


def test_every_advisory_is_a_line_with_the_version_to_go_to() -> None:
    assert judge(report(CLEAN, VULNERABLE)).vulnerable == [
        "aiohttp 3.8: PYSEC-2020-1, fixed in 3.9",
        "aiohttp 3.8: PYSEC-2020-1, fixed in no version yet",
    ]


def test_what_nobody_could_be_asked_about_is_not_called_clean(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = judge(report(CLEAN, SKIPPED))
    assert (verdict.audited, verdict.unknown) == (1, ["msgspec"])
    say(LOCKS[0], verdict)
    assert "NOT AUDITED, unknown to the list of advisories: msgspec" in capsys.readouterr().out


@pytest.mark.parametrize("verdict", [None, judge(report(SKIPPED, SKIPPED))], ids=["no answer", "nothing known"])
def test_without_a_network_it_says_so(capsys: pytest.CaptureFixture[str], verdict: Any) -> None:
    say(LOCKS[0], verdict)
    assert "NOT AUDITED, the list of advisories can't be reached" in capsys.readouterr().out


def test_every_lock_file_is_audited() -> None:
    names = sorted(lock.name for lock in LOCKS)
    assert names == ["checkout.lock", "relay.lock", "requirements.lock", "requirements.lock", "tracing.lock"]
