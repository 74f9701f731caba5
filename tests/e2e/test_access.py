"""Who may be where, as pages see it: keys that are not ours, rooms for others, and a role that changes."""

from __future__ import annotations

from pathlib import Path

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import campaign, organization
from tests.auth.issuer import SigningKey, files, usual
from tests.support.browsers import Browsers
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replicas
from tests.support.tenant import Tenant
from tests.support.tokens import mint, new_id


def test_a_page_with_a_token_of_a_private_key_connects_and_one_with_a_forged_one_is_told(
    browsers: Browsers, replicas: Replicas, stage_redis: EmbeddedRedis, tenant: Tenant, tmp_path: Path
) -> None:
    ours, theirs = SigningKey("ES256"), SigningKey("ES256")
    names = files(tmp_path, ours)
    keys = {"JWT_SECRET_KEY": "", "JWT_ALGORITHM": "ES256", "GATEWAY_JWT_PUBLIC_KEY_FILES": names}
    replica = replicas(stage_redis.url, **keys)
    claims = usual(tenant.alice, tenant.id)
    browsers(replica.url, ours.sign(claims)).connected()
    for forged in (theirs.sign(claims), tenant.token()):
        assert browsers(replica.url, forged).refused()["data"] == {"code": "token_invalid"}


def test_a_page_whose_role_changes_leaves_the_rooms_of_the_old_one_for_good(
    browsers: Browsers, replicas: Replicas, stage_redis: EmbeddedRedis, backend: PublisherProcess, tenant: Tenant
) -> None:
    replica = replicas(stage_redis.url, GATEWAY_ROOM_ROLES="campaign:admin")
    page = browsers(replica.url, mint(tenant.alice, tenant.id, role="admin"))
    page.connected()
    room = campaign(new_id())
    assert page.call("join_room", {"room": room})["ok"]
    page.join(tenant.conversation)
    assert page.call("auth:refresh", {"token": mint(tenant.alice, tenant.id, role="agent")})["ok"]
    assert page.wait_for("left_room") == {"room": room}
    assert page.call("join_room", {"room": room})["error"]["code"] == "forbidden"
    page.cut()
    assert page.connected(times=2)["recovered"]
    backend.call("emit", tenant.id, "test:event", {}, to=room)
    backend.call("emit", tenant.id, "test:last", {}, to=organization(tenant.id))
    page.wait_for("test:last")
    assert page.events("test:event") == []
    assert page.call("typing_start", {"conversation_id": tenant.conversation})["ok"]
