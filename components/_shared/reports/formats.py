"""Numbers as people read them: in reports, in closing lines, in messages."""

from __future__ import annotations

import math
from collections.abc import Iterable

DIGITS = 4
_LONGEST = 6
NOTHING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, decimals: int | None = None) -> str:
    """`1,234`, `0.7123`, `12.3`, `1.5×10⁻⁷`: at most four significant digits, whole numbers whole.

    Args:
        value: The number; None and NaN give a dash.
        decimals: As many decimals as that, where a column wants them alike.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if decimals is not None:
        shown = f"{value:,.{decimals}f}"
    elif isinstance(value, int) or (size == int(size) and size < 1e15):
        shown = f"{int(value):,}"
    elif 1e-4 <= size < 1e15:
        shown = f"{value:,.{decimals_for(size)}f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    else:
        mantissa, _, exponent = f"{value:.{DIGITS - 1}e}".partition("e")
        shown = f"{mantissa.rstrip('0').rstrip('.')}×10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return shown.replace("-", "−")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,000 rows`, `1 class`, `3 classes`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share of 0 to 1 as `12.3%`."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:,.{digits}f}%".replace("-", "−")


def interval(value: float, low: float, high: float) -> str:
    """`0.7123 [0.7080, 0.7160]`: an estimate and its interval with the same decimals."""
    decimals = column_decimals([value, low, high])
    return f"{number(value, decimals)} [{number(low, decimals)}, {number(high, decimals)}]"


def duration(seconds: float) -> str:
    """`0.04 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes as `640 B`, `12.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def decimals_for(value: float) -> int:
    """Decimals that show four significant digits of a number."""
    return max(0, DIGITS - 1 - math.floor(math.log10(abs(value)))) if value else 0


def column_decimals(values: Iterable[float | None]) -> int | None:
    """Decimals under which all numbers of a column read well; None when they are whole or too different in size.

    The largest number shows four significant digits or more, and the smallest at least two, three where four decimals
    are enough for it.
    """
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value) and value]
    if not sizes or all(size == int(size) for size in sizes):
        return None
    largest, smallest = math.floor(math.log10(max(sizes))), math.floor(math.log10(min(sizes)))
    decimals = max(decimals_for(max(sizes)), min(2 - smallest, 4))
    fits = 1 - smallest <= decimals and max(largest, 0) + 1 + decimals <= _LONGEST
    return decimals if fits else None
