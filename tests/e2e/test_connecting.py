"""Connecting: every client over every transport, and who is turned away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.browsers import TRANSPORTS, VERSIONS, Browsers, Version
from tests.support.client import Clients, Refused
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import until_sync


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_client_connects_over_every_transport(
    browsers: Browsers, replica: Replica, tenant: Tenant, version: Version, transport: str
) -> None:
    page = browsers(replica.url, tenant.token(), version=version, transports=TRANSPORTS[transport])
    assert page.wait("open")["transport"] == TRANSPORTS[transport][0]
    page.connected()
    assert page.events("connected") == [{"message": "Connected", "user_id": tenant.alice, "recovered": False}]
    if transport == "upgrade":
        assert page.wait("upgrade")["transport"] == "websocket"


@pytest.mark.parametrize("transports", [["websocket", "polling"], None], ids=["PyTake's", "the default"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_usual_orders_of_transports_connect(
    browsers: Browsers, replica: Replica, tenant: Tenant, version: Version, transports: list[str] | None
) -> None:
    page = browsers(replica.url, tenant.token(), version=version, transports=transports)
    page.connected()
    page.join(tenant.conversation)
    assert len(page.events("connected")) == 1


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_first_packet_is_connect_with_sid_and_pid(
    clients: Clients, replica: Replica, tenant: Tenant, transport: str
) -> None:
    client = clients(replica.url, tenant.token(), transport=transport)
    await client.connect()
    await client.wait_for("connected")
    assert client.packets[0].startswith('0{"sid":')
    assert client.packets[1].startswith('2["connected"')
    assert client.sid
    assert client.pid
    assert client.sid not in (client.pid, client.session["sid"])


async def test_connected_carries_an_offset_to_recover_from(
    clients: Clients, replica: Replica, tenant: Tenant
) -> None:
    client = await clients(replica.url, tenant.token()).connect()
    greeting = await client.wait_for("connected")
    assert client.offset == greeting.offset is not None


REFUSED = {
    "no token": (None, "token_missing"),
    "an empty token": ("", "token_missing"),
    "no token at all": ("no.jwt.whatever", "token_invalid"),
    "another secret": (mint(secret=SECRET[::-1]), "token_invalid"),
    "another algorithm": (mint(algorithm="HS512"), "token_invalid"),
    "a refresh token": (mint(type="refresh"), "token_invalid"),
    "no exp": (mint(without=["exp"]), "token_invalid"),
    "no sub": (mint(without=["sub"]), "token_invalid"),
    "expired": (mint(ttl_s=-60), "token_expired"),
    "no organization": (mint(without=["organization_id"]), "tenant_missing"),
    "a refresh token without organization": (mint(type="refresh", without=["organization_id"]), "token_invalid"),
    "an organization that is no UUID": (mint(organization_id="*"), "token_invalid"),
}


@pytest.mark.parametrize(("token", "code"), REFUSED.values(), ids=REFUSED)
def test_a_bad_token_is_refused_with_a_code(
    browsers: Browsers, replica: Replica, token: str | None, code: str
) -> None:
    page = browsers(replica.url, token)
    error = page.refused()
    assert error["data"] == {"code": code}
    assert error["message"]
    assert not page.seen("connect")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_client_can_read_why_it_is_refused(
    browsers: Browsers, replica: Replica, version: Version, transport: str
) -> None:
    page = browsers(replica.url, mint(ttl_s=-60), version=version, transports=TRANSPORTS[transport])
    assert page.refused()["data"] == {"code": "token_expired"}


def test_a_page_that_was_refused_connects_with_a_better_token(
    browsers: Browsers, replica: Replica, tenant: Tenant
) -> None:
    refused = browsers(replica.url, mint(ttl_s=-60))
    refused.refused()
    page = browsers(replica.url, tenant.token())
    page.connected()
    assert not refused.seen("connect")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_authorization_header_serves_where_there_is_no_auth(
    browsers: Browsers, replica: Replica, tenant: Tenant, version: Version
) -> None:
    headers = {"Authorization": f"Bearer {tenant.token(tenant.bruno)}"}
    page = browsers(replica.url, None, version=version, headers=headers)
    page.connected()
    assert page.events("connected")[0]["user_id"] == tenant.bruno


def test_auth_goes_before_the_authorization_header(browsers: Browsers, replica: Replica, tenant: Tenant) -> None:
    page = browsers(replica.url, mint(ttl_s=-60), headers={"Authorization": f"Bearer {tenant.token()}"})
    assert page.refused()["data"] == {"code": "token_expired"}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_token_in_the_query_string_is_never_read(
    clients: Clients, replica: Replica, tenant: Tenant, transport: str
) -> None:
    query = f"token={tenant.token()}&auth={tenant.token()}&access_token={tenant.token()}"
    with pytest.raises(Refused) as refused:
        await clients(replica.url, None, transport=transport, query=query).connect()
    assert refused.value.code == "token_missing"


def test_a_connection_is_logged_in_one_line_without_its_token(
    browsers: Browsers, replica: Replica, tenant: Tenant
) -> None:
    token = tenant.token()
    page = browsers(replica.url, token)
    sid = page.connected()["sid"]
    page.disconnect()
    page.wait("disconnect")

    def ends() -> list[dict[str, Any]]:
        return [line for line in replica.log_lines("socket_disconnected") if line["sid"] == sid]

    until_sync(ends, what="the disconnect to be logged")
    (connected,) = [line for line in replica.log_lines("socket_connected") if line["sid"] == sid]
    assert connected["user"] == tenant.alice
    assert connected["tenant"] == tenant.id
    assert token not in replica.log_text()
    assert token.rpartition(".")[2] not in replica.log_text()


def test_a_namespace_other_than_the_main_one_is_refused(
    browsers: Browsers, replica: Replica, tenant: Tenant
) -> None:
    page = browsers(f"{replica.url}/{new_id()}", tenant.token())
    assert page.refused()["message"] == "Invalid namespace"
