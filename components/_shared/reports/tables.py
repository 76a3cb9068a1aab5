"""Tables: each column drawn by what all of its rows hold, long ones folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway.components._shared.reports import formats
from headway.components._shared.reports.blocks import Block
from headway.components._shared.reports.cells import Cell, Value, escaped, plain, prose, shown

_FOLD_ABOVE, _SHOWN_WHEN_FOLDED = 24, 12
_LONG = 24  # a column of longer texts than that keeps some room


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
    first, folded = rows[:_SHOWN_WHEN_FOLDED], rows[_SHOWN_WHEN_FOLDED:]
    more = _table(form, folded, f"{caption or 'Table'} (continued)", widths=True)
    return Block(
        _table(form, first, caption, widths=True)
        + f"<details><summary>{len(folded):,} more rows</summary>{more}</details>"
    )


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
        min(48, max(len(name), 6, *(len(plain(value, places)) for value in column)))
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
        f'<th scope="col"{kind}>{escaped(name).replace("_", "_<wbr>")}</th>'
        for name, kind in zip(form.columns, form.kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{shown(value, places)}</td>" if i else f'<th scope="row"{kind}>{shown(value, places)}</th>'
            for i, (value, kind, places) in enumerate(zip(row, form.kinds, form.decimals, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    columns = "".join(f'<col style="width:{width}ch">' for width in form.widths) if widths else ""
    title = f"<caption>{prose(caption)}</caption>" if caption else ""
    name = "" if caption else f' aria-label="{escaped(", ".join(filter(None, form.columns)))}"'
    return (
        f'<div class="scroll"><table{name}>{title}{f"<colgroup>{columns}</colgroup>" if columns else ""}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(value: Value) -> bool:
    return value.numeric if isinstance(value, Cell) else value is None or _is_number(value)
