"""The one family of errors: every failure says what happened, which value is at fault, and what to do about it."""

from __future__ import annotations


class HeadwayError(Exception):
    """A failure that a user can act on.

    Args:
        code: Stable, dotted and lower case, such as `data.column_missing`; safe to match on.
        message: What happened, as one sentence. Never holds a value of a personal column.
        value: The value at fault, where one exists and it is not personal.
        remedy: What to do about it, as one sentence.
    """

    def __init__(self, code: str, message: str, *, remedy: str, value: object = None) -> None:
        self.code = code
        self.message = message
        self.value = value
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        given = "" if self.value is None else f" Given: {self.value!r}."
        return f"[{self.code}] {self.message}{given} Remedy: {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.code, self.message, self.value, self.remedy)


def _rebuild(kind: type[HeadwayError], code: str, message: str, value: object, remedy: str) -> HeadwayError:
    return kind(code, message, value=value, remedy=remedy)
