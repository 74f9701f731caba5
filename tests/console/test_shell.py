"""The page's files: nothing but them, under a strict policy, and kept where their names say what they hold."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.console.shell import INDEX, Shell, policy
from tests.console.conftest import Reader

PAGE = "<!doctype html><p>page"
SCRIPT = "console.log('Olá')"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder as the build leaves it, beside a file that is none of it."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / INDEX).write_text(PAGE)
    (folder / "assets" / "page-Ab12.js").write_text(SCRIPT)
    (folder / "assets" / "page-Ab12.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """Serve the files of a folder; return the address."""
    shell = Shell(folder)

    async def answer(request: web.Request) -> web.Response:
        return shell.answer(request, request.match_info["name"] or INDEX)

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest_asyncio.fixture
async def url(dist: Path) -> AsyncIterator[str]:
    """Where the build's files are served."""
    async with served(dist) as url:
        yield url


async def test_the_page_is_asked_for_each_time_and_what_it_names_never_again(reader: Reader, url: str) -> None:
    page = await reader.get(url)
    assert (page.status, page.text, page.headers["Cache-Control"]) == (200, PAGE, "no-cache")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    script = await reader.get(f"{url}assets/page-Ab12.js", Accept_Encoding="identity")
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (script.text, script.headers["Content-Type"]) == (SCRIPT, "text/javascript; charset=utf-8")


async def test_a_page_that_is_known_is_not_sent_again(reader: Reader, url: str) -> None:
    etag = (await reader.get(url)).headers["ETag"]
    again = await reader.get(url, If_None_Match=etag)
    assert (again.status, again.text) == (304, "")
    assert (await reader.get(url, If_None_Match='"other"')).status == 200


async def test_who_takes_gzip_gets_what_the_build_compressed(reader: Reader, url: str) -> None:
    packed = await reader.get(f"{url}assets/page-Ab12.js", Accept_Encoding="gzip, br")
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert packed.text == SCRIPT
    assert "Content-Encoding" not in (await reader.get(url, Accept_Encoding="gzip")).headers


async def test_head_says_what_get_would(reader: Reader, url: str) -> None:
    head, get = await reader.request("HEAD", url), await reader.get(url)
    assert (head.status, head.text) == (200, "")
    assert head.headers["ETag"] == get.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(PAGE))


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "assets/../../secret.txt"),
        *("/etc/passwd", "assets", "%00"),
    ],
)
async def test_nothing_beside_the_folder_is_served(reader: Reader, url: str, name: str) -> None:
    answer = await reader.get(url + name)
    assert answer.status == 404
    assert "secret" not in answer.text


async def test_compressed_copies_have_no_address_of_their_own(reader: Reader, url: str) -> None:
    assert (await reader.get(f"{url}assets/page-Ab12.js.gz")).status == 404


async def test_every_answer_forbids_what_the_page_does_not_need(reader: Reader, url: str) -> None:
    for path in ("", "assets/page-Ab12.js", "nothing"):
        headers = (await reader.get(url + path)).headers
        allowed = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert allowed["default-src"] == allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
        assert allowed["script-src"] == allowed["style-src"] == allowed["font-src"] == "'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("host", ["localhost:8080", "gateway.example.com", "[::1]:8080"])
def test_the_page_may_open_sockets_to_its_own_host(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host}; " in policy(host)


@pytest.mark.parametrize("host", ["", "x; script-src *", "a b", "x:y", "*", "x:1/", "évil"])
def test_a_host_that_is_none_gets_nothing_into_the_policy(host: str) -> None:
    assert "connect-src 'self'; " in policy(host)


async def test_a_checkout_that_was_not_built_says_how_and_works_once_it_is(
    reader: Reader, dist: Path, tmp_path: Path
) -> None:
    async with served(tmp_path / "missing") as where:
        missing = await reader.get(where)
        assert missing.status == 503
        assert "make console" in missing.text
        assert missing.headers["Content-Type"].startswith("text/html")
        dist.rename(tmp_path / "missing")
        assert (await reader.get(where)).text == PAGE
