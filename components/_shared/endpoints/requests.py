"""Reads a prediction request into rows, and refuses what the model was not made for before it reaches the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from headway.components._shared.artifacts import ModelManifest
from headway.components._shared.endpoints.inference import DATATYPES
from headway.components._shared.errors import HeadwayError
from headway.components._shared.inference_logs import id_column
from headway.components._shared.schemas import DTYPES

_WANTED = {
    "integer": "a whole number of at most 64 bits",
    "number": "a finite number",
    "string": "text",
    "boolean": "true or false",
    "date": "a date such as 2013-07-01",
    "datetime": "a time such as 2013-07-01T06:00:00Z",
}


@dataclass(frozen=True)
class Tensor:
    """One named input: the values of one feature, as the caller sent them."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[object]


@dataclass(frozen=True)
class Input:
    """One feature that a request must give."""

    name: str
    type: str
    nullable: bool


class Inputs:
    """What a model asks of a request.

    Args:
        manifest: The model's.
        max_rows: Most rows that one request may have.
    """

    def __init__(self, manifest: ModelManifest, max_rows: int) -> None:
        columns = {feature.name: manifest.schema_.column(feature.name) for feature in manifest.features}
        self.features = tuple(
            Input(f.name, f.type, nullable=(column := columns[f.name]) is None or column.nullable)
            for f in manifest.features
        )
        by = id_column(manifest)
        self.id = Input(by.name, by.type, nullable=False) if by else None
        self.max_rows = max_rows

    def read_tensors(self, tensors: Sequence[Tensor]) -> pl.DataFrame:
        """Rows of a v2 request: one tensor a feature, of shape [n] or [n, 1], and one of ids where the caller has some.

        Raises:
            HeadwayError: `request.*`, naming the column and the row's position, never a value.
        """
        names = [tensor.name for tensor in tensors]
        self._check_names(names, twice=sorted({name for name in names if names.count(name) > 1}))
        by_name = {tensor.name: tensor for tensor in tensors}
        rows = _row_count(by_name[self.features[0].name])
        self._check_count(rows)
        columns = {}
        for feature in self._given(names):
            tensor = by_name[feature.name]
            if tensor.datatype not in DATATYPES[feature.type]:
                raise HeadwayError(
                    "request.type_wrong",
                    f"The tensor {feature.name!r} has a datatype that cannot carry {feature.type} values.",
                    value=tensor.datatype,
                    remedy=f"Send {feature.name!r} as {' or '.join(DATATYPES[feature.type][:1])}.",
                )
            if _row_count(tensor) != rows:
                raise _shape_error(tensor, f"{rows} rows, as {self.features[0].name!r} has")
            columns[feature.name] = _column(feature, _flat(tensor))
        return pl.DataFrame(columns)

    def read_instances(self, instances: object) -> pl.DataFrame:
        """Rows of a v1 request: a list of objects by feature name, or of lists in the order of the features.

        Objects may have an id too, each of them or none.

        Raises:
            HeadwayError: `request.*`, naming the column and the row's position, never a value.
        """
        if not isinstance(instances, list):
            raise HeadwayError(
                "request.malformed",
                "The request has no list `instances`.",
                remedy='Send {"instances": [{feature: value, ...}, ...]}.',
            )
        self._check_count(len(instances))
        first = instances[0]
        inputs = self._given(list(first) if isinstance(first, dict) else ())
        wanted = [each.name for each in inputs]
        rows: list[Sequence[object]] = []
        for position, instance in enumerate(instances):
            if isinstance(instance, dict):
                self._check_names(list(instance), twice=[], wanted=wanted)
                rows.append([instance[name] for name in wanted])
            elif isinstance(instance, list) and len(instance) == len(wanted):
                rows.append(instance)
            else:
                raise HeadwayError(
                    "request.shape_invalid",
                    f"Instance {position} is neither an object by feature name nor a list of {len(wanted)} values.",
                    value=position,
                    remedy=f"Give the features {', '.join(wanted)}.",
                )
        columns = zip(*rows, strict=True)
        return pl.DataFrame({f.name: _column(f, list(c)) for f, c in zip(inputs, columns, strict=True)})

    def _given(self, names: Collection[str]) -> tuple[Input, ...]:
        """The features, and the id where it is among the names."""
        return (*self.features, self.id) if self.id and self.id.name in names else self.features

    def _check_names(self, names: Sequence[str], *, twice: Sequence[str], wanted: Sequence[str] = ()) -> None:
        wanted = wanted or [each.name for each in self._given(names)]
        missing = [name for name in wanted if name not in names]
        unknown = [name[:60] for name in names if name not in wanted]
        problems = [
            ("request.column_twice", "gives a column twice", list(twice)),
            ("request.column_missing", "lacks a column", missing),
            ("request.column_unknown", "has a column that the model does not know", unknown),
        ]
        for code, what, at_fault in problems:
            if at_fault:
                raise HeadwayError(
                    code,
                    f"The request {what}.",
                    value=at_fault[:20],
                    remedy=f"Give each of these once: {', '.join(wanted)}.",
                )

    def _check_count(self, rows: int) -> None:
        if rows == 0:
            raise HeadwayError("request.empty", "The request has no rows.", remedy="Send at least one row.")
        if rows > self.max_rows:
            raise HeadwayError(
                "request.too_large",
                f"The request has more than {self.max_rows} rows.",
                value=rows,
                remedy=f"Send at most {self.max_rows} rows at once, or use batch prediction.",
            )


def _row_count(tensor: Tensor) -> int:
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] != len(tensor.data):
        raise _shape_error(tensor, f"shape [n] or [n, 1] for the {len(tensor.data)} values that were sent")
    return shape[0]


def _shape_error(tensor: Tensor, wanted: str) -> HeadwayError:
    return HeadwayError(
        "request.shape_invalid",
        f"The tensor {tensor.name!r} has the wrong shape.",
        value=list(tensor.shape)[:8],
        remedy=f"Give {wanted}.",
    )


def _flat(tensor: Tensor) -> list[object]:
    """The values of a column whether they were sent as [1, 2] or as [[1], [2]]."""
    if len(tensor.shape) == 1:
        return list(tensor.data)
    return [v[0] if isinstance(v, list) and len(v) == 1 else v for v in tensor.data]


def _column(feature: Input, values: Sequence[object]) -> pl.Series:
    read = _READERS[feature.type]
    cells: list[object] = []
    for position, value in enumerate(values):
        if value is None:
            if not feature.nullable:
                raise _value_error("request.null", feature, position, "is null, and it may not be")
            cells.append(None)
            continue
        try:
            cells.append(read(value))
        except (TypeError, ValueError, OverflowError):
            raise _value_error("request.value_invalid", feature, position, f"is not {_WANTED[feature.type]}") from None
    return pl.Series(feature.name, cells, dtype=DTYPES[feature.type])


def _value_error(code: str, feature: Input, position: int, what: str) -> HeadwayError:
    return HeadwayError(
        code,
        f"The value of {feature.name!r} in row {position} {what}.",
        value=position,
        remedy=f"Send {_WANTED[feature.type]}{', or null' if feature.nullable else ''}.",
    )


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    number = int(value)
    if number != value or not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _string(value: object) -> str:
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError
    text.encode()  # a lone surrogate is legal in JSON and nowhere else
    return text


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: object) -> date:
    return date.fromisoformat(_string(value))


def _datetime(value: object) -> datetime:
    time = datetime.fromisoformat(_string(value))
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


_READERS: Mapping[str, Callable[[object], object]] = {
    "integer": _integer,
    "number": _number,
    "string": _string,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}
