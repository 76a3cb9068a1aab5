"""How the traffic of an endpoint is split: what its HTTPRoute says, and what the gateway really does."""

from __future__ import annotations

import http.client
import math
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from headway.components._shared.endpoints.inference import DIGEST_HEADER
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.engines import Address

Object = Mapping[str, Any]
_TIMEOUT_S = 5.0
_FEWEST, _MOST = 40, 600
# Of a split that is right, one window in 15,000 is taken for wrong, and then the next one is asked.
_SIGMAS = 4.0
# Several gateways, or one with several workers, change one after the other.
_STEADY = 3


def weights(route: Object) -> dict[str, float]:
    """Service to its share of the traffic in percent, as an HTTPRoute says; every rule must say the same."""
    shares: list[dict[str, float]] = []
    for rule in route["spec"].get("rules") or ():
        backends = rule.get("backendRefs") or ()
        total = sum(backend.get("weight", 1) for backend in backends)
        if total:
            shares.append({b["name"]: 100 * b.get("weight", 1) / total for b in backends})
    return shares[0] if shares and all(each == shares[0] for each in shares) else {}


def refusal(route: Object) -> str | None:
    """Why a gateway does not follow a route; None when each does, or has not said anything yet."""
    for parent in route.get("status", {}).get("parents") or ():
        for condition in parent.get("conditions") or ():
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                return f"{condition['type']}: {condition.get('reason', '')} {condition.get('message', '')}".strip()
    return None


def host_of(route: Object) -> str:
    """The name that the gateway knows an endpoint by."""
    return str(route["spec"]["hostnames"][0])


def requests_for(weight: int) -> int:
    """How many answers show whether a split is as it should be: enough that the smaller side is met ten times."""
    smaller = min(weight, 100 - weight) / 100
    return _FEWEST if smaller == 0 else min(_MOST, max(_FEWEST, math.ceil(10 / smaller)))


def as_wanted(answers: Counter[str], candidate: str, stable: str, weight: int) -> bool:
    """Whether answers, counted by who gave them, are those of a split that gives the candidate this percentage.

    Four standard deviations of a binomial count; at 0 and 100 not a single other answer.
    """
    asked, share = answers.total(), weight / 100
    if asked == 0 or set(answers) - {candidate, stable}:
        return False
    got = answers[candidate]
    if weight in (0, 100):
        return got == asked * share
    return 0 < got < asked and abs(got - asked * share) <= _SIGMAS * math.sqrt(asked * share * (1 - share))


def observe(
    address: Address, model_name: str, *, candidate: str, stable: str, weight: int, timeout_s: float
) -> Counter[str]:
    """Asks the gateway until it answers as the weight says, several times in a row.

    Args:
        address: The entrance.
        model_name: The endpoint.
        candidate: Digest of the candidate.
        stable: Digest of the stable version.
        weight: Percentage for the candidate.
        timeout_s: How long to ask until an answer is as wanted.

    Raises:
        HeadwayError: `deployment.weight_not_observed`, with what answered last.
    """
    end, right = time.monotonic() + timeout_s, 0
    while True:
        answers = Counter(answering(address, model_name) for _ in range(requests_for(weight)))
        right = right + 1 if as_wanted(answers, candidate, stable, weight) else 0
        if right == _STEADY:
            return answers
        if not right and time.monotonic() > end:
            raise _not_observed(answers, candidate, weight, timeout_s, address)
        time.sleep(0.5)


def answering(address: Address, model_name: str) -> str:
    """Digest of the model that answers as ready at an address; else what happened there."""
    parts = urllib.parse.urlsplit(address.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection, headers = kind(parts.netloc, timeout=_TIMEOUT_S), address.request_headers()
    try:
        path = f"{parts.path}/v2/models/{model_name}/ready"
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return answer.headers[DIGEST_HEADER] or "an answer without a digest"
        return f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def until(done: Callable[[], bool], timeout_s: float, pause_s: float = 0.5) -> bool:
    """Waits for something to become true; False when time is up."""
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


def mesh_refuses(address: Address) -> HeadwayError:
    """The error for a server that answers 403: none of ours ever does."""
    return HeadwayError(
        "deployment.mesh_refuses",
        f"{address.url} answers 403 to this step: a step has no sidecar, so a mesh takes it for a stranger.",
        value=address.url,
        remedy="Apply components/deployment/mesh.yaml in the namespace of the service: it lets steps ask. Or let them "
        "ask through the gateway: serving.kserve.through_gateway, with token_file if it wants a token.",
    )


def _not_observed(
    answers: Counter[str], candidate: str, weight: int, timeout_s: float, address: Address
) -> HeadwayError:
    if "status 403" in answers:
        return mesh_refuses(address)
    told = ", ".join(
        f"{count} {'candidate' if who == candidate else who[:40]}" for who, count in answers.most_common(4)
    )
    return HeadwayError(
        "deployment.weight_not_observed",
        f"The gateway was to give the candidate {weight} % of the traffic, but within {timeout_s:g} s its answers did "
        f"not show it. The last {answers.total()} answers: {told}.",
        value=address.url,
        remedy="Look at the gateway; raise serving.kserve.observe_timeout_s if it is only slow, and give "
        "serving.kserve.gateway if this is not its address.",
    )
