"""The pieces that a page is made of: paragraphs, notes, facts, lists, charts, and what folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headway.components._shared.reports import vega
from headway.components._shared.reports.cells import Tone, Value, breakable, escaped, prose, shown, sign


@dataclass(frozen=True)
class Block:
    """A finished piece of a page; its HTML is safe, whatever the data held."""

    html: str


def text(content: str) -> Block:
    """A paragraph; what stands between backticks is set as code, here and in notes, lists and captions."""
    return Block(f"<p>{prose(content)}</p>")


def note(content: str, tone: Tone = "neutral") -> Block:
    """A paragraph that must not be overlooked, with the sign of its tone."""
    return Block(f'<div class="note {tone}">{sign(tone)}<p>{prose(content)}</p></div>')


def facts(values: Mapping[str, Value]) -> Block:
    """A grid of labelled values."""
    pairs = (
        f"<div><dt>{escaped(label)}</dt><dd>{breakable(value) if isinstance(value, str) else shown(value)}</dd></div>"
        for label, value in values.items()
    )
    return Block(f'<dl class="facts">{"".join(pairs)}</dl>')


def listing(items: Iterable[Value]) -> Block:
    """A bulleted list."""
    return Block(
        "<ul>"
        + "".join(f"<li>{prose(item) if isinstance(item, str) else shown(item)}</li>" for item in items)
        + "</ul>"
    )


def figure(chart: vega.Chart | str, caption: str, description: str) -> Block:
    """A chart.

    Args:
        chart: A chart of `_shared.charts`, or SVG of our own making (never out of data).
        caption: What it shows, visible.
        description: What one sees in it, for those who do not see it.
    """
    narrow = None if isinstance(chart, str) else vega.for_phone(chart)
    svg = chart if isinstance(chart, str) else vega.render(chart)
    images = [_image(svg, "" if narrow is None else "wide", caption, description)]
    if narrow is not None:
        images.append(_image(vega.render(narrow), "narrow", caption, description))
    return Block(f'<figure><figcaption>{prose(caption)}</figcaption><div class="plot">{"".join(images)}</div></figure>')


def _image(svg: str, shown: str, caption: str, description: str) -> str:
    start, _, rest = svg.partition(">")
    kind = f' class="{shown}"' if shown else ""
    return f'{start}{kind} role="img"><title>{escaped(caption)}</title><desc>{escaped(description)}</desc>{rest}'


def details(summary: str, *blocks: Block | str) -> Block:
    """Blocks behind a line that opens them."""
    inner = "".join(as_block(block).html for block in blocks)
    return Block(f"<details><summary>{escaped(summary)}</summary>{inner}</details>")


def code(content: str) -> Block:
    """Preformatted text, such as a command."""
    return Block(f"<pre><code>{escaped(content)}</code></pre>")


def as_block(block: Block | str) -> Block:
    return text(block) if isinstance(block, str) else block
