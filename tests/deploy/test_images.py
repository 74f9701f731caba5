"""Images by digest: written down as the registry says, all or none, and missed where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy import audit, images
from tests.deploy.images import IMAGES, main, unpinned

DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_what_is_written_down_is_pinned(tmp_path: Path) -> None:
    file = tmp_path / "images.env"
    assert unpinned(file) == [*IMAGES.values()]
    assert main(lambda tag: DIGEST, file) == 0
    assert unpinned(file) == []
    assert f"PYTHON_IMAGE={IMAGES['PYTHON_IMAGE']}@{DIGEST}" in file.read_text().splitlines()


@pytest.mark.parametrize(
    "line", ["", "=python:3.13-slim", f"=python:3.12-slim@{DIGEST}", f"=python:3.13-slim@{DIGEST[:-1]}"]
)
def test_another_tag_or_half_a_digest_is_none(tmp_path: Path, line: str) -> None:
    file = tmp_path / "images.env"
    main(lambda tag: DIGEST, file)
    good = f"PYTHON_IMAGE={IMAGES['PYTHON_IMAGE']}@{DIGEST}"
    file.write_text(file.read_text().replace(good, f"PYTHON_IMAGE{line}"))
    assert unpinned(file) == [IMAGES["PYTHON_IMAGE"]]


def test_without_an_answer_for_each_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(tag: str) -> str:
        if tag.startswith("nginx"):
            raise OSError(f"{tag}: no such host")
        return DIGEST

    assert main(ask, tmp_path / "images.env") == 1
    assert not (tmp_path / "images.env").exists()
    assert "nginx:1.30-alpine: no such host" in capsys.readouterr().err


def test_the_audit_says_what_has_no_digest_and_fails_for_it_before_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "images.env"
    monkeypatch.setattr(audit, "audit", lambda lock, service: audit.Verdict(1, [], []))
    monkeypatch.setattr(audit, "unpinned", lambda: unpinned(file))
    assert audit.main([]) == 0
    assert "NOT PINNED" in capsys.readouterr().out
    assert audit.main(["--strict"]) == 1
    images.main(lambda tag: DIGEST, file)
    assert audit.main(["--strict"]) == 0
    assert "NOT PINNED" not in capsys.readouterr().out.splitlines()[-1]
