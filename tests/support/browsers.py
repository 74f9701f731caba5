"""Real browsers' clients: `socket.io-client` from npm, old and new, all in one Node process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Literal

import pytest

from tests.support.child import Child
from tests.support.node import JS, installed
from tests.support.waiting import PATIENCE_S, until_sync

Version = Literal["4.0", "4.5", "newest"]
VERSIONS: tuple[Version, ...] = ("4.0", "4.5", "newest")
TRANSPORTS: dict[str, list[str]] = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}
Report = dict[str, Any]
Matching = Callable[[Any], bool]

# Browsers wait 1 to 5 s before they come back; what they do is the same after 20 ms.
QUICK = {"reconnectionDelay": 20, "reconnectionDelayMax": 200, "randomizationFactor": 0}


class Node(Child):
    """The process that runs the browsers."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._browsers: dict[int, Browser] = {}
        super().__init__([str(installed()), "driver.mjs"], JS)

    def open(
        self,
        url: str,
        token: str | None,
        *,
        version: Version = "newest",
        transports: Sequence[str] | None = ("websocket",),
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Browser:
        """Open a page that connects; `options` are socket.io-client's.

        `transports` None leaves the choice to the client.
        """
        chosen = {
            **QUICK,
            **({"transports": list(transports)} if transports is not None else {}),
            "auth": {"token": token} if token is not None else {},
            **({"extraHeaders": dict(headers)} if headers else {}),
            **options,
        }
        browser = Browser(self, next(self._ids))
        self._browsers[browser.ident] = browser
        self.command("open", browser, client=version, url=url, options=chosen)
        return browser

    def command(self, do: str, browser: Browser, **facts: Any) -> None:
        """Tell the process to do something with a browser."""
        self.tell({"do": do, "browser": browser.ident, **facts})

    def _hear(self, line: Report) -> None:
        self._browsers[line["browser"]].reports.append(line)


class Browser:
    """One page. `reports` is all that happened to it, in order."""

    def __init__(self, process: Node, ident: int) -> None:
        self.ident = ident
        self.reports: list[Report] = []
        self._node = process
        self._acks = count(1)
        self._is_closed = False

    # -- what it is told to do

    def emit(self, event: str, *args: Any, times: int = 1) -> None:
        """Emit without an acknowledgement, so often in one go."""
        self._node.command("emit", self, event=event, args=args, ack=None, times=times)

    def ask(self, event: str, *args: Any) -> int:
        """Emit with an acknowledgement without waiting for it; return the number of its `ack` report."""
        ack = next(self._acks)
        self._node.command("emit", self, event=event, args=args, ack=ack)
        return ack

    def call(self, event: str, *args: Any) -> Any:
        """Emit with an acknowledgement, and give what it carries."""
        ack = self.ask(event, *args)
        report = self.wait("ack", lambda report: report["ack"] == ack)
        (answer,) = report["args"]
        return answer

    def join(self, conversation_id: str, **more: Any) -> None:
        """Join a conversation as PyTake's pages do, without an acknowledgement, and wait for the answer."""
        self.emit("join_conversation", {"conversation_id": conversation_id, **more})
        self.wait_for("joined_conversation", lambda data: data["conversation_id"] == conversation_id)

    def cut(self) -> None:
        """Cut its connections: nothing more is said on them by either side."""
        self._node.command("cut", self)

    def disconnect(self) -> None:
        """Have the page call `socket.disconnect()`."""
        self._node.command("close", self)

    def connect(self) -> None:
        """Have the page call `socket.connect()`."""
        self._node.command("connect", self)

    def close(self) -> None:
        """Close the tab, if it is open."""
        if not self._is_closed:
            self._is_closed = True
            self._node.command("forget", self)

    # -- what happened

    def seen(self, what: str, where: Matching | None = None) -> list[Report]:
        """Return the reports of one kind, oldest first."""
        reports = list(self.reports)
        return [report for report in reports if report["what"] == what and (where is None or where(report))]

    def wait(
        self, what: str, where: Matching | None = None, *, times: int = 1, within_s: float = PATIENCE_S
    ) -> Report:
        """Wait until something has happened so often; return the report of the last time."""
        try:
            return until_sync(lambda: self.seen(what, where)[times - 1 : times], within_s, what)[0]
        except AssertionError:
            raise AssertionError(f"no {what} ({times}) within {within_s:g} s, but {self.reports[-8:]}") from None

    def connected(self, times: int = 1) -> Report:
        """Wait until it is connected, for the n-th time."""
        self.wait("connect", times=times)
        self.wait_for("connected", times=times)
        return self.seen("connect")[times - 1]

    def refused(self) -> Report:
        """Wait until the server refused it; return the error's message and data."""
        return self.wait("connect_error")

    def events(self, event: str, where: Matching | None = None) -> list[Any]:
        """Return the first arguments of all events of one name."""
        return [report["args"][0] for report in self.seen("event", _named(event, where))]

    def wait_for(self, event: str, where: Matching | None = None, *, times: int = 1) -> Any:
        """Wait for the n-th event of a name, `where` its first argument is such; return that argument."""
        return self.report_of(event, where, times=times)["args"][0]

    def report_of(self, event: str, where: Matching | None = None, *, times: int = 1) -> Report:
        """Do as `wait_for` does, and give the whole report."""
        return self.wait("event", _named(event, where), times=times)


def _named(event: str, where: Matching | None) -> Matching:
    return lambda report: report["event"] == event and (where is None or where(report["args"][0]))


def now() -> float:
    """Return the time by the clock of the reports."""
    return time.monotonic()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The process in which all browsers run."""
    process = Node()
    yield process
    assert process.close() == 0, "the browsers' process failed; its stderr says why"


Browsers = Callable[..., Browser]


@pytest.fixture
def browsers(node: Node) -> Iterator[Browsers]:
    """Open pages: `browsers(url, token, version="4.0", transports=["polling"])`; closed after the test."""
    opened: list[Browser] = []

    def open_page(*args: object, **options: object) -> Browser:
        opened.append(node.open(*args, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_page
    for browser in opened:
        browser.close()
