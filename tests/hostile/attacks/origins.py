"""Pages that may not connect."""

from __future__ import annotations

from tests.e2e.test_origins import BOTH, FOREIGN
from tests.hostile.cases import Stage, case
from tests.support.client import RawClient
from tests.support.tokens import mint
from tests.support.websocket import HandshakeRefused


@case(
    "websocket and polling from foreign origins, `null`, suffix tricks, forged X-Forwarded-Host",
    row="20",
    plain="0 by default, all with `*`; follows X-Forwarded-Host",
)
async def foreign_origins(stage: Stage) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    attempts = [{"Origin": origin} for origin in FOREIGN] + [{"Origin": "https://evil.example", **forged}]
    refused = 0
    for headers in attempts:
        for transport in BOTH:
            client = RawClient(stage.arena.replica.url, mint(), transport=transport, headers=headers)
            try:
                await client.connect()
            except HandshakeRefused as refusal:
                refused += refusal.status == 403
            finally:
                await client.close()
    assert refused == len(attempts) * 2
    stage.closed = f"0 of {refused} opened, 403"
