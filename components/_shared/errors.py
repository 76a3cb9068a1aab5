"""The one family of errors: every failure says what happened, which value is at fault, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


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


def raise_together(code: str, faults: Sequence[HeadwayError]) -> None:
    """Raises what was found: one error as it is, several as one of this code that tells each of them."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        told = "".join(f"\n  {number}. {fault}" for number, fault in enumerate(faults, start=1))
        raise HeadwayError(code, f"There are {len(faults)} problems:{told}\n", remedy="Mend each as it says.")


def _rebuild(kind: type[HeadwayError], code: str, message: str, value: object, remedy: str) -> HeadwayError:
    return kind(code, message, value=value, remedy=remedy)
