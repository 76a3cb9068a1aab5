"""What the model server reads from a request, and what it refuses."""

import math

import polars as pl
import pytest

from headway.components._shared.artifacts import Feature, ModelManifest
from headway.components._shared.endpoints.inference import request_of
from headway.components._shared.endpoints.requests import Inputs, Tensor
from headway.components._shared.errors import HeadwayError
from tests.deployment_samples import PLANTED, SCHEMA, flights

TYPES = {"carrier": "string", "hour": "integer", "distance": "number", "peak": "boolean", "day": "date"}


@pytest.fixture
def inputs():
    manifest = ModelManifest(
        model_digest="a" * 64,
        payload_sha256="b" * 64,
        task="binary",
        target="late",
        classes=("late", "on time"),
        features=tuple(Feature(name=name, type=kind) for name, kind in TYPES.items()),
        schema=SCHEMA,
        estimator="x.Y",
        data_fingerprint="c" * 64,
        code_digest="d" * 64,
    )
    return Inputs(manifest, max_rows=3)


def tensors(**changes):
    """A good request of two rows, with some tensors changed."""
    good = {
        "carrier": Tensor("carrier", "BYTES", [2], ["AA", "UA"]),
        "hour": Tensor("hour", "INT64", [2], [6, 23]),
        "distance": Tensor("distance", "FP64", [2], [500.5, None]),
        "peak": Tensor("peak", "BOOL", [2], [True, False]),
        "day": Tensor("day", "BYTES", [2], ["2013-07-01", "2013-07-02"]),
    }
    return [t for t in {**good, **changes}.values() if t is not None]


def code(inputs, changed):
    with pytest.raises(HeadwayError) as error:
        inputs.read_tensors(changed)
    return error.value.code, str(error.value)


def test_tensors_become_rows_in_the_order_of_the_features(inputs):
    frame = inputs.read_tensors(list(reversed(tensors())))
    assert frame.columns == list(TYPES)
    assert frame["distance"].to_list() == [500.5, None]
    assert frame.schema["day"] == pl.Date


def test_a_column_of_shape_n_by_1_reads_like_one_of_shape_n(inputs):
    nested = tensors(hour=Tensor("hour", "INT64", [2, 1], [[6], [23]]))
    assert inputs.read_tensors(nested).equals(inputs.read_tensors(tensors()))


def test_rows_survive_the_way_through_a_request(inputs):
    rows = flights(3).select(TYPES.keys())
    sent = request_of(rows, [Feature(name=n, type=t) for n, t in TYPES.items()])["inputs"]
    frame = inputs.read_tensors([Tensor(**t) for t in sent])
    assert frame.equals(rows.cast({"hour": pl.Int64}))


def test_instances_may_be_objects_or_lists(inputs):
    values = ["AA", 6, None, True, "2013-07-01"]
    frame = inputs.read_instances([dict(zip(TYPES, values, strict=True)), values])
    assert frame[0].equals(frame[1])


@pytest.mark.parametrize(
    ("changed", "wanted", "says"),
    [
        ({"hour": None}, "request.column_missing", "lacks a column. Given: ['hour']"),
        ({"gate": Tensor("gate", "BYTES", [2], ["a", "b"])}, "request.column_unknown", "['gate']"),
        ({"again": Tensor("hour", "INT64", [2], [6, 23])}, "request.column_twice", "['hour']"),
        ({"hour": Tensor("hour", "INT64", [3], [6, 23])}, "request.shape_invalid", "'hour' has the wrong shape"),
        ({"hour": Tensor("hour", "INT64", [1, 2], [[6, 23]])}, "request.shape_invalid", "Given: [1, 2]"),
        ({"hour": Tensor("hour", "INT64", [1], [6])}, "request.shape_invalid", "2 rows, as 'carrier' has"),
        ({"hour": Tensor("hour", "BYTES", [2], ["6", "23"])}, "request.type_wrong", "Send 'hour' as INT64"),
        ({"hour": Tensor("hour", "INT64", [2], [6, "23"])}, "request.value_invalid", "'hour' in row 1 is not a whole"),
        ({"hour": Tensor("hour", "INT64", [2], [6, True])}, "request.value_invalid", "row 1"),
        ({"hour": Tensor("hour", "INT64", [2], [2**63, 1])}, "request.value_invalid", "at most 64 bits"),
        ({"hour": Tensor("hour", "FP64", [2], [6.5, 1])}, "request.value_invalid", "row 0"),
        ({"hour": Tensor("hour", "INT64", [2], [6, None])}, "request.null", "'hour' in row 1 is null"),
        ({"distance": Tensor("distance", "FP64", [2], [math.nan, 1])}, "request.value_invalid", "not a finite number"),
        ({"distance": Tensor("distance", "FP64", [2], [math.inf, 1])}, "request.value_invalid", "not a finite number"),
        ({"distance": Tensor("distance", "FP64", [2], [10**400, 1])}, "request.value_invalid", "not a finite number"),
        ({"carrier": Tensor("carrier", "BYTES", [2], ["\ud800", "a"])}, "request.value_invalid", "is not text"),
        ({"peak": Tensor("peak", "BOOL", [2], [1, 0])}, "request.value_invalid", "is not true or false"),
        ({"day": Tensor("day", "BYTES", [2], ["1 July", None])}, "request.value_invalid", "not a date such as 2013"),
    ],
)
def test_a_request_that_the_model_was_not_made_for_is_refused_by_name(inputs, changed, wanted, says):
    got, message = code(inputs, tensors(**changed))
    assert got == wanted
    assert says in message


def test_no_rows_and_too_many_rows_are_refused(inputs):
    empty = [Tensor(t.name, t.datatype, [0], []) for t in tensors()]
    assert code(inputs, empty)[0] == "request.empty"
    many = [Tensor(t.name, t.datatype, [4], list(t.data) * 2) for t in tensors()]
    got, message = code(inputs, many)
    assert got == "request.too_large"
    assert "more than 3 rows" in message


def test_no_message_repeats_a_value(inputs):
    for name in TYPES:
        bad = Tensor(name, "BYTES" if name in ("carrier", "day") else "FP64", [2], [[PLANTED], {"a": PLANTED}])
        _, message = code(inputs, tensors(**{name: bad}))
        assert PLANTED not in message


@pytest.mark.parametrize("instances", [None, {}, "x", [7], [["AA"]], [{"carrier": "AA"}], []])
def test_instances_of_another_form_are_refused(inputs, instances):
    with pytest.raises(HeadwayError, match=r"request\.(malformed|shape_invalid|column_missing|empty)"):
        inputs.read_instances(instances)
