"""Reports: one self-contained HTML file each, with no outside address, readable without a script, light and dark."""

from headway.components._shared.reports.blocks import Block, code, details, facts, figure, listing, note, text
from headway.components._shared.reports.cells import (
    Cell,
    Tone,
    Value,
    badge,
    duration,
    escaped,
    interval,
    lines,
    link,
    mono,
    percent,
    size,
    span,
)
from headway.components._shared.reports.page import Page
from headway.components._shared.reports.tables import table

__all__ = [
    "Block",
    "Cell",
    "Page",
    "Tone",
    "Value",
    "badge",
    "code",
    "details",
    "duration",
    "escaped",
    "facts",
    "figure",
    "interval",
    "lines",
    "link",
    "listing",
    "mono",
    "note",
    "percent",
    "size",
    "span",
    "table",
    "text",
]
