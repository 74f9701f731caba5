"""The package as it is published: what is in it, how large it is, and what compiles against it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.client.conftest import API_KEY, CLIENT, Package
from tests.support.environment import ROOT
from tests.support.replica import Replica
from tests.support.tokens import SECRET

TYPES = Path(__file__).with_name("types")


@pytest.fixture(scope="module")
def tarball(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, packed."""
    folder = tmp_path_factory.mktemp("packed")
    (packed,) = json.loads(package.npm("pack", "--json", "--pack-destination", str(folder)))
    return folder / str(packed["filename"])


@pytest.fixture(scope="module")
def consumer(tarball: Path) -> Path:
    """A project that has the package installed."""
    folder = tarball.parent / "consumer"
    modules = folder / "node_modules"
    modules.mkdir(parents=True)
    for installed in (CLIENT / "node_modules").iterdir():
        (modules / installed.name).symlink_to(installed)
    subprocess.run(["tar", "-xzf", str(tarball), "-C", str(modules)], check=True)
    (modules / "package").rename(modules / "pytake-realtime-client")
    (folder / "package.json").write_text('{"type": "module"}')
    for source in TYPES.iterdir():
        (folder / source.name).write_text(source.read_text())
    return folder


def compiled(package: Package, source: Path, resolution: str) -> tuple[int, list[tuple[str, int]]]:
    """Compile one file strictly; return the status, and of each error the file's name and the line."""
    module = {"bundler": "esnext", "nodenext": "nodenext"}[resolution]
    options = {"noEmit": True, "strict": True, "target": "es2022", "lib": ["es2022", "dom"], "types": []}
    options |= {"module": module, "moduleResolution": resolution}
    project = source.with_name("tsconfig.json")
    project.write_text(json.dumps({"compilerOptions": options, "files": [source.name]}))
    done = package.run("tsc", "--project", str(project))
    found = re.findall(r"^(\S+)\((\d+),\d+\): error", done.stdout, re.MULTILINE)
    return done.returncode, [(Path(name).name, int(line)) for name, line in found]


def test_its_own_tests_pass(package: Package, replica: Replica, tmp_path: Path) -> None:
    gateway = {"GATEWAY_URL": replica.url, "GATEWAY_API_KEY": API_KEY, "JWT_SECRET_KEY": SECRET}
    report = tmp_path / "report.json"
    reporters = ("--reporter=default", "--reporter=json", f"--outputFile={report}")
    done = package.run("vitest", "run", *reporters, **gateway)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(report.read_text())
    assert result["numPassedTests"] == result["numTotalTests"] > 20


def test_its_sources_have_strict_types(package: Package) -> None:
    done = package.run("tsc", "--noEmit")
    assert done.returncode == 0, done.stdout


def test_it_keeps_to_its_size(package: Package) -> None:
    done = package.run("size.mjs")
    assert done.returncode == 0, done.stdout
    assert len(re.findall(r"\d+ of \d+ bytes", done.stdout)) == 2


def test_what_is_published_is_what_a_page_needs(tarball: Path) -> None:
    with tarfile.open(tarball) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}
    assert {"package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "dist/react.js"} <= names
    others = {name for name in names if not re.fullmatch(r"dist/\w+(\.js|\.d\.ts)", name)}
    assert others == {"package.json", "README.md", "LICENSE"}


def test_publint_and_attw_find_nothing(package: Package, tarball: Path) -> None:
    publint, attw = ("publint", "run", "--strict"), ("attw", "--profile", "esm-only", "--no-emoji")
    for command in ((*publint, str(tarball)), (*attw, str(tarball))):
        done = package.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("resolution", ["bundler", "nodenext"])
@pytest.mark.parametrize("page", ["correct.ts", "plain.ts"])
def test_pages_that_use_it_rightly_compile(package: Package, consumer: Path, page: str, resolution: str) -> None:
    assert compiled(package, consumer / page, resolution) == (0, [])


@pytest.mark.parametrize("page", ["misspelt.ts", "misspelt_events.ts"])
def test_each_misspelling_fails_to_compile(package: Package, consumer: Path, page: str) -> None:
    source = consumer / page
    lines = source.read_text().splitlines()
    mistakes = [(page, n) for n, line in enumerate(lines, 1) if line.startswith(("client.", "socket."))]
    assert len(mistakes) > 5
    status, errors = compiled(package, source, "bundler")
    assert status != 0
    assert errors == mistakes


def test_the_wheel_has_nothing_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60.0)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert "gateway/app/replica.py" in names
    assert [name for name in names if name.startswith("gateway/client/")] == []
