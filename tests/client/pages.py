"""Pages that use the browser client, all in one Node process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.child import Child
from tests.support.waiting import PATIENCE_S, until

DRIVER = Path(__file__).with_name("driver.mjs")

# Pages wait 1 to 10 s before they come back; what they do is the same after 50 ms.
QUICK = {"reconnectionDelay": 50, "reconnectionDelayMax": 200}

Where = Callable[[Any], bool]


class Refused(Exception):
    """A method of the client failed with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Pages(Child):
    """The process that runs them."""

    def __init__(self, node: Path) -> None:
        self._pages: dict[int, Page] = {}
        super().__init__([str(node), DRIVER.name], DRIVER.parent)

    def open(self, url: str, **options: Any) -> Page:
        """Open a page; `options` are the client's. It connects when it is told to."""
        page = Page(self, len(self._pages) + 1)
        self._pages[page.ident] = page
        self.command("open", page, options={"url": url, **QUICK, **options})
        return page

    def command(self, do: str, page: Page, **facts: Any) -> None:
        """Tell the process to do something with a page."""
        self.tell({"do": do, "page": page.ident, **facts})

    def _hear(self, line: dict[str, Any]) -> None:
        self._pages[line["page"]].reports.append((line["what"], line.get("data")))


class Page:
    """One page. `reports` is all that its listeners heard, in order: names and what they were given."""

    def __init__(self, process: Pages, ident: int) -> None:
        self.ident = ident
        self.reports: list[tuple[str, Any]] = []
        self._process = process
        self._asks = count(1)

    # -- what it is told to do

    def connect(self, token: str) -> None:
        """Call `connect` with a token."""
        self._process.command("connect", self, tokens=[token], fixed=True)

    def connect_with(self, tokens: Sequence[str | None]) -> None:
        """Call `connect` with a provider that gives these, and the last one for good; "away" throws."""
        self._process.command("connect", self, tokens=list(tokens), fixed=False)

    def do(self, method: str, *args: Any) -> int:
        """Call a method without waiting; return what `answer_to` takes."""
        ask = next(self._asks)
        self._process.command("call", self, ask=ask, method=method, args=args)
        return ask

    async def answer_to(self, ask: int) -> Any:
        """Wait for what a method gave; raises `Refused`."""
        answer = await self.wait("answer", lambda data: data["ask"] == ask)
        if "error" in answer:
            raise Refused(answer["error"]["code"])
        return answer["value"]

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method and wait for what it gives; raises `Refused`."""
        return await self.answer_to(self.do(method, *args))

    def poll(self, every_ms: int) -> None:
        """Have `polled` reported while there is no connection."""
        self._process.command("poll", self, everyMs=every_ms)

    def load(self, url: str, every_ms: int = 30_000) -> None:
        """Have it load this URL as the README shows: while there is no connection, and after a gap."""
        self._process.command("load", self, url=url, everyMs=every_ms)

    def listen(self) -> None:
        """Call `onUserStatus`, so that the page wants to know who is online."""
        self._process.command("listen", self)

    def close(self) -> None:
        """Call `disconnect`."""
        self._process.command("close", self)

    # -- what happened

    def seen(self, what: str, where: Where = lambda data: True) -> list[Any]:
        """Return what the reports of a name carry, oldest first."""
        return [data for name, data in list(self.reports) if name == what and where(data)]

    async def wait(self, what: str, where: Where = lambda data: True, *, times: int = 1) -> Any:
        """Wait until something was heard so often; return what the last one carries."""
        try:
            return (await until(lambda: self.seen(what, where)[times - 1 : times], PATIENCE_S, what))[0]
        except AssertionError:
            raise AssertionError(f"no {what} ({times}), but {self.reports[-8:]}") from None
