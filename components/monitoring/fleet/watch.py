"""Watches one endpoint: collects and judges each window that is due, in the order in which that could be done."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from headway.components._shared.audit import verify_events
from headway.components._shared.datasets import Dataset, open_dataset
from headway.components._shared.decisions import Decision, Problem, Watched
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json
from headway.components._shared.steps import log
from headway.components._shared.times import format_time, parse_time
from headway.components.monitoring.config import Monitoring
from headway.components.monitoring.decision.decide import decide_on
from headway.components.monitoring.decision.history import History
from headway.components.monitoring.drift.detect import compare
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.fleet.findings import Evidence, Findings
from headway.components.monitoring.fleet.labels import label_dataset
from headway.components.monitoring.fleet.releases import Released, Releases
from headway.components.monitoring.fleet.windows import Due, due_windows
from headway.components.monitoring.performance.measure import judge
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.service.measure import judge as judge_service
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.collect import collect, empty_window, is_released, log_place
from headway.components.monitoring.window.labels import Labels as KnownLabels
from headway.components.monitoring.window.labels import read_labels
from headway.components.monitoring.window.log import Log
from headway.components.monitoring.window.result import WindowResult
from headway.components.monitoring.window.span import Span


class Watch:
    """An endpoint that is watched.

    Args:
        state: The state folder.
        model_name: The endpoint.
        champion: Digest of the model in service.
        settings: How it is watched.
        folder: For what is only needed meanwhile.
        seed: Of everything random.
    """

    def __init__(
        self, state: State, model_name: str, champion: str, settings: Monitoring, folder: Path, seed: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.history = History(state, model_name)
        self.evidence = Evidence(state, model_name, folder)
        self._state = state
        self._name = model_name
        self._champion = champion
        self._settings = settings
        self._folder = folder
        self._seed = seed
        self._releases = Releases(state, model_name, folder / "releases")
        self._labels: dict[str, Dataset] = {}

    def due(self, as_of: datetime) -> list[Due]:
        """The windows that are over and were not judged, in the order in which they could be."""
        windows = self._settings.windows
        first = parse_time(windows.since) if windows.since else self._first(as_of)
        return due_windows(windows, self._settings.labels, self.history.entries, first, as_of)

    def judge_all(self, due: list[Due]) -> Watched:
        """Judges windows; what goes wrong ends that, and is told."""
        judged: list[Decision] = []
        problem: Problem | None = None
        asked = due[: self._settings.windows.at_most]
        for each in asked:
            try:
                judged.append(self._judge(each))
            except HeadwayError as error:
                log.error(f"{self._name}: {error}")
                problem = Problem(code=error.code, message=error.message, remedy=error.remedy)
                break
        return Watched(
            model_name=self._name,
            model_digest=self._champion,
            judged=tuple(judged),
            latest=self._latest(),
            left=len(due) - len(judged),
            problem=problem,
        )

    def recent(self, count: int) -> list[Decision]:
        """The last windows, each as it was judged last."""
        return self.history.past("9999", "9999").windows(count)

    def _latest(self) -> Decision | None:
        return next(iter(self.recent(1)), None)

    def _first(self, as_of: datetime) -> datetime:
        """When watching began: with the deployment of the model that was in service then; noted once.

        Single windows that somebody asks for, of whatever past, move it by nothing.
        """
        key = self._state.history_key(self._name, "watched.json")
        if self._state.storage.stat(key) is not None:
            return parse_time(str(self._state.read_json(key)["since"]))
        times = [
            parse_time(str(event["time"]))
            for event in verify_events(self._state, self._name)
            if event["action"] == "deployed" and event["model_digest"] == self._champion
        ]
        since = min(times[-1:], default=as_of)
        self._state.storage.create(key, dump_json({"since": format_time(since)}))
        return since

    def _judge(self, due: Due) -> Decision:
        """Judges a window by the model that it was judged by before, or by the one in service."""
        before = self.history.past("9999", "9999").of_window(format_time(due.start), format_time(due.end))
        digest = before[0].model_digest if before else self._champion
        with TemporaryDirectory(dir=self._folder) as scratch:
            window, released, rows = self._collect(due, digest, Path(scratch) / "window")
            cutoff = format_time(due.label_cutoff) if due.label_cutoff else None
            window = window.model_copy(update={"label_cutoff": cutoff})
            drift = self._drift(window, released, rows) if rows else None
            performance = self._performance(window, released, rows) if rows else None
        service = self._service(due, released)
        self.evidence.keep(Findings(window=window, drift=drift, performance=performance, service=service))
        policy = self._settings.policy
        decision, _ = decide_on(window, drift, performance, policy, self.history, self._state, service)
        log.info(f"{self._name} {window.start} to {window.end}: {decision.outcome}, {decision.reason}")
        return decision

    def _collect(self, due: Due, digest: str, folder: Path) -> tuple[WindowResult, Released, Dataset | None]:
        """The window's rows: of this model or, where it has none, of the released one that answered most."""
        window, released, others = self._collected(due, digest, folder)
        if not window.rows:
            known = [each for each, _ in others.most_common() if is_released(self._state, self._name, each)]
            if known:
                window, released, _ = self._collected(due, known[0], folder)
        return window, released, open_dataset(folder) if window.rows else None

    def _collected(self, due: Due, digest: str, folder: Path) -> tuple[WindowResult, Released, Counter[str]]:
        """The window of one model, perhaps without a row, and how much other versions answered."""
        released = self._releases.of(digest)
        found = self._log(due, released)
        labels = self._known_labels(released, due)
        try:
            window = collect(found, released.manifest, folder, self._name, labels, self._state)
        except HeadwayError as error:
            if error.code != "window.empty":
                raise
            window = empty_window(found, released.manifest, self._name, self._state)
        return window, released, found.counted.other_models

    def _log(self, due: Due, released: Released) -> Log:
        uri = log_place(self._settings.log_uri, self._state, self._name)
        return Log(uri, released.manifest, Span(due.start, due.end))

    def _service(self, due: Due, released: Released) -> ServiceResult | None:
        settings = self._settings.service
        return judge_service(self._log(due, released), settings, self._name) if settings else None

    def _known_labels(self, released: Released, due: Due) -> KnownLabels | None:
        """The labels that were known by the cutoff; those without a time are known once they are there."""
        source, manifest = self._settings.labels, released.manifest
        if source is None:
            return None
        if manifest.model_digest not in self._labels:
            folder = self._folder / "labels" / manifest.model_digest
            self._labels[manifest.model_digest] = label_dataset(source, manifest, folder)
        dataset = self._labels[manifest.model_digest]
        timed = any(name in dataset.columns for name in manifest.schema_.names("label_time"))
        return read_labels(dataset, manifest, due.label_cutoff if timed else None)

    def _drift(self, window: WindowResult, released: Released, rows: Dataset) -> DriftResult | None:
        settings, reference = self._settings.drift, released.profile
        if settings is None or reference is None:
            return None
        before = self.evidence.profile_before(window.model_digest, window.start)
        found, profile = compare(
            reference,
            rows,
            settings,
            manifest=released.manifest,
            promise=released.promise,
            before=before,
            seed=self._seed,
        )
        self.evidence.keep_profile(profile, window.model_digest, window.end)
        return found

    def _performance(self, window: WindowResult, released: Released, rows: Dataset) -> PerformanceResult | None:
        settings = self._settings.performance
        if settings is None:
            return None
        past = self.history.past(window.start, window.label_cutoff or window.end).windows(1, window.model_digest)
        earlier = self.evidence.of(past[0]) if past else None
        before = earlier.performance if earlier else None
        return judge(
            rows,
            released.manifest,
            released.promise,
            settings,
            before=before,
            model=released.load,
            seed=self._seed,
        )[0]
