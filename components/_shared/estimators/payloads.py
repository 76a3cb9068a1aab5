"""The fitted pipeline as bytes: its digest, and its file as skops where every type is trusted, else as cloudpickle."""

from __future__ import annotations

import contextlib
import hashlib
import io
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.errors import HeadwayError

# Types that a model file may name and be loaded. Anything else is written as cloudpickle, with the reason recorded.
TRUSTED_PACKAGES = ("sklearn", "numpy", "scipy", "xgboost", "lightgbm")
TRUSTED_TYPES = (
    "collections.OrderedDict",
    "functools.partial",
    "headway.components._shared.estimators.pipelines.calendar_parts",
)

# Libraries whose versions read each other's files and compute alike; all others must be the same.
READ_ALIKE = {"numpy", "scipy", "pandas", "polars", "skops", "mlflow-skinny", "joblib"}

SKOPS_FILE = "model.skops"
PICKLE_FILE = "model.pkl"


def payload_sha256(pipeline: Any) -> str:
    """sha256 of the pipeline as joblib writes it."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def serialization_of(pipeline: Any) -> tuple[str, list[str]]:
    """How a pipeline is to be written: `skops` with the types to trust, or `cloudpickle: <reason>` with none."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        data = skops.io.dumps(pipeline)
        found = skops.io.get_untrusted_types(data=data)
        strange = [name for name in found if not _trusted(name)]
        if strange:
            return f"cloudpickle: {', '.join(strange)} is not on the list of trusted types", []
        skops.io.loads(data, trusted=found)
    except (TypeError, AttributeError, ValueError, NotImplementedError, UntrustedTypesFoundException) as error:
        return f"cloudpickle: skops cannot write it ({type(error).__name__})", []
    return "skops", sorted(found)


def read_pipeline(folder: Path) -> Any:
    """Loads the fitted pipeline from a model folder.

    Raises:
        HeadwayError: `model.file_missing`, `model.type_untrusted`, `model.library_missing`.
    """
    try:
        if (folder / SKOPS_FILE).is_file():
            return _read_skops(folder / SKOPS_FILE)
        if (folder / PICKLE_FILE).is_file():
            import joblib

            return joblib.load(folder / PICKLE_FILE)
    except ImportError as error:
        raise HeadwayError(
            "model.library_missing",
            f"The model needs a library that is not installed here: {error.name}.",
            value=str(error.name),
            remedy="Use the image that trained the model, or one built on ours with that library (docs/own-image.md).",
        ) from None
    raise HeadwayError(
        "model.file_missing",
        f"The model folder has neither {SKOPS_FILE} nor {PICKLE_FILE}.",
        value=folder.name,
        remedy="Pass the Model artifact of train_model or adopt_model, whole.",
    )


def require_libraries(manifest: ModelManifest) -> None:
    """Refuses a model that other versions of its libraries would load: they may read it otherwise, without a word.

    A library that is not here at all is found missing when the model is loaded, if that needs it.

    Raises:
        HeadwayError: `model.library_differs`.
    """
    differ = []
    for name in sorted(manifest.libraries.keys() - READ_ALIKE):
        wanted = manifest.libraries[name]
        with contextlib.suppress(PackageNotFoundError):
            if (found := version(name)) != wanted:
                differ.append(f"{name} {found} instead of {wanted}")
    if differ:
        raise HeadwayError(
            "model.library_differs",
            f"The model was trained with other versions of its libraries than are installed here: {', '.join(differ)}.",
            value=differ,
            remedy="Serve it with the image of the release that trained it (serving.kserve.image), or train it again.",
        )


def _read_skops(path: Path) -> Any:
    import skops.io

    found = skops.io.get_untrusted_types(file=path)
    strange = [name for name in found if not _trusted(name)]
    if strange:
        raise HeadwayError(
            "model.type_untrusted",
            f"The model file names types that are not on the list of trusted ones: {', '.join(strange[:5])}.",
            value=strange[:5],
            remedy="Train the model again with this version; never load a model file from elsewhere.",
        )
    return skops.io.load(path, trusted=found)


def _trusted(name: str) -> bool:
    return name in TRUSTED_TYPES or name.partition(".")[0] in TRUSTED_PACKAGES
