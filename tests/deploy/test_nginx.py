"""What nginx alone promises: the emptiest replica for each next client, nobody without one, and what it logs.

The rest is `test_proxies.py`.
"""

from __future__ import annotations

import asyncio

from gateway.dev.embedded_redis import EmbeddedRedis, free_port
from tests.deploy.conftest import only
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Proxies, ask
from tests.deploy.test_proxies import POLLING, ports, sockets
from tests.deploy.upstream import Upstreams
from tests.support.client import Clients
from tests.support.replica import Replicas
from tests.support.tokens import mint
from tests.support.waiting import until

pytestmark = only(Nginx)


async def test_websockets_are_spread_evenly_also_after_a_restart_of_all_replicas(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(3)]
    nginx = proxies(ports(gateways))
    for _ in range(6):
        await clients(nginx.url, mint()).connect()
    assert sockets(gateways) == [2, 2, 2]
    for gateway in gateways:
        gateway.kill()
    assert ask(nginx.url + POLLING)[0] == 502
    for gateway in gateways:
        await gateway.restarted()
    for _ in range(6):
        await clients(nginx.url, mint()).connect()
    assert sockets(gateways) == [2, 2, 2]


async def test_a_drain_is_no_clients_trouble(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(2)]
    nginx = proxies(ports(gateways))
    browsers = [await clients(nginx.url, mint()).connect() for _ in range(20)]
    for browser in browsers:
        browser.stay()
    gateways[0].terminate()
    assert await gateways[0].ended() == 0
    await until(lambda: all(browser.connected for browser in browsers), what="everybody to be back")
    assert sockets(gateways[1:]) == [20]
    assert " /socket.io/ " not in nginx.access_log(), "nobody was told to come back later"


async def test_the_log_names_failures_and_replicas(upstreams: Upstreams, proxies: Proxies) -> None:
    down = free_port()
    nginx = proxies([(await upstreams(400)).port, down])
    for number in range(1, 9):
        source = f"127.0.0.{number}"
        await asyncio.to_thread(ask, f"{nginx.url}{POLLING}&sid=confidential", source=source)
    await until(lambda: nginx.access_log().count(" /socket.io/ ") == 8, what="a line for each request")
    assert " GET /socket.io/ 400 " in nginx.access_log()
    assert f"127.0.0.1:{down}, " in nginx.access_log()
    assert "confidential" not in nginx.access_log() + nginx.error_log()
