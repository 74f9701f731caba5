"""Is a pinned version known to be vulnerable? `make audit` asks pip-audit about every lock file.

It ends with 1 where one is. A version about which nobody could be asked, as without a network, is said and is
no failure, except with --strict. So is an image that is named by its tag alone. What can be known without a
network is tested: `tests/deploy/test_supply_chain.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy.images import unpinned
from tests.support.environment import ROOT, finished

LOCKS = (*sorted((ROOT / "deploy").glob("*.lock")), ROOT / "tests/requirements.lock")
TIMEOUT_S = 15
SERVICES = ("pypi", "osv")


class Verdict(NamedTuple):
    """What is known about one lock file."""

    audited: int
    unknown: list[str]
    """Versions about which nobody could be asked."""
    vulnerable: list[str]
    """A line for each advisory."""


def judge(report: dict[str, Any]) -> Verdict:
    """Read pip-audit's JSON. What it could not look up it leaves out of its own verdict, silently."""
    packages = report["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    return Verdict(
        len(audited),
        [package["name"] for package in packages if "skip_reason" in package],
        [
            f"{package['name']} {package['version']}: {advisory['id']}, fixed in "
            f"{', '.join(advisory['fix_versions']) or 'no version yet'}"
            for package in audited
            for advisory in package["vulns"]
        ],
    )


def audit(lock: Path, service: str) -> Verdict | None:
    """Audit one lock file by its pins alone, installing nothing; None where the service can't be reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", service, "--timeout", str(TIMEOUT_S)]
    done = finished([*command, "--progress-spinner", "off", "--format", "json"])
    # It ends with 1 for a vulnerability, which it tells, and for any error, of which it tells a traceback.
    return judge(json.loads(done.stdout)) if done.stdout.startswith("{") else None


def say(lock: Path, verdict: Verdict | None) -> None:
    """Print what is known about one lock file."""
    name = lock.relative_to(ROOT)
    if verdict is None or not verdict.audited:
        print(f"{name}: NOT AUDITED, the list of advisories can't be reached")
        return
    print(f"{name}: {verdict.audited} versions audited, {len(verdict.vulnerable)} advisories")
    if verdict.unknown:
        print(f"  NOT AUDITED, unknown to the list of advisories: {', '.join(verdict.unknown)}")
    for line in verdict.vulnerable:
        print(f"  {line}")


def main(words: list[str] | None = None) -> int:
    """Audit every lock file, and look for images without a digest; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail for what could not be audited, too")
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0], help="whose list of advisories")
    arguments = parser.parse_args(words)
    verdicts = {lock: audit(lock, arguments.service) for lock in LOCKS}
    for lock, verdict in verdicts.items():
        say(lock, verdict)
    if tags := unpinned():
        print(f"NOT PINNED by digest: {', '.join(tags)}; `make images` asks for them")
    complete = not tags and all(verdict is not None and not verdict.unknown for verdict in verdicts.values())
    vulnerable = any(verdict is not None and verdict.vulnerable for verdict in verdicts.values())
    return int(vulnerable or (arguments.strict and not complete))


if __name__ == "__main__":
    sys.exit(main())
