"""What data is compared with: a Profile, or that of a model's training data."""

from __future__ import annotations

import json
from pathlib import Path

from headway.components._shared.errors import HeadwayError
from headway.components._shared.profiles import Profile, read_profile


def read_reference(path: str) -> Profile | None:
    """The Profile in a file, or of a Model folder; None for the record that there is no champion.

    Raises:
        HeadwayError: `reference.without_profile`, or `profile.unreadable`.
    """
    place = Path(path)
    if not place.is_dir():
        return read_profile(place)
    manifest = place / "headway.json"
    document = json.loads(manifest.read_text()) if manifest.is_file() else {}
    if document.get("kind") == "no_champion":
        return None
    name = document.get("reference_profile") or "profile.json"
    if not (place / name).is_file():
        raise HeadwayError(
            "reference.without_profile",
            "The folder given as reference holds no profile.",
            value=str(path),
            remedy="Give a Profile, or a Model of train_model, which carries the profile of its training data.",
        )
    return read_profile(place / name)
