"""The Open Inference Protocol as this suite speaks it: how rows become a request, and what the outputs are called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from headway.components._shared.artifacts import Feature
from headway.components._shared.times import format_time

DIGEST_HEADER = "headway-model-digest"
DIGEST_ANNOTATION = "headway/model-digest"  # of a version in Kubernetes
PROBE_HEADER = "headway-probe"  # a deployment's own requests, which no inference log takes for callers'
PREDICTION = "prediction"
PROBABILITY = "probability_"
MAX_BODY_BYTES = 16 * 2**20

_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
_FLOATS = ("FP64", "FP32", "FP16")

# Feature type to the tensor types that may carry it; the first one is the one we send and announce.
DATATYPES: Mapping[str, tuple[str, ...]] = {
    "integer": (*_INTEGERS, *_FLOATS),
    "number": (*_FLOATS, *_INTEGERS),
    "string": ("BYTES",),
    "boolean": ("BOOL",),
    "date": ("BYTES",),
    "datetime": ("BYTES",),
}


def request_of(frame: pl.DataFrame, features: Sequence[Feature]) -> dict[str, object]:
    """A v2 request for rows: one tensor a feature; a missing value is null."""
    return {
        "inputs": [
            {
                "name": feature.name,
                "shape": [frame.height],
                "datatype": DATATYPES[feature.type][0],
                "data": [_json_value(value) for value in frame[feature.name].to_list()],
            }
            for feature in features
        ]
    }


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
