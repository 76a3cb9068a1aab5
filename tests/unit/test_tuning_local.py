"""The local engine keeps every engine's promises, and some of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.components._shared.estimators.tunings import Trial
from headway.components.tuning.engines import Engine
from headway.components.tuning.local import LocalEngine
from tests.engine_cases import EngineCases


class TestLocalEngine(EngineCases):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = LocalEngine()
        yield engine
        engine.close()
        engine.close()
        assert not _children()

    def test_with_one_worker_or_two_the_first_trials_are_the_same(self, engine: Engine, tmp_path: Path) -> None:
        one = self.search(engine, tmp_path, parallel=1, trials=2)
        two = self.search(LocalEngine(), tmp_path, parallel=2, trials=2)
        assert [_what(trial) for trial in one] == [_what(trial) for trial in two]

    def test_a_search_that_is_left_early_ends_its_workers(self, engine: Engine, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.search(engine, tmp_path, keep=_interrupt)
        assert not _children()


def _interrupt(_: Trial) -> None:
    raise KeyboardInterrupt


def _what(trial: Trial) -> tuple[object, ...]:
    return trial.params, trial.folds, trial.state


def _children() -> list[str]:
    """Worker processes of this process that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid() and "headway.components.training" in command:
            found.append(command)
    return found
