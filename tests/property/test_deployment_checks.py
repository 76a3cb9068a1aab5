"""The decision rules of the deployment's checks."""

import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.components._shared.artifacts import Feature, ModelManifest
from headway.components._shared.schemas import Column, Schema
from headway.components.deployment.checks import compare, percentile
from headway.components.deployment.golden import Golden

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
TOLERANCE = 1e-9


def golden(probabilities):
    manifest = ModelManifest(
        model_digest="a" * 64,
        payload_sha256="b" * 64,
        task="binary",
        target="y",
        classes=("no", "yes"),
        features=(Feature(name="x", type="number"),),
        schema=Schema(columns=(Column(name="x", type="number"),)),
        estimator="x.Y",
        data_fingerprint="c" * 64,
        code_digest="d" * 64,
    )
    labels = ["yes" if p > 0.5 else "no" for p in probabilities]
    rows = {"x": [0.0] * len(labels), "prediction": labels, "probability_yes": probabilities}
    return Golden(pl.DataFrame(rows), manifest)


def answer(labels, probabilities):
    return {"outputs": [{"name": "prediction", "data": labels}, {"name": "probability_yes", "data": probabilities}]}


@given(PROBABILITIES, st.data())
def test_a_row_differs_exactly_when_its_probability_is_further_away_than_the_tolerance(probabilities, data):
    shifts = data.draw(st.lists(st.sampled_from([0.0, 1e-11, -1e-11, 1e-6, -0.5]), min_size=40, max_size=40))
    known = golden(probabilities)
    shifted = [p + s for p, s in zip(probabilities, shifts, strict=False)]
    wrong, largest = compare(known, answer(list(known.expected()["prediction"]), shifted), TOLERANCE)
    assert wrong == {i for i, s in enumerate(shifts[: len(probabilities)]) if abs(s) > TOLERANCE}
    assert math.isclose(largest, max(abs(a - b) for a, b in zip(shifted, probabilities, strict=True)))


@given(PROBABILITIES, st.data())
def test_a_row_with_another_label_differs_whatever_the_tolerance(probabilities, data):
    known = golden(probabilities)
    labels = list(known.expected()["prediction"])
    position = data.draw(st.integers(0, len(labels) - 1))
    labels[position] = data.draw(st.sampled_from(["maybe", None, 1, True, 0.5]))
    assert compare(known, answer(labels, probabilities), 100.0)[0] == {position}


@settings(max_examples=200)
@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    smaller = [v for v in values if v < found]
    assert not smaller or sum(v <= max(smaller) for v in values) < share * len(values)
