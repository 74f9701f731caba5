"""Who gets what at /console: with API keys in `gateway serve`, on this machine in `gateway dev`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.console.conftest import KEY, ON, Reader
from tests.support.command_line import running
from tests.support.replica import Replica, Replicas

DATA = ["/console/api/session", "/console/api/overview", "/console/api/tail", "/console/api/nothing"]


async def test_without_api_keys_there_is_no_console(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    bare = replicas(redis_server.url)
    for path in ("/console", "/console/", *DATA):
        assert (await reader.get(bare.url + path)).status == 404
    assert (await reader.post(f"{bare.url}/console/api/tokens", {})).status == 404


async def test_the_page_itself_is_for_everybody(reader: Reader, replica: Replica) -> None:
    for path in ("/console", "/console/"):
        answer = await reader.get(replica.url + path, key=None)
        # 503 says that this checkout was not built, under the same headers.
        assert answer.status in (200, 503)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert (await reader.get(f"{replica.url}/console/assets/none.js", key=None)).status in (404, 503)


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize("key", [None, "", "wrong-key-0123456789", KEY[:-1]])
async def test_whatever_says_something_needs_a_key(
    reader: Reader, replica: Replica, path: str, key: str | None
) -> None:
    answer = await reader.get(replica.url + path, key=key)
    assert (answer.status, answer.body["code"]) == (401, "unauthorized")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_key_opens_it(reader: Reader, replica: Replica) -> None:
    answer = await reader.get(f"{replica.url}/console/api/session")
    assert answer.status == 200
    assert (answer.body["mode"], answer.body["key"]) == ("serve", None)
    assert answer.body["version"]
    assert (await reader.get(f"{replica.url}/console/api/nothing")).body["code"] == "not_found"
    assert (await reader.post(f"{replica.url}/console/api/session", {})).status == 405


async def test_the_page_is_told_whether_it_may_open_sockets(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    url = replicas(redis_server.url, GATEWAY_CORS_ORIGINS="https://console.example.com", **ON).url
    told = {
        origin: (await reader.get(f"{url}/console/api/session?origin={origin}")).body["sockets"]
        for origin in ("https://console.example.com", "https://other.example.com", "")
    }
    assert told == {"https://console.example.com": True, "https://other.example.com": False, "": False}


# -- gateway dev


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `gateway dev`."""
    port = free_port()
    with running(tmp_path_factory.mktemp("dev"), "dev", "--port", str(port)) as command:
        command.printed("Ctrl-C ends it.")
        yield f"http://127.0.0.1:{port}"


async def test_devs_root_leads_to_the_console(reader: Reader, dev: str) -> None:
    answer = await reader.get(dev, key=None)
    assert (answer.status, answer.headers["Location"]) == (302, "/console")


async def test_devs_page_is_given_a_key_that_opens_everything(reader: Reader, dev: str) -> None:
    session = (await reader.get(f"{dev}/console/api/session", key=None)).body
    assert (session["mode"], session["minting"], session["sockets"]) == ("dev", {"available": True}, True)
    assert (await reader.get(f"{dev}/console/api/overview", key=session["key"])).status == 200
    demo = session["demo"]
    event = {"organization_id": demo["organization_id"], "event": "x:y", "data": {}}
    to = [f"conversation:{demo['conversation_id']}"]
    published = await reader.post(f"{dev}/api/v1/events", {**event, "to": to}, key=session["key"])
    assert published.body["duplicate"] is False


@pytest.mark.parametrize("path", ["/console/api/overview", "/api/v1/presence"])
async def test_in_dev_too_nothing_but_the_first_question_goes_without_the_key(
    reader: Reader, dev: str, path: str
) -> None:
    assert (await reader.get(dev + path, key=None)).status == 401


@pytest.mark.parametrize("path", ["/console", "/console/api/session"])
async def test_a_name_that_comes_to_point_here_gets_nothing_from_dev(reader: Reader, dev: str, path: str) -> None:
    port = dev.rpartition(":")[2]
    for host in (f"evil.example.com:{port}", f"127.0.0.1.evil.example.com:{port}", "evil.example.com"):
        answer = await reader.get(dev + path, key=None, Host=host)
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
    for host in ("localhost:x", "localhost:99999"):
        assert (await reader.get(dev + path, key=None, Host=host)).status == 403
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert (await reader.get(dev + path, key=None, Host=host)).status != 403


async def test_a_page_of_another_site_gets_nothing_from_dev(reader: Reader, dev: str) -> None:
    where = f"{dev}/console/api/session"
    for site in ("cross-site", "same-site"):
        answer = await reader.get(where, key=None, Sec_Fetch_Site=site, Origin="https://evil.example.com")
        assert answer.status == 403
        assert "key" not in answer.body
    own = await reader.get(where, key=None, Sec_Fetch_Site="same-origin", Origin=dev)
    assert own.body["key"]
    assert "Access-Control-Allow-Origin" not in own.headers


async def test_devs_keys_are_made_anew_at_each_start(reader: Reader, dev: str) -> None:
    # A key that is known from elsewhere opens nothing.
    assert (await reader.get(f"{dev}/console/api/overview", key=KEY)).status == 401
