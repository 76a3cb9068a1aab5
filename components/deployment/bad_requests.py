"""Requests that a model was not made for: a server must refuse each of them with a 4xx."""

from __future__ import annotations

import json
import math

from headway.components.deployment.caller import Caller
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Check

BAD_REQUESTS = "bad requests"


def bad_requests(caller: Caller, golden: Golden, max_rows: int) -> Check:
    """Whether requests that the model was not made for are refused with a 4xx."""
    results = {name: caller.post(path, body) for name, path, body in malformed(caller, golden, max_rows)}
    wrong = {name: answer.status for name, answer in results.items() if not 400 <= answer.status < 500}
    return Check(
        check=BAD_REQUESTS,
        limit="each one answered with a 4xx",
        value=(
            "; ".join(f"{name}: {status or 'no answer'}" for name, status in wrong.items())
            or f"{len(results)} kinds refused"
        ),
        passed=not wrong,
        measured={"kinds": len(results), "accepted": len(wrong)},
    )


def malformed(caller: Caller, golden: Golden, max_rows: int) -> list[tuple[str, str, bytes]]:
    """Name, path and body of requests that must be refused."""
    infer = f"/v2/models/{caller.model_name}/infer"
    predict = f"/v1/models/{caller.model_name}:predict"
    good = json.loads(golden.part(0, 1).request())["inputs"]
    first, rest = good[0], good[1:]
    text = [f for f in golden.manifest.features if f.type == "string"]
    numbers = [f for f in golden.manifest.features if f.type in ("integer", "number")]

    def with_data(name: str, data: list[object]) -> bytes:
        return _body([{**t, "data": data, "shape": [len(data)]} if t["name"] == name else t for t in good])

    kinds = [
        ("no JSON", infer, b"{"),
        ("no inputs", infer, b"{}"),
        ("a column missing", infer, _body(rest)),
        ("an unknown column", infer, _body([*good, {**first, "name": "no such column"}])),
        ("a column twice", infer, _body([*good, first])),
        ("wrong shape", infer, _body([{**first, "shape": [2]}, *rest])),
        ("unknown datatype", infer, _body([{**first, "datatype": "COMPLEX"}, *rest])),
        ("no rows", infer, _body([{**t, "shape": [0], "data": []} for t in good])),
        ("too many rows", predict, json.dumps({"instances": [0] * (max_rows + 1)}).encode()),
        ("v1 without instances", predict, b'{"rows": []}'),
        ("another model", "/v2/models/no-such-model/infer", _body(good)),
        ("unload the model", f"/v2/repository/models/{caller.model_name}/unload", b""),
    ]
    if rest:
        longer = {**first, "shape": [2], "data": first["data"] * 2}
        kinds.append(("columns of different length", infer, _body([longer, *rest])))
    kinds += [("a number as text", infer, with_data(f.name, ["many"])) for f in numbers[:1]]
    kinds += [("not a number", infer, with_data(f.name, [math.nan])) for f in numbers[:1]]
    kinds += [("infinity", infer, with_data(f.name, [math.inf])) for f in numbers[:1]]
    kinds += [("text as a number", infer, with_data(f.name, [7])) for f in text[:1]]
    return kinds


def _body(inputs: list[dict[str, object]]) -> bytes:
    return json.dumps({"inputs": inputs}).encode()
