"""The models of an endpoint, each looked at once: who it is, what it has learned from, and what was promised of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.estimators import LoadedModel, load_model
from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.references import read_reference
from headway.components._shared.releases import fetch_description, fetch_release, release_verdict
from headway.components._shared.state import State
from headway.components._shared.verdicts import Verdict


@dataclass(frozen=True)
class Released:
    """A model that was released.

    Attributes:
        manifest: Who it is.
        profile: Of what it has learned from; None where it has none, as adopted models.
        promise: The verdict that let it through.
        load: Copies the model itself, and gives it; for what needs its answers anew.
    """

    manifest: ModelManifest
    profile: Profile | None
    promise: Verdict
    load: Callable[[], LoadedModel]


class Releases:
    """The released models of an endpoint.

    Args:
        state: Where they are.
        model_name: The endpoint.
        folder: For copies of their descriptions.
    """

    def __init__(self, state: State, model_name: str, folder: Path) -> None:
        self._state = state
        self._name = model_name
        self._folder = folder
        self._known: dict[str, Released] = {}

    def of(self, digest: str) -> Released:
        """A model by its digest.

        Raises:
            HeadwayError: `release.missing`, `release.changed`.
        """
        if digest not in self._known:
            uri = self._state.uri_of(self._state.release_key(self._name, digest))
            place = self._folder / digest
            manifest = fetch_description(uri, place)
            profile = read_reference(str(place)) if manifest.reference_profile else None
            self._known[digest] = Released(manifest, profile, release_verdict(uri), partial(self._load, uri, digest))
        return self._known[digest]

    def _load(self, uri: str, digest: str) -> LoadedModel:
        place = self._folder / f"{digest}-model"
        if not place.exists():
            fetch_release(uri, place)
        return load_model(place)
