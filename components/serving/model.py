"""Our model behind kserve's interface: a request becomes rows, predictions become named outputs."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from headway.components._shared.endpoints.inference import DATATYPES, PREDICTION, PROBABILITY
from headway.components._shared.endpoints.requests import Inputs, Tensor
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components._shared.estimators import LoadedModel, Predictions
from headway.components.serving.log import CURRENT, LogWriter


class Refusal(InvalidInput):  # type: ignore[misc]
    """A request that was refused; kserve's gRPC server answers it with INVALID_ARGUMENT.

    Args:
        error: What is wrong with the request.
    """

    def __init__(self, error: HeadwayError) -> None:
        super().__init__(str(error))
        self.error = error


class TabularModel(Model):  # type: ignore[misc]
    """One model of ours as kserve serves it.

    Args:
        name: The name in the address.
        loaded: The model.
        threshold: Probability of the positive class from which on a binary model predicts it; None takes the
            estimator's own decision.
        max_rows: Most rows that one request may have.
        log: Takes requests over gRPC; those over HTTP are written by the guard, which knows how they ended.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        *,
        threshold: float | None,
        max_rows: int,
        log: LogWriter | None = None,
    ) -> None:
        super().__init__(name)
        self.log = log
        self.loaded = loaded
        self.version = loaded.manifest.model_digest[:12]
        self.threshold = threshold
        self.inputs = Inputs(loaded.manifest, max_rows)
        self.ready = True

    def predict(self, payload: object, *_: object) -> dict[str, object] | InferResponse:
        """Answers a v2 request with named outputs, a v1 request with a list aligned to its instances."""
        served = CURRENT.get()
        if served:
            return self._answer(payload, served)
        served, started = Served(status=500), time.perf_counter()  # until it has an answer
        try:
            answer = self._answer(payload, served)
            served.status = 200
            return answer
        except Refusal:
            served.status = 400
            raise
        finally:
            served.seconds = time.perf_counter() - started
            if self.log:
                self.log.put(served)

    def get_input_types(self) -> list[dict[str, object]]:
        """The inputs for the v2 metadata: a tensor a feature."""
        features = self.loaded.manifest.features
        return [{"name": f.name, "datatype": DATATYPES[f.type][0], "shape": [-1]} for f in features]

    def get_output_types(self) -> list[dict[str, object]]:
        """The outputs for the v2 metadata."""
        manifest = self.loaded.manifest
        label = _datatype(list(manifest.classes)) if manifest.classes else "FP64"
        names = [(PREDICTION, label), *((f"{PROBABILITY}{c}", "FP64") for c in manifest.classes)]
        return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in names]

    def _answer(self, payload: object, served: Served) -> dict[str, object] | InferResponse:
        try:
            if isinstance(payload, InferRequest):
                return self._answer_tensors(payload, served)
            return self._answer_instances(payload, served)
        except HeadwayError as error:
            raise Refusal(error) from None

    def _answer_tensors(self, request: InferRequest, served: Served) -> InferResponse:
        served.request_id = str(request.id or served.request_id)[:200]
        frame = self.inputs.read_tensors([_tensor(given) for given in request.inputs])
        values, probabilities = self._predict(frame, served)
        outputs = {PREDICTION: _output(PREDICTION, values)}
        for column, label in enumerate(self.loaded.manifest.classes):
            if probabilities is not None:
                name = f"{PROBABILITY}{label}"
                outputs[name] = _output(name, probabilities[:, column].tolist())
        return InferResponse(
            response_id=request.id or served.request_id,
            model_name=self.name,
            model_version=self.version,
            infer_outputs=[outputs[name] for name in _asked_for(request, list(outputs))],
            parameters={"model_digest": self.loaded.manifest.model_digest},
        )

    def _answer_instances(self, payload: object, served: Served) -> dict[str, object]:
        frame = self.inputs.read_instances(payload.get("instances") if isinstance(payload, dict) else None)
        values, probabilities = self._predict(frame, served)
        answer: dict[str, object] = {"predictions": values}
        if probabilities is not None:
            answer |= {"probabilities": probabilities.tolist(), "classes": list(self.loaded.manifest.classes)}
        return answer | {"model_version": self.version, "model_digest": self.loaded.manifest.model_digest}

    def _predict(self, frame: pl.DataFrame, served: Served) -> tuple[list[Any], np.ndarray[Any, Any] | None]:
        predictions: Predictions = self.loaded.predict(frame)
        values = predictions.decided(self.loaded.manifest.classes, self.threshold)
        served.frame, served.values, served.probabilities = frame, values, predictions.probabilities
        return values, predictions.probabilities


def _tensor(given: Any) -> Tensor:
    """kserve's input as values: JSON arrives as a list, gRPC as a list or as packed bytes."""
    try:
        data = given.data if given.data is not None and given._raw_data is None else given.as_numpy().tolist()
    except (ValueError, TypeError, struct.error) as error:
        raise HeadwayError(
            "request.malformed",
            f"The tensor {given.name!r} could not be unpacked: {type(error).__name__}.",
            remedy="Send as many values as the shape says, in the datatype that is named.",
        ) from None
    return Tensor(given.name, given.datatype, given.shape, data)


def _asked_for(request: InferRequest, names: Sequence[str]) -> Sequence[str]:
    asked = [output.name for output in request.request_outputs or []]
    unknown = [name[:60] for name in asked if name not in names]
    if unknown:
        raise HeadwayError(
            "request.output_unknown",
            "The model has no output of that name.",
            value=unknown[:20],
            remedy=f"Ask for some of {', '.join(names)}, or leave `outputs` out.",
        )
    return asked or names


def _output(name: str, values: list[Any]) -> InferOutput:
    return InferOutput(name=name, shape=[len(values)], datatype=_datatype(values), data=values)


def _datatype(values: list[Any]) -> str:
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(values[0])]
