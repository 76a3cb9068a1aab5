"""What a candidate must show before it gets traffic: the evaluation's answers, speed, and refusal of bad requests."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

from headway.components._shared.endpoints.inference import PREDICTION
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.bad_requests import BAD_REQUESTS, bad_requests
from headway.components.deployment.caller import Answer, Caller
from headway.components.deployment.config import LatencyGate, Serving
from headway.components.deployment.engines import Address
from headway.components.deployment.golden import Golden
from headway.components.deployment.record import Check

GOLDEN = "golden rows"
MEMORY = "memory"
_CHUNK = 100


def run_checks(address: Address, model_name: str, golden: Golden, serving: Serving) -> Iterator[Check]:
    """Every check in order, each done when the caller asks for the next one."""
    caller = Caller(address, model_name)
    yield golden_rows(caller, golden, serving)
    yield bad_requests(caller, golden, serving.max_rows)
    yield from latency(caller, golden, serving)
    yield memory(caller, serving.max_memory_mib)


def golden_rows(caller: Caller, golden: Golden, serving: Serving) -> Check:
    """Whether the server predicts every golden row as the evaluation did."""
    rows, tolerance = golden.rows.height, serving.tolerance
    chunk = min(_CHUNK, serving.max_rows)
    differing: set[int] = set()
    largest = 0.0
    for start in range(0, rows, chunk):
        part = golden.part(start, chunk)
        answer = caller.infer(part.request())
        if answer.status != 200:
            return _check_golden(tolerance, f"status {answer.status} for rows from {start}: {_error(answer)}")
        wrong, distance = compare(part, answer.body, tolerance)
        differing |= {start + position for position in wrong}
        largest = max(largest, distance)
    if differing:
        places = ", ".join(map(str, sorted(differing)[:5]))
        return _check_golden(
            tolerance,
            f"{len(differing)} of {rows} rows differ (positions {places}{', ...' if len(differing) > 5 else ''})",
            {"rows": rows, "differing": len(differing)} | ({"largest_distance": largest} if largest < math.inf else {}),
        )
    return Check(
        check=GOLDEN,
        limit=_golden_limit(tolerance),
        value=f"all {rows} rows as in the evaluation",
        passed=True,
        measured={"rows": rows, "differing": 0, "largest_distance": largest},
    )


def compare(golden: Golden, body: Mapping[str, object], tolerance: float) -> tuple[set[int], float]:
    """Positions of the rows that were answered otherwise than expected, and the largest distance of a number."""
    outputs = body.get("outputs")
    got = {o["name"]: o["data"] for o in outputs} if isinstance(outputs, list) else {}
    differing: set[int] = set()
    largest = 0.0
    for name, wanted in golden.expected().items():
        label = name == PREDICTION and golden.manifest.task != "regression"
        answered = got.get(name, [])
        if len(answered) != len(wanted):
            return set(range(len(wanted))), math.inf
        for position, (want, have) in enumerate(zip(wanted, answered, strict=True)):
            distance = _distance(want, have)
            if distance > (0 if label else tolerance):
                differing.add(position)
            largest = max(largest, distance)
    return differing, largest


def latency(caller: Caller, golden: Golden, serving: Serving) -> Iterator[Check]:
    """How fast single rows are answered, golden rows in turn; and that each is answered alone as it is among others."""
    gate = serving.latency
    rows = [golden.part(i, 1) for i in range(min(golden.rows.height, gate.requests))]
    bodies = [row.request() for row in rows]
    for i in range(gate.warm_up):
        caller.infer(bodies[i % len(bodies)])
    seconds: list[float] = []
    differing: set[int] = set()
    deadline = time.monotonic() + gate.max_seconds
    while len(seconds) < gate.requests and (time.monotonic() < deadline or len(seconds) < 20):
        position = len(seconds) % len(bodies)
        answer = caller.infer(bodies[position])
        if answer.status != 200:
            yield _check_golden(serving.tolerance, f"status {answer.status} for row {position}: {_error(answer)}")
            return
        seconds.append(answer.seconds)
        if compare(rows[position], answer.body, serving.tolerance)[0]:
            differing.add(position)
    if differing:
        yield _check_golden(serving.tolerance, f"{len(differing)} rows are answered otherwise when they come alone")
    yield _check_latency("median latency", 0.5, seconds, gate.p50_ms, gate)
    yield _check_latency("99th percentile of latency", 0.99, seconds, gate.p99_ms, gate)


def memory(caller: Caller, limit_mib: float | None) -> Check:
    """How much memory the server has after all that, as it says itself; passes without a limit."""
    used = caller.resident_bytes()
    return Check(
        check=MEMORY,
        limit=f"at most {limit_mib:g} MiB" if limit_mib else "no limit",
        value="the server does not say" if used is None else f"{used / 2**20:.0f} MiB resident",
        passed=limit_mib is None or (used is not None and used <= limit_mib * 2**20),
        measured={} if used is None else {"bytes": used},
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def failure(check: Check, log_end: str) -> HeadwayError:
    """The error for a check that was not passed."""
    code, remedy = _FAILURES.get(check.check, _TOO_SLOW)
    return HeadwayError(
        code,
        f"The candidate did not pass {check.check!r}: {check.value}; allowed: {check.limit}. "
        f"The version before it keeps the traffic. The end of the candidate's log:\n{log_end or '(empty)'}",
        remedy=remedy,
    )


_FAILURES = {
    GOLDEN: (
        "deployment.golden_differ",
        "Serve with the libraries that trained the model; if they are the same, report it.",
    ),
    BAD_REQUESTS: ("deployment.bad_request_accepted", "Report it: the model server must refuse these."),
    MEMORY: ("deployment.too_big", "Use a smaller model, or raise serving.max_memory_mib and the memory of its pods."),
}
_TOO_SLOW = ("deployment.too_slow", "Use a smaller model or a faster machine, or other limits in serving.latency.")


def _check_latency(name: str, share: float, seconds: Sequence[float], limit_ms: float, gate: LatencyGate) -> Check:
    measured = percentile(seconds, share) * 1000
    return Check(
        check=name,
        limit=f"at most {limit_ms:g} ms",
        value=f"{measured:.1f} ms over {len(seconds)} requests of one row after {gate.warm_up} of warm-up",
        passed=measured <= limit_ms,
        measured={"milliseconds": measured, "limit_milliseconds": limit_ms, "requests": len(seconds)},
    )


def _check_golden(tolerance: float, value: str, measured: dict[str, float] | None = None) -> Check:
    return Check(check=GOLDEN, limit=_golden_limit(tolerance), value=value, passed=False, measured=measured or {})


def _golden_limit(tolerance: float) -> str:
    return f"labels equal, numbers within {tolerance:g}"


def _distance(want: object, have: object) -> float:
    """0 for equal values; for numbers their distance, relative above 1; infinite for what cannot be compared."""
    if _is_number(want) and _is_number(have):
        assert isinstance(want, int | float)
        assert isinstance(have, int | float)
        return abs(want - have) / max(1.0, abs(want))
    return 0.0 if want == have and isinstance(want, bool) == isinstance(have, bool) else math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _error(answer: Answer) -> str:
    return str(answer.body.get("error", "") if isinstance(answer.body, dict) else "")[:300]
