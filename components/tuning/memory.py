"""What a search remembers in the run's state, so that a killed step goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping

from headway.components._shared.config import parse
from headway.components._shared.estimators.trials import Setting, TrialSpec
from headway.components._shared.estimators.tunings import Trial
from headway.components._shared.reports.formats import counted
from headway.components._shared.state import State, dump_json, run_id
from headway.components.tuning.config import Parameter, Study

log = logging.getLogger("headway")


class Memory:
    """The finished trials of one search in one run: `runs/<run>/tuning/<digest of the search>/<number>.json`."""

    def __init__(
        self, state_uri: str, spec: TrialSpec, space: Mapping[str, Parameter], study: Study, setting: Setting
    ) -> None:
        what = {
            "estimator": spec.estimator,
            "params": spec.params,
            "seed": spec.seed,
            "space": {name: parameter.model_dump(mode="json") for name, parameter in space.items()},
            "study": study.model_dump(mode="json", exclude={"timeout", "trial_timeout", "goal", "resume", "pods"}),
            "setting": setting.model_dump(mode="json"),
        }
        digest = hashlib.sha256(dump_json(what)).hexdigest()
        self._state = State(state_uri)
        self._prefix = self._state.run_key(run_id() or "", f"tuning/{digest}")

    def keep(self, trial: Trial) -> None:
        """Writes a finished trial down."""
        key = f"{self._prefix}/{trial.number:04d}.json"
        self._state.storage.write(key, dump_json(trial.model_dump(mode="json")))

    def read(self) -> dict[int, Trial]:
        """The trials that an earlier try finished, by number."""
        found = [json.loads(self._state.storage.read(stat.key)) for stat in self._state.storage.list(self._prefix)]
        trials = [parse(Trial, record, parameter="trial") for record in found]
        if trials:
            log.info(f"tune_model: adopts {counted(len(trials), 'finished trial')} of an earlier try")
        return {trial.number: trial for trial in trials}
