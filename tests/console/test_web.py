"""The page's sources: their types hold, what they compute is right, and both languages say everything."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gateway.console.build import WEB
from tests.support import node
from tests.support.environment import finished

OLDEST = 20
"""Of Node, as for the build."""
TIME_S = 100.0


@pytest.fixture(scope="module")
def program() -> Path:
    """Node, with the page's packages installed; skipped where npm's can't be had."""
    with node.needed("the console"):
        return node.installed(WEB, OLDEST)


def run(program: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the page's packages."""
    command = [str(program), str(WEB / "node_modules" / tool), *arguments]
    return finished(command, cwd=WEB, env=os.environ | {"NO_COLOR": "1"}, timeout=TIME_S)


def test_the_types_hold(program: Path) -> None:
    done = run(program, "typescript/bin/tsc", "--noEmit")
    assert done.returncode == 0, done.stdout


def test_what_it_computes_is_right(program: Path) -> None:
    done = run(program, "vitest/vitest.mjs", "run")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("portuguese", "compiles"),
    [
        ('{ title: "Olá", more: { one: "um" } }', True),
        ('{ title: "Olá", more: {} }', False),
        ('{ title: "Olá", more: { one: "um", two: "dois" } }', False),
    ],
    ids=["complete", "missing", "too many"],
)
def test_a_text_that_one_language_lacks_does_not_compile(
    program: Path, tmp_path: Path, portuguese: str, compiles: bool
) -> None:
    words = WEB / "src" / "i18n" / "words"
    (tmp_path / "text.ts").write_text(
        f'import type {{ Words }} from "{words}";\n'
        'const en = { title: "Hello", more: { one: "one" } };\n'
        f"export const pt: Words<typeof en> = {portuguese};\n"
    )
    options = {"extends": str(WEB / "tsconfig.json"), "include": ["text.ts"], "compilerOptions": {"types": []}}
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    done = run(program, "typescript/bin/tsc", "--noEmit", "--project", str(tmp_path))
    assert (done.returncode == 0) is compiles, done.stdout
