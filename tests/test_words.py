"""Plain words: forms that a stranger stumbles over are counted, and the counts only go down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from gateway.metrics.catalogue import CATALOGUE
from gateway.settings import Settings
from tests.support.environment import ROOT

# Where a sentence has no subject of its own.
HEADLESS = (
    r"(it|its|they|them|their|this|that|these|those"
    r"|what|who|whom|whose|whoever|whatever|how|where|when|whether|which)\b"
)
# In docstrings of the product, with as many as there may be; a number that has become smaller is put here.
FORMS = {
    r"\AGives? (?!up\b|the connection\b|channels up|a socket the session)": 0,
    r"\ATell whether ": 0,
    r"; (and )?gives? (?!up\b)": 0,
    r"\bis none any more\b": 0,
    r"\bthat of which\b": 0,
    rf"(?i)\A{HEADLESS}": 0,
}


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the product, and where it is."""
    for folder in ("gateway", "publisher"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node)
                    if text:
                        yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_reads_badly_is_not_used_more_often(form: str) -> None:
    found = [f"{where}: {text.partition(chr(10))[0]}" for where, text in docstrings() if re.search(form, text)]
    assert len(found) == FORMS[form], "\n".join(found)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_description_of_a_setting_stands_alone(name: str) -> None:
    description = Settings.model_fields[name].description or ""
    assert len(description) > 10
    assert not re.match(HEADLESS, description, re.IGNORECASE), description


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_the_help_of_a_metric_stands_alone(metric: object) -> None:
    text = getattr(metric, "help")  # noqa: B009  # ids need the plain tuple
    assert len(text) > 7
    assert not re.match(HEADLESS, text, re.IGNORECASE), text
