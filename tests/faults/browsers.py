"""Real pages in the crowd: the newest socket.io-client, whose reports are read as a diary."""

from __future__ import annotations

from typing import Any

from tests.faults.checker import Connected, Diary, Entry, Got, Joined
from tests.support.browsers import Browser, Node, Report
from tests.support.waiting import until


class Page:
    """A page that is in one conversation; it never rejoins, as PyTake's don't. `options` are `Node.open`'s."""

    def __init__(
        self, node: Node, name: str, url: str, token: str, tenant: str, user: str, **options: Any
    ) -> None:
        self.name = name
        self.browser: Browser = node.open(url, token, **options)
        self.tenant = tenant
        self._own = (f"{tenant}/user:{user}", f"{tenant}/organization:{tenant}")

    async def enter(self, conversation_id: str) -> None:
        """Join its conversation."""
        await until(lambda: self.browser.seen("connect"), what=f"{self.name} to be connected")
        self.browser.emit("join_conversation", {"conversation_id": conversation_id})
        await until(lambda: self.browser.events("joined_conversation"), what=f"{self.name} to have joined")

    @property
    def is_connected(self) -> bool:
        """Whether the last that happened to its connection is that it came about."""
        kinds = [report["what"] for report in self.browser.reports]
        return [what for what in kinds if what in ("connect", "disconnect")][-1:] == ["connect"]

    @property
    def comebacks(self) -> int:
        """How often it connected after the first time."""
        return len(self.browser.seen("connect")) - 1

    @property
    def diary(self) -> Diary:
        """What it saw so far."""
        entries: list[Entry] = []
        sid, recovered = "", False
        for report in list(self.browser.reports):
            if report["what"] == "connect":
                sid, recovered = report["sid"], report["recovered"]
            elif (
                report["what"] == "event" and (entry := self._entry(report, sid, recovered=recovered)) is not None
            ):
                entries.append(entry)
        return Diary(self.name, entries)

    def _entry(self, report: Report, sid: str, *, recovered: bool) -> Entry | None:
        name, args, at = report["event"], report["args"], report["at"]
        if name == "connected":
            assert args[0]["recovered"] == recovered, f"{self.name}: recovered={recovered}, but {args}"
            return Connected(sid, recovered, args[0].get("reason"), args[-1], at, self._own)
        if name == "joined_conversation":
            return Joined(f"{self.tenant}/conversation:{args[0]['conversation_id']}", args[0]["offset"], at)
        if isinstance(args[0], dict) and "n" in args[0]:
            return Got(args[0]["n"], args[-1], at)
        return None
