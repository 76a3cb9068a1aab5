"""Times and durations as the suite writes them: UTC, ISO 8601 with `Z`, half-open windows, durations like `7d`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headway.components._shared.errors import HeadwayError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def now() -> datetime:
    """The present time in UTC. The only place where the suite reads the clock's date."""
    return datetime.now(UTC)


def format_time(time: datetime) -> str:
    """`2013-07-01T00:00:00Z`; a time without a zone counts as UTC. Microseconds only where there are some."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.isoformat().replace("+00:00", "Z")


def in_a_name(time: str) -> str:
    """A formatted time as a part of a key or file name: `20130701T000000Z`."""
    return time.replace("-", "").replace(":", "")


def parse_time(text: str) -> datetime:
    """Reads an ISO 8601 date or time into UTC; one without a zone counts as UTC.

    Raises:
        HeadwayError: `time.unreadable`; KFP macros that arrived raw are named as such.
    """
    try:
        time = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raw_macro = isinstance(text, str) and text.startswith("[[")
        raise HeadwayError(
            "time.unreadable",
            "A KFP macro arrived unreplaced." if raw_macro else "This is not an ISO 8601 time.",
            value=text,
            remedy="Give a UTC time such as 2013-07-01 or 2013-07-01T06:00:00Z"
            + (", or dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER in the pipeline's code." if raw_macro else "."),
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def parse_duration(text: str) -> timedelta:
    """Reads `90s`, `5m`, `1h`, `7d` or `2w`.

    Raises:
        HeadwayError: `duration.unreadable`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", str(text).strip())
    if not match:
        raise HeadwayError(
            "duration.unreadable",
            "This is not a duration.",
            value=text,
            remedy="Write a number and a unit out of s, m, h, d, w, such as 1h or 7d.",
        )
    return timedelta(**{_UNITS[match[2]]: float(match[1])})
