"""What was found in each window, kept beside the decision: the evidence, and what pages draw over time."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from headway.components._shared.config import Config
from headway.components._shared.decisions import Decision
from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import Profile, read_profile, write_profile
from headway.components._shared.state import State, dump_json
from headway.components._shared.times import in_a_name
from headway.components.monitoring.drift.result import DriftResult
from headway.components.monitoring.performance.result import PerformanceResult
from headway.components.monitoring.service.result import ServiceResult
from headway.components.monitoring.window.result import WindowResult


class Findings(Config):
    """Of one window at one label cutoff.

    Attributes:
        window: What was collected.
        drift: None where it was not looked at.
        performance: None where it was not measured.
        service: None where it was not measured.
    """

    window: WindowResult
    drift: DriftResult | None = None
    performance: PerformanceResult | None = None
    service: ServiceResult | None = None


class Evidence:
    """What was found in the windows of an endpoint.

    Args:
        state: The state folder.
        model_name: The endpoint.
        folder: For copies.
    """

    def __init__(self, state: State, model_name: str, folder: Path) -> None:
        self._state = state
        self._name = model_name
        self._folder = folder

    def keep(self, found: Findings) -> None:
        """Writes down what was found, unless that is there."""
        window = found.window
        times = (window.start, window.end, window.label_cutoff or window.end)
        key = self._key(window.model_digest, "_".join(map(in_a_name, times)))
        self._state.storage.create(key, dump_json(found.model_dump(mode="json")))

    def of(self, decision: Decision) -> Findings | None:
        """What a decision rests on; None where that is not there or cannot be read."""
        key = self._key(decision.model_digest, decision.key)
        if self._state.storage.stat(key) is None:
            return None
        try:
            return Findings.model_validate_json(self._state.storage.read(key))
        except ValidationError:
            return None

    def profile_before(self, model_digest: str, end: str) -> Profile | None:
        """The profile of the window that ended then, if that was the last one to be profiled and can be read."""
        key = self._profile_key(model_digest, end)
        if self._state.storage.stat(key) is None:
            return None
        place = self._folder / "before.json"
        self._state.storage.download(key, place)
        try:
            return read_profile(place)
        except HeadwayError:
            return None

    def keep_profile(self, profile: Profile, model_digest: str, end: str) -> None:
        """Keeps the profile of a window for the next one, and only that."""
        folder = self._state.history_key(self._name, "profiles")
        place, key = self._folder / "profile.json", self._profile_key(model_digest, end)
        write_profile(profile, place)
        earlier = [stat.key for stat in self._state.storage.list(folder) if stat.key < key]
        self._state.storage.write(key, place.read_bytes())
        for old in earlier:
            self._state.storage.delete(old)

    def _key(self, model_digest: str, times: str) -> str:
        return self._state.history_key(self._name, f"findings/{model_digest[:12]}_{times}.json")

    def _profile_key(self, model_digest: str, end: str) -> str:
        return self._state.history_key(self._name, f"profiles/{in_a_name(end)}_{model_digest[:12]}.json")
