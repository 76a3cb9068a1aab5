"""Logged requests, which a candidate is asked again without anyone noticing."""

from __future__ import annotations

import polars as pl

from headway.components._shared.artifacts import Artifact
from headway.components._shared.datasets import open_dataset
from headway.components._shared.errors import HeadwayError
from headway.components._shared.schemas import require_columns
from headway.components.deployment.config import RolloutPlan
from headway.components.deployment.golden import Golden

_MOST = 100_000


def logged_requests(requests: Artifact | None, plan: RolloutPlan, golden: Golden) -> pl.DataFrame | None:
    """The features of the requests, of every n-th one where there are very many; None where none are given.

    Raises:
        HeadwayError: `deployment.requests_missing`, `data.column_missing`, or why the dataset cannot be opened.
    """
    if requests is None:
        if plan.strategy == "shadow":
            raise HeadwayError(
                "deployment.requests_missing",
                "The strategy shadow asks candidate and stable version for logged requests, and there are none.",
                remedy="Give deploy_model the input requests, a dataset of them, or choose another strategy.",
            )
        return None
    dataset = open_dataset(requests.path)
    features = [feature.name for feature in golden.manifest.features]
    require_columns(dataset.columns, features, what="The dataset of logged requests")
    return dataset.scan().select(features).gather_every(max(1, dataset.rows // _MOST)).collect()
