"""The outcome of a run as an SVG picture: a panel for each question, a bar for each system."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from tests.bench.document import Document, figures, is_finished, load_of
from tests.bench.scenarios import BIG_STORM, COMPRESSION, FAN_OUT, INBOX, REPLICAS, STORM
from tests.bench.systems import GATEWAY

WIDTH, MARGIN, GAP = 960, 16, 36
PANEL = (WIDTH - 2 * MARGIN - GAP) // 2
# Of a panel: what labels take on the left, and on the right the figure behind the longest bar.
LABELS, FIGURE = 200, 106
LONGEST = PANEL - LABELS - FIGURE
HEADER, ROW, BAR, BELOW = 46, 20, 13, 22
STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #3d444d }
  .title { font-weight: 600; font-size: 13px; fill: #1f2328 } .unit { font-size: 11px; fill: #6e7781 }
  .ours { font-weight: 600; fill: #1f2328 } rect { fill: #afb8c1 } rect.ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #b1bac4 } .title, .ours { fill: #f0f6fc } .unit { fill: #8b949e }
    rect { fill: #545d68 } rect.ours { fill: #58a6ff }
  }
"""


class Panel(NamedTuple):
    """One question: which figure of which scenario answers it. Less is better in all of them."""

    title: str
    unit: str
    scenario: str
    figure: str
    digits: int


class Bar(NamedTuple):
    """One system's answer."""

    label: str
    value: float
    text: str
    is_ours: bool


PANELS = (
    Panel("Fan-out: rooms of 100", "server CPU, µs a delivery", FAN_OUT, "delivery_cpu_us", 1),
    Panel("Inbox: rooms of 2", "server CPU, µs a delivery", INBOX, "delivery_cpu_us", 0),
    Panel("Latency under fan-out", "99th percentile, ms from publish to socket", FAN_OUT, "p99_ms", 1),
    Panel("Four replicas in place of one", "server CPU over all, times that of one", REPLICAS, "cpu_of_one", 2),
    Panel("Connecting", "server CPU, ms a connect", FAN_OUT, "connect_cpu_ms", 2),
    Panel("Memory", "KiB a socket, after traffic", FAN_OUT, "loaded_socket_kib", 1),
    Panel("Clients offer compression", "server CPU, µs a delivery", COMPRESSION, "delivery_cpu_us", 1),
    Panel("Clients offer compression", "KiB a socket, after traffic", COMPRESSION, "loaded_socket_kib", 1),
    Panel("Reconnect storm, {sockets:,} sockets", "s until all have what they missed", STORM, "took_s", 1),
    Panel("Reconnect storm, {sockets:,} sockets", "s until all have what they missed", BIG_STORM, "took_s", 1),
)


def bars(document: Document, panel: Panel) -> list[Bar]:
    """Return a panel's bars, in the document's order."""
    found = []
    for name, known in figures(document, panel.scenario).items():
        if panel.figure in known:
            text = f"{known[panel.figure]:,.{panel.digits}f}"
            load = load_of(document, panel.scenario)
            if not is_finished(known, load):
                text = f"{known['arrived']:,.0f} back in {load['cap_s']:.0f} s"
            found.append(Bar(document["labels"][name], known[panel.figure], text, name == GATEWAY))
    return found


def render(document: Document) -> str:
    """Draw the picture."""
    drawn = [(panel, found) for panel in PANELS if (found := bars(document, panel))]
    parts, top = [], MARGIN
    for first in range(0, len(drawn), 2):
        pair = drawn[first : first + 2]
        for column, (panel, found) in enumerate(pair):
            title = panel.title.format(**load_of(document, panel.scenario))
            parts += [f'<g transform="translate({MARGIN + column * (PANEL + GAP)} {top})">']
            parts += [*_panel(title, panel.unit, found), "</g>"]
        top += HEADER + ROW * max(len(found) for _, found in pair) + BELOW
    note = _text(MARGIN, top + 4, "unit", _footer(document))
    height = top + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    )
    name = "The gateway and its rivals under the same load; less is better"
    return "\n".join(
        [f'{head} role="img">', f"<title>{name}</title>", f"<style>{STYLE}</style>", *parts, note, "</svg>\n"]
    )


def _panel(title: str, unit: str, found: list[Bar]) -> Iterator[str]:
    yield _text(0, 14, "title", title)
    yield _text(0, 32, "unit", unit)
    scale = LONGEST / max(max(bar.value for bar in found), 1e-9)
    for number, bar in enumerate(found):
        top = HEADER + number * ROW
        kind = "ours" if bar.is_ours else "other"
        length = max(bar.value * scale, 1.0)
        yield _text(LABELS - 8, top + 11, kind, bar.label, anchor="end")
        yield f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        yield _text(LABELS + length + 6, top + 11, kind, bar.text)


def _text(x: float, y: float, kind: str, text: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _footer(document: Document) -> str:
    machine, made = document["machine"], document["made_at"].partition("T")[0]
    busy = ", busy with other things too" if machine["was_busy"] else ""
    return f"Less is better. One run of make bench, {made}: {machine['system']}, {machine['cores']} cores{busy}."
