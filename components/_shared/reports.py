"""Reports: one self-contained HTML file each, with no outside address, readable without a script, light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headway.components._shared import charts

Tone = Literal["good", "warn", "bad", "neutral"]
_WORDS: dict[str, tuple[str, str]] = {
    "good": ("✓", "Passed"),
    "warn": ("!", "Passed with warnings"),
    "bad": ("✗", "Failed"),
    "neutral": ("i", ""),
}
_FOLD_AT = 20


@dataclass(frozen=True)
class Block:
    """A finished piece of a page; its HTML is safe, whatever the data held."""

    html: str


@dataclass(frozen=True)
class Cell:
    """A value that wants a form of its own in a table, a list or among facts."""

    html: str
    numeric: bool = False


Value = str | float | bool | Cell | None


@dataclass
class Page:
    """A report.

    Attributes:
        title: The one first-level heading.
        lead: What was decided and why, in one paragraph.
        tone: `good`, `warn`, `bad` or `neutral`: the colour and icon of the banner around the lead.
        facts: Label to value, shown under the lead.
        status: Word or two in the banner before the lead; by default what the tone says.
        kind: What kind of report it is, in small print over the title.
    """

    title: str
    lead: str
    tone: Tone = "neutral"
    facts: Mapping[str, Value] = field(default_factory=dict)
    status: str | None = None
    kind: str = ""
    _sections: list[tuple[str, list[str]]] = field(default_factory=list)

    def section(self, heading: str, *blocks: Block | str) -> None:
        """Adds a section; a plain string is a paragraph."""
        self._sections.append((heading, [_block(block).html for block in blocks]))

    def html(self) -> str:
        """The whole page; the same bytes for the same content."""
        return _document(self)

    def write(self, path: str | Path) -> None:
        """Writes the page to a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.html(), encoding="utf-8")


def text(content: str) -> Block:
    """A paragraph."""
    return Block(f"<p>{escaped(content)}</p>")


def facts(values: Mapping[str, Value]) -> Block:
    """A grid of labelled values."""
    return Block(_facts(values))


def table(columns: Sequence[str], rows: Sequence[Sequence[Value]], caption: str | None = None) -> Block:
    """A table; long ones show their first rows and fold the rest.

    Args:
        columns: Headings.
        rows: Strings, numbers (formatted and right-aligned), None, or cells such as `badge` and `percent`.
        caption: What the table shows.
    """
    if not rows:
        return Block(f'<p class="note">{escaped(caption or ", ".join(columns))}: none.</p>')
    numeric = [all(_is_numeric(row[i]) for row in rows) for i in range(len(columns))]
    head, rest = (rows, []) if len(rows) <= _FOLD_AT else (rows[: _FOLD_AT // 2], rows[_FOLD_AT // 2 :])
    result = _table(columns, head, caption, numeric)
    if rest:
        inner = _table(columns, rest, f"{caption or 'Table'}, continued", numeric)
        result += f"<details><summary>{len(rest):,} more rows</summary>{inner}</details>"
    return Block(result)


def listing(items: Sequence[Value]) -> Block:
    """A bulleted list."""
    return Block("<ul>" + "".join(f"<li>{_value(item)}</li>" for item in items) + "</ul>")


def figure(chart: Any, caption: str, description: str) -> Block:
    """A chart.

    Args:
        chart: A chart of `_shared.charts`, an altair chart, or finished SVG made by us (never from data).
        caption: What it shows, visible.
        description: What one sees in it, for those who do not see it.
    """
    svg = chart if isinstance(chart, str) else charts.render(chart)
    return Block(f"<figure>{_svg(svg, caption, description)}<figcaption>{escaped(caption)}</figcaption></figure>")


def details(summary: str, *blocks: Block | str) -> Block:
    """Blocks behind a line that opens them."""
    inner = "".join(_block(block).html for block in blocks)
    return Block(f"<details><summary>{escaped(summary)}</summary>{inner}</details>")


def code(content: str) -> Block:
    """Preformatted text, such as a command."""
    return Block(f"<pre>{escaped(content)}</pre>")


def badge(label: str, tone: Tone = "neutral") -> Cell:
    """A word in the colour of its tone, for a cell or a fact."""
    return Cell(f'<span class="badge {tone}">{escaped(label)}</span>')


def percent(value: float | None, digits: int = 1) -> Cell:
    """A share of 0 to 1 as percent."""
    shown = "–" if value is None or not math.isfinite(value) else f"{100 * value:,.{digits}f} %"
    return Cell(shown, numeric=True)


def interval(value: float, low: float, high: float) -> Cell:
    """An estimate with its interval."""
    return Cell(f"{number(value)} <small>[{number(low)}, {number(high)}]</small>", numeric=True)


def mono(content: str) -> Cell:
    """A digest, path or name in a fixed-width font."""
    return Cell(f"<code>{escaped(content)}</code>")


def link(label: str, address: str) -> Cell:
    """A link to a file beside the page (relative) or to a place in it (`#...`)."""
    if ":" in address or address.startswith("/"):
        raise ValueError(f"not a relative address: {address}")
    return Cell(f'<a href="{escaped(address)}">{escaped(label)}</a>')


def number(value: float) -> str:
    """A number for people: four significant digits, thousands separated, whole numbers whole."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", "−")
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4 or magnitude >= 15:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa} × 10^{int(exponent)}".replace("-", "−")
    return f"{value:,.{max(0, 3 - magnitude)}f}".replace("-", "−")


def escaped(content: str) -> str:
    """Text that is safe in HTML, attributes included."""
    return html.escape(content, quote=True)


def _block(block: Block | str) -> Block:
    return text(block) if isinstance(block, str) else block


def _is_numeric(value: Value) -> bool:
    if isinstance(value, Cell):
        return value.numeric
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _value(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, Cell):
        return value.html
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return escaped(str(value))


def _facts(values: Mapping[str, Value]) -> str:
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{escaped(label)}</dt><dd>{_value(value)}</dd></div>" for label, value in values.items())
        + "</dl>"
    )


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Value]], caption: str | None, numeric: Sequence[bool]
) -> str:
    def attribute(i: int) -> str:
        return ' class="num"' if numeric[i] else ""

    head = "".join(f'<th scope="col"{attribute(i)}>{escaped(name)}</th>' for i, name in enumerate(columns))
    body = "".join(
        "<tr>"
        + f'<th scope="row"{attribute(0)}>{_value(row[0])}</th>'
        + "".join(f"<td{attribute(i)}>{_value(row[i])}</td>" for i in range(1, len(columns)))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _svg(svg: str, caption: str, description: str) -> str:
    start, _, rest = svg.partition(">")
    return f'{start} role="img"><title>{escaped(caption)}</title><desc>{escaped(description)}</desc>{rest}'


def _document(page: Page) -> str:
    icon, word = _WORDS[page.tone]
    status = page.status if page.status is not None else word
    css = Path(__file__).with_name("reports.css").read_text(encoding="utf-8")
    sections = "".join(
        f'<section aria-labelledby="s{i}"><h2 id="s{i}">{escaped(heading)}</h2>{"".join(blocks)}</section>'
        for i, (heading, blocks) in enumerate(page._sections, start=1)
    )
    kind = f'<p class="kind">{escaped(page.kind)}</p>' if page.kind else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(page.title)}</title><style>{css}</style></head><body>"
        '<a class="skip" href="#content">Skip to content</a>'
        f"<header>{kind}<h1>{escaped(page.title)}</h1></header>"
        f'<main id="content"><div class="verdict {page.tone}"><span aria-hidden="true">{icon}</span>'
        f"<div><b>{escaped(status)}</b><p>{escaped(page.lead)}</p></div></div>"
        f"{_facts(page.facts) if page.facts else ''}{sections}</main><footer>Written by Headway</footer></body></html>\n"
    )
