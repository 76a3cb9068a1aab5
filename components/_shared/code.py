"""The code digest: which code trained a model, computed the same way in a checkout, a wheel and an image."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Libraries whose version changes what training gives.
TRAINING_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "polars", "skops", "mlflow-skinny", "joblib")


@functools.cache
def code_digest() -> str:
    """sha256 over the sources of `training` and `_shared` and the versions of the libraries that training uses."""
    components = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder in ("_shared", "training"):
        for path in sorted((components / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(components).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    for name, number in library_versions().items():
        digest.update(f"{name}=={number}\n".encode())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Name to version of the training libraries that are installed here."""
    found = {}
    for name in TRAINING_LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
