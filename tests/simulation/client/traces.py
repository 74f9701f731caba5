"""Two kinds of browsers that a script drives in the same way, and the traces that they leave, made comparable."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from tests.simulation.client.recorder import Exchange, Recorder
from tests.simulation.client.socketio import Socket
from tests.simulation.client.tab import Options, Tab
from tests.support.browsers import Browser, Node
from tests.support.waiting import until

NAMES = (
    (re.compile(r'"token":"[^"]*"'), '"token":"…"'),
    (re.compile(r"\bt=[^& ]+"), "t=…"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+]00:00)"), "time"),
)
"""What differs from run to run, and means nothing."""
LABELLED = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "uuid"),
    (re.compile(r"\b[0-9a-f]{8}-\d{16}\b"), "offset"),
    (re.compile(r"(?<=[\"=])[\w-]{20,30}(?=[\"& ]|$)"), "id"),
)
"""What differs from run to run, but has to be the same wherever it was the same."""
Trace = dict[str, list[str]]


class Actor(Protocol):
    """A browser, real or simulated. `lines` is what its page saw."""

    @property
    def lines(self) -> list[str]: ...
    def emit(self, event: str, *args: Any) -> None: ...
    def ask(self, event: str, *args: Any) -> None: ...
    def disconnect(self) -> None: ...
    def connect(self) -> None: ...
    def close(self) -> None: ...


class Real:
    """socket.io-client in Node."""

    def __init__(self, node: Node, recorder: Recorder, token: str, options: Options) -> None:
        self._browser: Browser = node.open(
            f"http://127.0.0.1:{recorder.port}",
            token,
            transports=options.transports,
            reconnectionAttempts=None
            if options.reconnection_attempts == float("inf")
            else options.reconnection_attempts,
            reconnectionDelay=options.reconnection_delay_ms,
            reconnectionDelayMax=options.reconnection_delay_max_ms,
            randomizationFactor=options.randomization_factor,
            timeout=options.timeout_s * 1000,
        )
        self.emit = self._browser.emit
        self.disconnect = self._browser.disconnect
        self.connect = self._browser.connect
        self.close = self._browser.close

    def ask(self, event: str, *args: Any) -> None:
        self._browser.ask(event, *args)

    @property
    def lines(self) -> list[str]:
        return [line for line in map(_reported, list(self._browser.reports)) if line]


FIELDS: dict[str, tuple[str, ...]] = {
    "event": ("event", "args"),
    "disconnect": ("reason",),
    "connect_error": ("message", "data"),
    "ack": ("args",),
    "reconnect_attempt": ("number",),
    "reconnect_failed": (),
    "upgrade": (),
}


def _reported(report: dict[str, Any]) -> str:
    what = report["what"]
    if what == "connect":
        return _line(what, report["transport"], [report["sid"], report["pid"], report["recovered"]])
    fields = FIELDS.get(what)
    return "" if fields is None else _line(what, *[report[field] for field in fields])


def _line(what: str, *facts: Any) -> str:
    return " ".join([what, *[fact if isinstance(fact, str) else json.dumps(fact) for fact in facts]])


class Simulated:
    """The simulated one."""

    def __init__(self, recorder: Recorder, token: str, options: Options) -> None:
        self.lines: list[str] = []
        loop = asyncio.get_running_loop()
        self._tab = Tab(loop, random.Random(7), lambda: ("127.0.0.1", recorder.port), options)
        self._socket = Socket(self._tab, {"token": token}, self)
        self.connect()

    def emit(self, event: str, *args: Any) -> None:
        self._tab.task(lambda: self._socket.emit(event, *args))

    def ask(self, event: str, *args: Any) -> None:
        self._tab.task(lambda: self._socket.emit(event, *args, ack=self._acked))

    def disconnect(self) -> None:
        self._tab.task(self._socket.disconnect)

    def connect(self) -> None:
        self._tab.task(self._socket.connect)

    def close(self) -> None:
        self._socket.stop()
        self._tab.close(reset=True)

    def _acked(self, error: str | None, *args: Any) -> None:
        self._saw("ack", args)

    def on_connect(self) -> None:
        socket = self._socket
        assert socket.manager.engine is not None
        name = socket.manager.engine.transport.name
        self._saw("connect", name, [socket.id, socket.pid, socket.recovered])

    def on_event(self, name: str, args: list[Any]) -> None:
        self._saw("event", name, args)

    def on_disconnect(self, reason: str) -> None:
        self._saw("disconnect", reason)

    def on_connect_error(self, message: str, data: Any) -> None:
        self._saw("connect_error", message, data)

    def on_reconnect_attempt(self, number: int) -> None:
        self._saw("reconnect_attempt", number)

    def on_reconnect_failed(self) -> None:
        self._saw("reconnect_failed")

    def on_upgrade(self) -> None:
        self._saw("upgrade")

    def _saw(self, what: str, *facts: Any) -> None:
        self.lines.append(_line(what, *facts))


async def saw(actor: Actor, begin: str, times: int = 1) -> None:
    """Wait until the page has seen something so often."""

    def count() -> bool:
        return sum(line.startswith(begin) for line in actor.lines) >= times

    try:
        await until(count, 20.0, begin)
    except AssertionError:
        raise AssertionError(f"no {begin} ({times}), but {actor.lines}") from None


def trace_of(actor: Actor, recorder: Recorder) -> Trace:
    """Return what is comparable.

    How packets fall to polls and posts is a matter of moments: of those there is one list each way. A request
    that is repeated counts once, as do a ping and a pong. A session's farewell may come to a server before the
    poll that it ends, or after the server has lost that: how these two are answered does not count. Nor does it
    count whether a close frame answers one, or crosses it.
    """
    trace: Trace = {"page": list(actor.lines)}
    requests = [each for each in recorder.exchanges if not each.is_websocket]
    sessions = [each.session for each in requests if each.said == ["1"]]
    last = {each.session: each for each in requests if each.method == "GET" and each.session in sessions}
    for each in last.values():
        each.heard = [packet for packet in each.heard if packet[0] == "4"]
    for method in ("GET", "POST"):
        alike = [each for each in requests if each.method == method]
        trace[method] = _once(f"{each.target} {_outcome(each, last)}" for each in alike)
        trace[f"{method} said"] = _once((packet for each in alike for packet in each.said), "3")
        trace[f"{method} heard"] = _once((packet for each in alike for packet in each.heard), "2")
    for number, each in enumerate(each for each in recorder.exchanges if each.is_websocket):
        trace[f"websocket {number}"] = [f"{each.target} {each.status}"]
        said = ["close" if packet.startswith("close") else packet for packet in each.said]
        trace[f"websocket {number} said"] = _once(said, "3")
        trace[f"websocket {number} heard"] = _once(each.heard, "2")
    labels: dict[str, str] = {}
    return {name: [_named(line, labels) for line in lines] for name, lines in trace.items()}


def _outcome(exchange: Exchange, last: dict[str, Exchange]) -> str:
    is_end = exchange.said == ["1"] or exchange is last.get(exchange.session)
    return "at the end" if is_end else str(exchange.status)


def _once(lines: Iterable[str], only: str | None = None) -> list[str]:
    """Return lines without repetitions of the line before; only of one line, if that is given."""
    kept: list[str] = []
    for line in map(_plain, lines):
        if not kept or line != kept[-1] or only not in (None, line):
            kept.append(line)
    return kept


def _plain(line: str) -> str:
    for pattern, name in NAMES:
        line = pattern.sub(name, line)
    return line


def _named(line: str, labels: dict[str, str]) -> str:
    line = _plain(line)
    for pattern, kind in LABELLED:
        line = pattern.sub(partial(_label, kind, labels), line)
    return line


def _label(kind: str, labels: dict[str, str], found: re.Match[str]) -> str:
    return labels.setdefault(found[0], f"{kind}-{len(labels)}")
