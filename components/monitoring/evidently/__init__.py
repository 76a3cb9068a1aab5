"""What detect_drift has found, as a report of Evidently and in an Evidently workspace."""

from importlib.util import find_spec

from headway.components._shared.errors import HeadwayError

if find_spec("evidently") is None:
    raise HeadwayError(
        "evidently.missing",
        "Evidently is not installed here; in a cluster the image `monitoring` has it.",
        remedy="pip install 'headway[monitoring]', with the versions of requirements/monitoring.lock.",
    )
