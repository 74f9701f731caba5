"""Plain words: forms that a stranger stumbles over are found nowhere in the product."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.metrics.catalogue import CATALOGUE
from gateway.metrics.monitoring.alerts import ALERTS
from gateway.settings import Settings
from tests.support.environment import ROOT

# Where a sentence has no subject of its own.
HEADLESS = (
    r"(it|its|they|them|their|this|that|these|those"
    r"|what|who|whom|whose|whoever|whatever|how|where|when|whether|which)\b"
)
# At the beginning of a docstring.
OPENINGS = (rf"(?i)\A{HEADLESS}", r"\AGives? (?!up\b)", r"\ATell whether ")
# Anywhere in docstrings and comments.
FORMS = (
    r"; (and )?gives? (?!up\b)",
    r"\bis none any more\b",
    r"\bthat of which\b",
    r"(?i)\b(anew|in vain|goes again|held to|whoever|whatever|likewise|at the most|just now)\b",
    r"(?i)\b(goes?|went) (on|by)\b",
    r"(?i)\b(comes?|came) (again|behind|about|of)\b",
    r"(?i)\b(sees? off|seen off|takes? (it )?up|let(s|ting)? go|put out)\b",
    r"(?i)\breturns? (what|who|whom|where|how|why)\b",
    r"(?i)\bwhere (there|it|one|that|nobody|somebody) (is|are|has)\b",
    r"(?i)\b(any|no) more\b(?! than)",
    r"\bof which\b",
    r"(?i)\bstops? to\b",
)
LUA_COMMENT = re.compile(r"--+ ?(.*)")
Text = tuple[str, str]


def sources(ending: str) -> list[Path]:
    folders = (ROOT / "gateway", ROOT / "publisher")
    found = sorted(path for folder in folders for path in folder.rglob(f"*{ending}"))
    return [path for path in found if "node_modules" not in path.parts]


def parsed(path: Path) -> Iterator[Text]:
    """Docstrings of modules, classes and functions, and where each is."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@cache
def docstrings() -> tuple[Text, ...]:
    return tuple(text for path in sources(".py") for text in parsed(path))


@cache
def comments() -> tuple[Text, ...]:
    """Comments, those of Lua as well, and docstrings of attributes."""
    found: list[Text] = []
    for path in sources(".py"):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            is_text = token.type == tokenize.STRING and token.line.lstrip().startswith('"""')
            if token.type == tokenize.COMMENT or is_text:
                found.append((f"{path.relative_to(ROOT)}:{token.start[0]}", token.string))
    for path in sources(".lua"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if match := LUA_COMMENT.search(line):
                found.append((f"{path.relative_to(ROOT)}:{number}", match[1]))
    return tuple(found)


@pytest.mark.parametrize("form", OPENINGS)
def test_no_docstring_opens_so(form: str) -> None:
    assert [f"{where}: {text[:60]}" for where, text in docstrings() if re.search(form, text)] == []


@pytest.mark.parametrize("form", FORMS)
def test_no_text_has_the_form(form: str) -> None:
    assert [f"{where}: {text[:100]}" for where, text in comments() if re.search(form, text)] == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_description_of_a_setting_stands_alone(name: str) -> None:
    stands_alone(Settings.model_fields[name].description or "")


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_the_help_of_a_metric_stands_alone(metric: object) -> None:
    stands_alone(getattr(metric, "help"))  # noqa: B009  # ids need the plain tuple


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_summary_of_an_alert_stands_alone(alert: object) -> None:
    stands_alone(getattr(alert, "summary"))  # noqa: B009  # likewise


def stands_alone(text: str) -> None:
    assert len(text) > 10
    assert not re.match(HEADLESS, text, re.IGNORECASE), text
    assert not any(re.search(form, text) for form in FORMS), text
