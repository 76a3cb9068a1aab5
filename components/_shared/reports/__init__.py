"""Reports: one self-contained HTML file each, with no outside address, readable without a script, light and dark."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headway.components._shared.reports import formats, vega

Tone = Literal["good", "warn", "bad", "neutral"]

# In an iframe filled by `srcdoc`, as in KFP's UI, a link to a place in the page loads the page around the iframe.
_SCRIPT = (
    'if(location.protocol==="about:")document.addEventListener("click",e=>{const a=e.target.closest(\'a[href^="#"]\');'
    "if(!a)return;e.preventDefault();const t=document.getElementById(a.hash.slice(1));"
    "if(t){t.scrollIntoView();t.focus({preventScroll:true})}})"
)
_SIGNS = {
    "good": ("Passed", "M5 10.5l3.2 3.2L15 7"),
    "warn": ("Passed with warnings", "M10 5v6.2M10 14.4v.1"),
    "bad": ("Failed", "M6.2 6.2l7.6 7.6M13.8 6.2l-7.6 7.6"),
    "neutral": ("", "M10 9v5.6M10 5.6v.1"),
}
_FOLD_ABOVE, _SHOWN_WHEN_FOLDED = 24, 12
_LONG = 24  # a column of longer texts than that keeps some room
_LONG_WORD = 16
_CONTENTS_FROM = 4


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
        tone: Colour and sign of the banner around the lead.
        facts: Label to value, shown under the lead.
        status: A word or two over the lead; by default what the tone says.
        kind: What kind of report it is, in small print over the title.
    """

    title: str
    lead: str
    tone: Tone = "neutral"
    facts: Mapping[str, Value] = field(default_factory=dict)
    status: str | None = None
    kind: str = ""
    _sections: list[tuple[str, tuple[Block, ...]]] = field(default_factory=list)

    def section(self, heading: str, *blocks: Block | str) -> None:
        """Adds a section; a plain string is a paragraph. Small figures that follow each other stand side by side."""
        self._sections.append((heading, tuple(_block(block) for block in blocks)))

    def html(self) -> str:
        """The whole page; the same bytes for the same content."""
        return _document(self, self._sections)

    def write(self, path: str | Path) -> None:
        """Writes the page to a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.html(), encoding="utf-8")


def text(content: str) -> Block:
    """A paragraph; what stands between backticks is set as code, here and in notes, lists and captions."""
    return Block(f"<p>{_prose(content)}</p>")


def note(content: str, tone: Tone = "neutral") -> Block:
    """A paragraph that must not be overlooked, with the sign of its tone."""
    return Block(f'<div class="note {tone}">{_sign(tone)}<p>{_prose(content)}</p></div>')


def facts(values: Mapping[str, Value]) -> Block:
    """A grid of labelled values."""
    pairs = (
        f"<div><dt>{escaped(label)}</dt><dd>{_breakable(value) if isinstance(value, str) else _value(value)}</dd></div>"
        for label, value in values.items()
    )
    return Block(f'<dl class="facts">{"".join(pairs)}</dl>')


def table(columns: Sequence[str], rows: Sequence[Sequence[Value]], caption: str | None = None) -> Block:
    """A table; the first column names the row. Long ones show their first rows and fold the others.

    Args:
        columns: Headings.
        rows: Strings, numbers (formatted and right-aligned), None, or cells such as `badge` and `percent`.
        caption: What the table shows.
    """
    if not rows:
        return Block(f'<p class="none">{escaped(caption or ", ".join(columns))}: none.</p>')
    form = _form(columns, rows)
    if len(rows) <= _FOLD_ABOVE:
        return Block(_table(form, rows, caption, widths=False))
    shown, folded = rows[:_SHOWN_WHEN_FOLDED], rows[_SHOWN_WHEN_FOLDED:]
    more = _table(form, folded, f"{caption or 'Table'} (continued)", widths=True)
    return Block(
        _table(form, shown, caption, widths=True)
        + f"<details><summary>{len(folded):,} more rows</summary>{more}</details>"
    )


def listing(items: Iterable[Value]) -> Block:
    """A bulleted list."""
    return Block(
        "<ul>"
        + "".join(f"<li>{_prose(item) if isinstance(item, str) else _value(item)}</li>" for item in items)
        + "</ul>"
    )


def figure(chart: vega.Chart | str, caption: str, description: str) -> Block:
    """A chart.

    Args:
        chart: A chart of `_shared.charts`, or SVG of our own making (never out of data).
        caption: What it shows, visible.
        description: What one sees in it, for those who do not see it.
    """
    svg = chart if isinstance(chart, str) else vega.render(chart)
    start, _, rest = svg.partition(">")
    image = f'{start} role="img"><title>{escaped(caption)}</title><desc>{escaped(description)}</desc>{rest}'
    return Block(f'<figure><figcaption>{_prose(caption)}</figcaption><div class="plot">{image}</div></figure>')


def details(summary: str, *blocks: Block | str) -> Block:
    """Blocks behind a line that opens them."""
    inner = "".join(_block(block).html for block in blocks)
    return Block(f"<details><summary>{escaped(summary)}</summary>{inner}</details>")


def code(content: str) -> Block:
    """Preformatted text, such as a command."""
    return Block(f"<pre><code>{escaped(content)}</code></pre>")


def badge(label: str, tone: Tone = "neutral") -> Cell:
    """A word with the colour and the sign of its tone."""
    return Cell(f'<span class="badge {tone}">{"" if tone == "neutral" else _sign(tone)}{escaped(label)}</span>')


def percent(value: float | None, digits: int = 1) -> Cell:
    """A share of 0 to 1 as percent."""
    return Cell(formats.percent(value, digits), numeric=True)


def interval(value: float, low: float, high: float) -> Cell:
    """An estimate with its interval."""
    estimate, _, bounds = formats.interval(value, low, high).partition(" ")
    return Cell(f'{estimate} <span class="bounds">{bounds}</span>', numeric=True)


def duration(seconds: float | None) -> Cell:
    """Seconds as people say them."""
    return Cell(formats.NOTHING if seconds is None else formats.duration(seconds), numeric=True)


def size(count: float | None) -> Cell:
    """Bytes in the unit that fits."""
    return Cell(formats.NOTHING if count is None else formats.size(count), numeric=True)


def span(start: float, end: float, total: float, tone: Tone = "neutral") -> Cell:
    """A bar from start to end on a scale from 0 to total seconds: when a step ran."""
    scale = 100 / total if total > 0 else 0.0
    words = escaped(f"from {formats.duration(start)} to {formats.duration(end)}")
    x, width = min(99.0, start * scale), max(1.0, (end - start) * scale)
    return Cell(
        f'<svg class="span tone-{tone}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img">'
        f'<title>{words}</title><rect width="100" height="8"/><rect x="{x:.1f}" width="{width:.1f}" height="8"/></svg>'
    )


def mono(content: str) -> Cell:
    """A digest, path or name in a fixed-width font."""
    return Cell(f"<code>{_breakable(content)}</code>")


def link(label: str, address: str) -> Cell:
    """A link to a file beside the page (relative) or to a place in it (`#...`)."""
    if ":" in address or address.startswith(("/", "\\")):
        raise ValueError(f"not a relative address: {address}")
    return Cell(f'<a href="{escaped(address)}">{escaped(label)}</a>')


def escaped(content: str) -> str:
    """Text that is safe in HTML, attributes included."""
    return html.escape(str(content), quote=True)


@dataclass(frozen=True)
class _Form:
    columns: Sequence[str]
    kinds: list[str]
    decimals: list[int | None]
    widths: list[int]


def _form(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> _Form:
    """How each column is drawn, decided over all of its rows."""
    by_column = [[row[i] for row in rows] for i in range(len(columns))]
    decimals = [formats.column_decimals(filter(_is_number, column)) for column in by_column]  # type: ignore[arg-type]
    lengths = [
        min(48, max(len(name), 6, *(len(_plain(value, places)) for value in column)))
        for name, column, places in zip(columns, by_column, decimals, strict=True)
    ]
    return _Form(
        columns,
        [
            ' class="num"' if all(map(_is_numeric, column)) else ' class="long"' if length > _LONG else ""
            for column, length in zip(by_column, lengths, strict=True)
        ],
        decimals,
        [length + 3 for length in lengths],
    )


def _table(form: _Form, rows: Sequence[Sequence[Value]], caption: str | None, *, widths: bool) -> str:
    head = "".join(
        f'<th scope="col"{kind}>{escaped(name)}</th>' for name, kind in zip(form.columns, form.kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{_value(value, places)}</td>" if i else f'<th scope="row"{kind}>{_value(value, places)}</th>'
            for i, (value, kind, places) in enumerate(zip(row, form.kinds, form.decimals, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    columns = "".join(f'<col style="width:{width}ch">' for width in form.widths) if widths else ""
    title = f"<caption>{_prose(caption)}</caption>" if caption else ""
    name = "" if caption else f' aria-label="{escaped(", ".join(filter(None, form.columns)))}"'
    return (
        f'<div class="scroll"><table{name}>{title}{f"<colgroup>{columns}</colgroup>" if columns else ""}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(value: Value) -> bool:
    return value.numeric if isinstance(value, Cell) else value is None or _is_number(value)


def _value(value: Value, decimals: int | None = None) -> str:
    return value.html if isinstance(value, Cell) else escaped(_plain(value, decimals))


def _prose(content: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(content))


def _breakable(content: str) -> str:
    """Text whose long words may break where their parts meet: `HistGradient|Boosting|Classifier`, `a.|b.|c`."""
    parts = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[._/])", "\0", word) if len(word) > _LONG_WORD else word
        for word in content.split(" ")
    )
    return escaped(" ".join(parts)).replace("\0", "<wbr>")


def _plain(value: Value, decimals: int | None = None) -> str:
    if value is None:
        return formats.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return formats.number(value, decimals)
    return "x" * 12 if isinstance(value, Cell) else str(value)


def _block(block: Block | str) -> Block:
    return text(block) if isinstance(block, str) else block


def _sign(tone: Tone) -> str:
    """The tone's sign; the words beside it say the same, so it is silent for a screen reader."""
    return (
        '<svg class="sign" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><circle cx="10" cy="10" r="10"/>'
        f'<path d="{_SIGNS[tone][1]}"/></svg>'
    )


def _document(page: Page, sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    style = _style()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_source_hash(_SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">\n'
        f"<title>{escaped(page.title)}</title>\n<style>\n{style}</style></head>\n<body>"
        '<a class="skip" href="#content">Skip to content</a>\n'
        f"<header>{_small(page.kind)}<h1>{escaped(page.title)}</h1></header>\n"
        f'<div class="body">{_contents(sections)}<main id="content" tabindex="-1">\n{_verdict(page)}'
        f"{facts(page.facts).html if page.facts else ''}\n"
        + "".join(_section(number, heading, blocks) for number, (heading, blocks) in enumerate(sections, start=1))
        + "</main></div>\n<footer><p>Written by Headway. This page loads nothing from elsewhere: keep, send or "
        f"print it as it is.</p></footer>\n<script>{_SCRIPT}</script></body></html>\n"
    )


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("reports.css").read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _small(kind: str) -> str:
    return f'<p class="kind">{escaped(kind)}</p>' if kind else ""


def _contents(sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    if len(sections) < _CONTENTS_FROM:
        return ""
    entries = "".join(
        f'<li><a href="#section-{number}">{escaped(heading)}</a></li>'
        for number, (heading, _) in enumerate(sections, start=1)
    )
    return f'<nav aria-label="Contents"><ol>{entries}</ol></nav>'


def _verdict(page: Page) -> str:
    status = _SIGNS[page.tone][0] if page.status is None else page.status
    word = f'<p class="status">{escaped(status)}</p>' if status else ""
    return f'<div class="verdict {page.tone}">{_sign(page.tone)}<div>{word}<p>{_prose(page.lead)}</p></div></div>'


def _section(number: int, heading: str, blocks: Sequence[Block]) -> str:
    parts: list[str] = []
    for block in blocks:
        follows = parts and parts[-1].endswith("</figure></div>") and block.html.startswith("<figure>")
        if follows:
            parts[-1] = f"{parts[-1].removesuffix('</div>')}{block.html}</div>"
        else:
            parts.append(
                f'<div class="figures">{block.html}</div>' if block.html.startswith("<figure>") else block.html
            )
    inner = "".join(parts)
    name = f"section-{number}"
    return f'<section aria-labelledby="{name}"><h2 id="{name}" tabindex="-1">{escaped(heading)}</h2>{inner}</section>\n'
