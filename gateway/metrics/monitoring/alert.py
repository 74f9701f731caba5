"""An alert, and its two written forms: a rule for Prometheus and a section of the runbook."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal, NamedTuple

RUNBOOK = "deploy/RUNBOOK.md"
HEADER = "# Rules for Prometheus, made from gateway/metrics/monitoring/alerts.py by `make docs`.\n"


class Alert(NamedTuple):
    """One alert. `critical` is for trouble that loses events or keeps users out: it should wake somebody up."""

    name: str
    severity: Literal["critical", "warning"]
    expr: str
    wait: str
    """Time for which `expr` must be true: Prometheus' `for`."""
    why_wait: str
    """Reason for this time and this threshold."""
    summary: str
    """One line that says what happened, with Prometheus' templates."""
    means: str
    """What happens in the gateway, and what users notice."""
    do: str
    """Steps to take, for the most likely cause first."""

    @property
    def runbook(self) -> str:
        """Return the link to the alert's section in the runbook."""
        return f"{RUNBOOK}#{self.name.lower()}"


def rules(alerts: Iterable[Alert]) -> str:
    """Return the file of rules, in YAML. Strings are written as JSON, which is valid YAML."""
    lines = [HEADER.rstrip("\n"), "groups:", "  - name: gateway", "    rules:"]
    for alert in alerts:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.expr)}",
            f"        for: {alert.wait}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          description: {json.dumps(alert.means)}",
            f"          runbook_url: {alert.runbook}",
        ]
    return "\n".join(lines) + "\n"


def runbook(alerts: Iterable[Alert]) -> str:
    """Return the runbook's section in Markdown."""
    return "\n\n".join(
        f"### {alert.name}\n\n"
        f"*{alert.severity}, after {alert.wait}*: `{alert.expr}`\n\n"
        f"{alert.means}\n\n**Do:** {alert.do}\n\n{alert.why_wait}"
        for alert in alerts
    )
