"""Values and words as they stand in a line, a table or a list: badges, intervals, links, digests."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Literal

from headway.components._shared.reports import formats

Tone = Literal["good", "warn", "bad", "neutral"]

_SIGNS: dict[Tone, str] = {
    "good": "M5 10.5l3.2 3.2L15 7",
    "warn": "M10 5v6.2M10 14.4v.1",
    "bad": "M6.2 6.2l7.6 7.6M13.8 6.2l-7.6 7.6",
    "neutral": "M10 9v5.6M10 5.6v.1",
}
_LONG_WORD = 16


@dataclass(frozen=True)
class Cell:
    """A value that wants a form of its own in a table, a list or among facts."""

    html: str
    numeric: bool = False


Value = str | float | bool | Cell | None


def badge(label: str, tone: Tone = "neutral") -> Cell:
    """A word with the colour and the sign of its tone."""
    return Cell(f'<span class="badge {tone}">{"" if tone == "neutral" else sign(tone)}{escaped(label)}</span>')


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
    return Cell(f"<code>{breakable(content)}</code>")


def lines(content: str) -> Cell:
    """Text whose line breaks and indents matter."""
    return Cell(f"<pre>{escaped(content)}</pre>")


def link(label: str, address: str) -> Cell:
    """A link to a file beside the page (relative) or to a place in it (`#...`)."""
    if ":" in address or address.startswith(("/", "\\")):
        raise ValueError(f"not a relative address: {address}")
    return Cell(f'<a href="{escaped(address)}">{escaped(label)}</a>')


def escaped(content: str) -> str:
    """Text that is safe in HTML, attributes included."""
    return html.escape(str(content), quote=True)


def shown(value: Value, decimals: int | None = None) -> str:
    return value.html if isinstance(value, Cell) else escaped(plain(value, decimals))


def prose(content: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(content))


def breakable(content: str) -> str:
    """Text whose long words may break where their parts meet: `HistGradient|Boosting|Classifier`, `a.|b.|c`."""
    parts = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[._/])", "\0", word) if len(word) > _LONG_WORD else word
        for word in content.split(" ")
    )
    return escaped(" ".join(parts)).replace("\0", "<wbr>")


def plain(value: Value, decimals: int | None = None) -> str:
    if value is None:
        return formats.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return formats.number(value, decimals)
    return "x" * 12 if isinstance(value, Cell) else str(value)


def sign(tone: Tone) -> str:
    """The tone's sign; the words beside it say the same, so it is silent for a screen reader."""
    return (
        '<svg class="sign" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><circle cx="10" cy="10" r="10"/>'
        f'<path d="{_SIGNS[tone]}"/></svg>'
    )
