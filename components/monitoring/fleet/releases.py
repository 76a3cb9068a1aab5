"""The models of an endpoint, each looked at once: who it is, what it has learned from, and what was promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.profiles import Profile
from headway.components._shared.profiles.references import read_reference
from headway.components._shared.releases import fetch_description, release_verdict
from headway.components._shared.state import State
from headway.components._shared.verdicts import Verdict


@dataclass(frozen=True)
class Released:
    """A model that was released.

    Attributes:
        manifest: Who it is.
        profile: Of what it has learned from; None where it has none, as adopted models.
        promise: The verdict that let it through.
    """

    manifest: ModelManifest
    profile: Profile | None
    promise: Verdict


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
            self._known[digest] = Released(manifest, profile, release_verdict(uri))
        return self._known[digest]
