"""A step that is told to end: SIGTERM leaves it about a quarter of a second."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ended(SystemExit):
    """SIGTERM came."""


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    """While this lasts, SIGTERM raises `Ended` wherever the step is; a second one changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Ended(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
