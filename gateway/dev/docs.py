"""The documentation that is made from the code: `python -m gateway.dev.docs --write`, or `--check`.

It makes `.env.example`, alerts and dashboard in `deploy`, the contract's `asyncapi.json` and the browser client's
`events.ts`; and in `gateway/REFERENCE.md` and the READMEs the text that stands between
`<!-- name -->` and `<!-- /name -->` for each name in `BLOCKS`. It works in a checkout only; a test fails while the
files and the code differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr

from gateway.contract import asyncapi, tables, typescript
from gateway.errors import CODES
from gateway.limits.catalogue import LIMITS
from gateway.log import EVENTS
from gateway.metrics.catalogue import CATALOGUE
from gateway.metrics.monitoring.alert import rules, runbook
from gateway.metrics.monitoring.alerts import ALERTS
from gateway.metrics.monitoring.dashboard import dashboard
from gateway.settings import PREFIX, Settings, variable_names

ROOT = Path(__file__).parents[2]
FRONT = Path("README.md")
README = Path("gateway", "README.md")
REFERENCE = Path("gateway", "REFERENCE.md")
OPERATORS = Path("deploy", "README.md")
RUNBOOK = Path("deploy", "RUNBOOK.md")
PUBLISHER = Path("publisher", "README.md")
EXAMPLE = Path(".env.example")
RULES = Path("deploy", "alerts", "gateway.rules.yaml")
DASHBOARD = Path("deploy", "grafana", "dashboard.json")
ASYNCAPI = Path("gateway", "asyncapi.json")
EVENTS_TS = Path("gateway", "client", "src", "events.ts")

# Variables that only deploy/compose.yaml reads.
COMPOSE_ONLY = {
    "REDIS_PASSWORD": "password of the Redis that compose starts; required, of letters and digits",
}


REQUIRED = ("jwt_secret_key",)


class Variable(NamedTuple):
    """One setting as an environment variable, for the tables."""

    names: tuple[str, ...]
    default: str
    required: bool
    description: str


def variables() -> list[Variable]:
    """Return all settings in the order of the code; names without the prefix come first."""
    names: dict[str, list[str]] = {}
    for name, field in variable_names().items():
        names.setdefault(field, []).append(name)
    found = []
    for field, info in Settings.model_fields.items():
        shared_first = sorted(names[field], key=lambda name: name.startswith(PREFIX))
        default = shown(info.default)
        required = field in REQUIRED
        text = info.description or ""
        found.append(Variable(tuple(shared_first), default, required, text + _choices(info.annotation, text)))
    return found


def shown(value: Any) -> str:
    """Return a default value as text for an environment variable."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return "" if value is None else str(value)


def settings_table() -> str:
    """Return the table of settings in Markdown."""
    rows = []
    for names, default, required, description in variables():
        cell = "" if required or not default else f"`{default}`"
        rows.append((" or ".join(f"`{name}`" for name in names), cell, description))
    return _table(("variable", "default", "what it sets"), rows)


def codes_table() -> str:
    """Return the table of refusals in Markdown."""
    rows = [(f"`{code}`", entry.message, "yes" if entry.retry else "no") for code, entry in CODES.items()]
    return _table(("code", "message", "worth trying again"), rows)


def limits_table() -> str:
    """Return the table of limits in Markdown: the variable, its default, and the answer above the limit."""
    known = {alias: field for alias, field in variable_names().items() if alias.startswith(PREFIX)}
    names = {field: alias for alias, field in known.items()}
    defaults = {name: shown(Settings.model_fields[name].default) for name in Settings.model_fields}
    rows = [(f"`{names[limit.name]}`", f"`{defaults[limit.name]}`", limit.answer) for limit in LIMITS]
    return _table(("limit", "default", "beyond it"), rows)


def log_table() -> str:
    """Return the table of log lines in Markdown."""
    rows = [(f"`{name}`", level, fields) for name, (level, fields) in EVENTS.items()]
    return _table(("line", "level", "fields"), rows)


def metrics_table() -> str:
    """Return the table of metrics in Markdown."""
    rows = [
        (f"`{metric.name}`", metric.kind, f"`{metric.label}`" if metric.label else "", metric.help)
        for metric in CATALOGUE
    ]
    return _table(("metric", "kind", "by", "what"), rows)


def alerts_section() -> str:
    """Return the runbook's section for each alert, in Markdown."""
    return runbook(ALERTS)


def example() -> str:
    """Return `.env.example`: required settings are empty, the others are comments with their default."""
    lines = ["# The settings of the gateway, made from gateway/settings by `make docs`."]
    lines += ["# A variable that is commented out has the default that is shown."]
    for names, default, required, description in variables():
        lines += ["", f"# {description.replace('`', '')}", f"{'' if required else '# '}{names[0]}={default}"]
    lines += ["", "# -- for deploy/compose.yaml alone"]
    for name, description in COMPOSE_ONLY.items():
        lines += ["", f"# {description}", f"{name}="]
    return "\n".join(lines) + "\n"


def published_table() -> str:
    """Return the table of events that backends publish."""
    return _table(tables.PUBLISHED_HEAD, tables.published())


def told_table() -> str:
    """Return the table of events that gateways send on their own."""
    return _table(tables.TOLD_HEAD, tables.told())


def commands_table() -> str:
    """Return the table of events that browsers send."""
    return _table(tables.COMMANDS_HEAD, tables.commands())


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "codes": codes_table,
    "limits": limits_table,
    "log": log_table,
    "metrics": metrics_table,
    "alerts": alerts_section,
    "published": published_table,
    "told": told_table,
    "commands": commands_table,
}


def fill(text: str) -> str:
    """Return a document with the text of its blocks replaced; blocks without markers in it are skipped."""
    for name, make in BLOCKS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if opened and closed:
            text = f"{head}{begin}\n{make()}\n{end}{tail}"
    return text


def outdated(root: Path = ROOT) -> dict[Path, str]:
    """Return the new text of each file that differs from the code."""
    wanted = {EXAMPLE: example(), RULES: rules(ALERTS), DASHBOARD: dashboard()}
    wanted |= {ASYNCAPI: asyncapi.encoded().decode(), EVENTS_TS: typescript.events_ts()}
    wanted |= {
        path: fill(_read(root / path)) for path in (FRONT, README, REFERENCE, OPERATORS, RUNBOOK, PUBLISHER)
    }
    return {path: text for path, text in wanted.items() if _read(root / path) != text}


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or print those that differ; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.dev.docs", description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true", help="write the files")
    group.add_argument("--check", action="store_true", help="fail when they differ from the code")
    write = parser.parse_args(arguments).write
    stale = outdated()
    for path, text in stale.items():
        if write:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
        print(f"{'written' if write else 'differs from the code: run `make docs`'}: {path}")
    return 0 if write or not stale else 1


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _choices(annotation: Any, description: str) -> str:
    """Return a text with the allowed values of a setting; empty if its description names them all."""
    words = get_args(annotation) if get_origin(annotation) is Literal else ()
    if all(word in description for word in words):
        return ""
    quoted = [f"`{word}`" for word in words]
    return f"; {', '.join(quoted[:-1])} or {quoted[-1]}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
