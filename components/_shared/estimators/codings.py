"""How a search service that knows only plain numbers and words writes a parameter's value, and what that means."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from headway.components._shared.config import Config

# What survives a shell, a YAML template and a database as it is.
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


class Coding(Config):
    """One parameter on its way through a search service.

    Attributes:
        scale: `linear`: the number itself. `log10`: its exponent, since services ignore logarithmic distributions.
            `grid`: how many steps above `low`. `choice`: the name of one of `choices`.
        whole: Whether the parameter is a whole number.
        low: Smallest value, inclusive.
        high: Largest value, inclusive.
        step: Distance between the values of a grid.
        choices: Name to value, in order.
    """

    scale: Literal["linear", "log10", "grid", "choice"]
    whole: bool = False
    low: float = 0.0
    high: float = 0.0
    step: float = 1.0
    choices: dict[str, Any] = {}

    def decode(self, text: str) -> Any:
        """The parameter's value for what the service wrote; inside its range whatever the last digit is."""
        if self.scale == "choice":
            return self.choices[text]
        number = float(text)
        if self.scale == "log10":
            number = 10.0**number
        elif self.scale == "grid":
            number = self.low + round(number) * self.step
        number = min(max(number, self.low), self.high)
        return round(number) if self.whole else number

    def size(self) -> float:
        """How many values there are; infinite for a range of numbers."""
        if self.scale == "choice":
            return len(self.choices)
        if self.scale == "grid":
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return self.high - self.low + 1 if self.scale == "linear" and self.whole else math.inf

    def texts(self) -> list[str]:
        """All of them, as a service would write them; only where their number is finite."""
        if self.scale == "choice":
            return list(self.choices)
        start = 0 if self.scale == "grid" else round(self.low)
        return [str(start + place) for place in range(round(self.size()))]


def named_choices(values: Sequence[Any]) -> dict[str, Any]:
    """A name for each value: the value as it would be typed where that is plain, else its place in the list."""
    typed = [value if isinstance(value, str) else json.dumps(value) for value in values]
    plain = len(set(typed)) == len(typed) and all(_PLAIN.fullmatch(text) for text in typed)
    names = typed if plain else [f"choice-{place}" for place in range(len(values))]
    return dict(zip(names, values, strict=True))
