"""The engine of a laptop and of a single pod: worker processes on this machine, suggestions from Optuna."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators.trials import Setting, TrialSpec, falls_behind
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.times import parse_duration
from headway.components.tuning.config import Study
from headway.components.tuning.decide import median_bars
from headway.components.tuning.engines import Engine, Search
from headway.components.tuning.sampling import suggest
from headway.components.tuning.workers import Worker, WorkerLost


class LocalEngine(Engine):
    """Trial n is suggested from the trials up to n - parallel, whatever else is finished by then: with the same seed
    a search takes the same course on any machine, and also when it was killed and resumed in between."""

    name = "local"

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._spec: TrialSpec | None = None
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._closed = False
        self._lock = threading.Lock()

    def open(self, spec: TrialSpec, study: Study) -> Setting:
        self._folder = tempfile.TemporaryDirectory(prefix="headway-tuning-")
        self._spec = spec
        self._spec_file.write_text(spec.model_dump_json())
        for _ in range(min(study.parallel, study.trials) if spec.searched else 1):
            self._idle.put(self._start())
        try:
            return self._workers[0].setting()
        except WorkerLost as lost:
            raise HeadwayError(
                "tuning.worker_lost",
                f"The worker could not start: {lost}.",
                remedy="Look at the memory limit of the step, and run `python -m headway.components.training --help`.",
            ) from None

    def trials(self, search: Search) -> Generator[Trial, None, None]:
        study = search.study
        window: deque[Future[Trial | None]] = deque()
        done: list[Trial] = []
        taken: list[dict[str, Any]] = []
        with ThreadPoolExecutor(study.parallel) as pool:
            try:
                for number in range(study.trials if search.space else 1):
                    if len(window) == study.parallel:
                        trial = window.popleft().result()
                        if trial is None:
                            return
                        done.append(trial)
                        yield trial
                    params = self._next(search, number, done, taken)
                    if params is None:
                        break
                    taken.append(params)
                    window.append(pool.submit(self._run, search, number, params, _bars(search, done, number)))
                for future in window:
                    trial = future.result()
                    if trial is None:
                        return
                    yield trial
            finally:
                self._kill()

    def close(self) -> None:
        self._kill()
        for worker in self._workers:
            worker.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _kill(self) -> None:
        """Ends the workers, so that no thread waits for one any more."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()

    def _next(
        self, search: Search, number: int, done: list[Trial], taken: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """The searched parameters of a trial; the baseline's are those that the estimator has anyway."""
        assert self._spec is not None
        if number == 0:
            given = {**search.setting.defaults, **self._spec.params}
            return {name: given[name] for name in search.space if name in given}
        return suggest(
            search.space,
            done,
            number=number,
            sampler=search.study.sampler,
            direction=search.setting.direction,
            seed=self._spec.seed,
            startup=max(4, min(10, search.study.trials // 3)),
            taken=taken,
        )

    def _run(self, search: Search, number: int, params: Mapping[str, Any], bars: list[float]) -> Trial | None:
        """One trial, fold by fold; None if the search ended in the middle of it."""
        assert self._spec is not None
        whole = {**self._spec.params, **params} if number else dict(self._spec.params)
        earlier = search.finished.get(number)
        if earlier is not None and earlier.params == whole:
            return earlier
        started = time.monotonic()
        end = started + parse_duration(search.study.trial_timeout).total_seconds()
        end = end if search.deadline is None else min(end, search.deadline)
        values: list[float] = []
        said = None
        state: Literal["succeeded", "pruned", "failed"] = "succeeded"
        cause = None
        worker = self._idle.get()
        try:
            worker = worker if worker.alive() else self._start()
            for fold in range(search.setting.folds):
                values.append(worker.score(params if number else {}, fold, end))
                if falls_behind(values, bars, search.setting.direction):
                    state, cause = "pruned", f"worse than the median after fold {fold + 1}"
                    break
        except HeadwayError as error:
            state, cause = "failed", error.message
        except WorkerLost as lost:
            state, cause, said = "failed", f"{lost}", lost.log
            worker.kill()
        finally:
            self._idle.put(worker)
        if self._closed or (search.deadline is not None and time.monotonic() >= search.deadline):
            return None
        trial = Trial(
            number=number,
            params=whole,
            state=state,
            folds=tuple(values),
            value=sum(values) / len(values) if state == "succeeded" else None,
            cause=cause,
            log=said,
            seconds=round(time.monotonic() - started, 3),
            code_digest=search.setting.code_digest,
            data_fingerprint=search.setting.data_fingerprint,
        )
        search.keep(trial)
        return trial

    def _start(self) -> Worker:
        with self._lock:
            if self._closed:
                raise WorkerLost("the search has ended")
            worker = Worker(self._spec_file)
            self._workers.append(worker)
        return worker

    @property
    def _spec_file(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "spec.json"


def _bars(search: Search, done: list[Trial], number: int) -> list[float]:
    if search.study.early_stopping == "none" or number == 0:
        return []
    return median_bars(done, search.setting.folds)
