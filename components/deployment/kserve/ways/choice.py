"""Which way an endpoint goes: chosen with its first version, and then kept, since another one has another entrance."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes.kinds import INFERENCE_SERVICE
from headway.components.deployment.kserve.capabilities import check_autoscaler, check_scaling, choose, look
from headway.components.deployment.kserve.config import WayName
from headway.components.deployment.kserve.lease import EndpointLease, Record
from headway.components.deployment.kserve.version import Version
from headway.components.deployment.kserve.watch import Watch
from headway.components.deployment.kserve.ways.knative import Knative
from headway.components.deployment.kserve.ways.two_services import TwoServices
from headway.components.deployment.kserve.ways.way import Way
from headway.components.deployment.kserve.ways.weights import Weights

log = logging.getLogger("headway")

_WAYS: dict[WayName, Callable[[Watch], Way]] = {
    "knative": Knative,  # before weights, which would take its service for one of theirs
    "weights": Weights,
    "two_services": TwoServices,
}


def way_of(record: Record, watch: Watch) -> Way:
    """The way that an endpoint has."""
    return _WAYS[record.way](watch)


def found_in_cluster(record: Record, watch: Watch) -> Record:
    """The record, which holds no version: with those that are there, if somebody has deleted the Lease.

    Raises:
        HeadwayError: `deployment.not_ours`: there is a service of that name, which is not of this suite.
    """
    for name, way in _WAYS.items():
        versions = way(watch).found()
        if versions:
            log.warning(f"what was remembered of {watch.endpoint} is gone with its Lease; it is taken from what runs")
            told = {"way": name, "way_reason": "as it was found", "stable": versions[0], "candidate": versions[1]}
            return record.model_copy(update=told)
    return record


def with_way(record: Record, candidate: Version, watch: Watch) -> Record:
    """The record of an endpoint that is about to get a candidate, with its way.

    Raises:
        HeadwayError: `deployment.cannot_split`: weights are asked for, and would not work; `deployment.cannot_scale`;
            `deployment.has_transformer`.
    """
    asked, endpoint = watch.settings.traffic, watch.endpoint
    check_autoscaler(watch.cluster, watch.settings, endpoint)
    if record.stable is None:
        way, why = choose(look(watch.cluster, endpoint, candidate), watch.settings, record.unsplit, endpoint)
        return record.model_copy(update={"way": way, "way_reason": why})
    _require_predictor_alone(record.stable, watch)
    if asked not in ("auto", record.way):
        log.warning(f"{endpoint} keeps moving traffic by {record.way}; for {asked}, undeploy it and deploy it again")
    check_scaling(record.way, watch.settings, endpoint)
    return record


def _require_predictor_alone(stable: Version, watch: Watch) -> None:
    """A candidate would know nothing of what somebody has put before the model: canaries get no transformer."""
    names = (watch.endpoint, stable.service(watch.endpoint))  # both versions in one service, or each in its own
    services = [watch.cluster.get(INFERENCE_SERVICE, name) or {} for name in names]
    specs = [service.get("spec") or {} for service in services]
    found = [part for part in ("transformer", "explainer") if any(spec.get(part) for spec in specs)]
    if found:
        raise HeadwayError(
            "deployment.has_transformer",
            f"Somebody has added a {found[0]} to {watch.endpoint}, which a candidate would answer without.",
            value=watch.endpoint,
            remedy="Take it out of the InferenceService, and deploy what it does as a service of its own in front of "
            "this one.",
        )


@contextlib.contextmanager
def noting_what_cannot_split(lease: EndpointLease) -> Iterator[None]:
    """What is seen of weights that move nothing counts when a way is chosen next."""
    try:
        yield
    except HeadwayError as error:
        if error.code == "deployment.cannot_split":
            lease.write(lease.read().model_copy(update={"unsplit": error.message}))
        raise
