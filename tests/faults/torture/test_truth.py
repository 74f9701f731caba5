"""Redis' own account of what was published is what the receipts say, through trimming and SIGKILL."""

from __future__ import annotations

from pathlib import Path

from publisher import Publisher, campaign, conversation, user
from tests.faults.torture import truth
from tests.faults.torture.ledger import Event, seq_of
from tests.support.redis_server import RedisServers
from tests.support.tokens import new_id


def test_the_append_only_file_has_every_event_once_with_all_that_it_is(
    redis_servers: RedisServers, tmp_path: Path
) -> None:
    server = redis_servers(persist=True, options=truth.OPTIONS)
    org, talk, ana, sale, message = (new_id() for _ in range(5))
    with Publisher.from_url(server.url) as events:
        both = events.emit(org, "test:event", {"n": "p-1"}, to=[conversation(talk), user(ana)], skip_sid="sid")
        assert events.message_new(org, {"id": message, "n": "p-2", "conversation_id": talk}).offset
        assert events.message_new(org, {"id": message, "n": "p-2", "conversation_id": talk}).duplicate
        status = events.message_status(org, talk, message, "read")
        assert events.message_status(org, talk, message, "sent").duplicate
        for i in range(3):
            events.campaign_progress(org, sale, {"n": f"p-{3 + i}"}, conflate=True)
        events.emit(org, "test:typing", {}, to=conversation(talk), ephemeral=True)
    server.kill()
    with (tmp_path / "redis-0" / "appendonlydir").joinpath(_newest(tmp_path)).open("ab") as file:
        file.write(b"*3\r\n$4\r\nXADD\r\n$90\r\nrt:{")  # half a command
    found = truth.published(tmp_path / "redis-0")
    assert both.offset
    assert status.offset
    rooms = frozenset({f"conversation:{talk}", f"user:{ana}"})
    assert found[org, seq_of(both.offset)] == Event(
        org, seq_of(both.offset), rooms, "test:event", "p-1", skip_sid="sid"
    )
    read = found[org, seq_of(status.offset)]
    assert (read.name, read.about, read.rank) == ("message:status", f"message {message}", 3)
    assert [event.ident for event in found.values()] == ["p-1", "p-2", "", "p-3", "p-4", "p-5"]
    assert [event.conflate for event in found.values()][-1] == campaign(sale)


def _newest(folder: Path) -> str:
    return max(file.name for file in folder.glob("redis-0/appendonlydir/*.incr.aof"))
