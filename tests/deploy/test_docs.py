"""What the documentation takes from the code is in step with it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from gateway.dev import docs
from gateway.settings import Settings, variable_names

EXAMPLE = docs.ROOT / docs.EXAMPLE


def test_nothing_is_outdated() -> None:
    assert list(docs.outdated()) == [], "run `make docs`"


def test_every_setting_is_in_the_table_with_its_names() -> None:
    table = docs.settings_table()
    assert all(f"`{name}`" in table for name in variable_names())


def test_every_setting_has_a_description() -> None:
    assert [variable.names for variable in docs.variables() if not variable.description] == []


def test_the_example_holds_the_defaults() -> None:
    text = EXAMPLE.read_text().replace("\n# ", "\n")
    shown = {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
    assert set(shown) == {variable.names[0] for variable in docs.variables()} | set(docs.COMPOSE_ONLY)
    given = {variable_names()[name]: value for name, value in shown.items() if name in variable_names()}
    assert Settings(**given, _env_file=None) == Settings(_env_file=None)  # type: ignore[call-arg,arg-type]


def test_the_example_as_it_is_leaves_open_what_has_to_be_filled_in() -> None:
    assert dotenv_values(EXAMPLE) == {"JWT_SECRET_KEY": "", "REDIS_PASSWORD": ""}


def test_a_block_is_made_anew_and_the_rest_is_kept() -> None:
    text = "before\n<!-- codes -->\nold\n<!-- /codes -->\nafter\n"
    filled = docs.fill(text)
    assert filled == f"before\n<!-- codes -->\n{docs.codes_table()}\n<!-- /codes -->\nafter\n"
    assert docs.fill(filled) == filled


def test_a_document_without_markers_is_left_alone() -> None:
    assert docs.fill("nothing\n<!-- log -->\nno end") == "nothing\n<!-- log -->\nno end"


def test_check_fails_while_a_file_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / docs.REFERENCE).write_text("<!-- settings -->\n<!-- /settings -->\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs.outdated, "__defaults__", (tmp_path,))
    assert docs.main(["--check"]) == 1
    assert docs.main(["--write"]) == 0
    assert docs.main(["--check"]) == 0
    assert "GATEWAY_PORT" in (tmp_path / docs.REFERENCE).read_text()
    assert ".env.example" in capsys.readouterr().out
