"""Brings the record of an endpoint and what runs of it in line, whatever a killed step has left of either."""

from __future__ import annotations

import logging

from headway.components.deployment.kserve.lease import EndpointLease, Record
from headway.components.deployment.kserve.watch import Watch
from headway.components.deployment.kserve.ways.choice import found_in_cluster, way_of

log = logging.getLogger("headway")


def settle(lease: EndpointLease, watch: Watch) -> None:
    """Makes the record say what the cluster shows: a step may have been killed between the two."""
    record = lease.read()
    settled = record if record.stable or record.candidate else found_in_cluster(record, watch)
    stable, candidate, way = settled.stable, settled.candidate, way_of(settled, watch)
    if stable and candidate and way.promoted(stable, candidate):
        # One that is on its way back out was promoted too, and is still the candidate.
        settled = settled if _goes_back(record) else settled.promoted()
    else:
        if candidate and not way.runs(candidate):
            settled = settled.model_copy(update={"candidate": None})
        if stable and not way.runs(stable):
            log.warning(f"the stable version of {watch.endpoint} is gone; somebody deleted it")
            settled = settled.model_copy(update={"stable": None})
    if settled != record:
        lease.write(settled)


def withdraw(lease: EndpointLease, watch: Watch) -> None:
    """Takes the candidate back, if there is one, also when it had been promoted and nobody saw the end of that.

    Until it is done the record says who was stable and who the candidate, so a step that is run again goes on with it.
    """
    record = lease.read()
    stable, candidate = record.stable, record.candidate
    if candidate is None:
        return
    way = way_of(record, watch)
    if stable and way.promoted(stable, candidate):
        # What had the traffic before comes back as a candidate does.
        way.start(candidate, stable)
        way.shift(candidate, stable, 100)
        way.promote(candidate, stable)
    else:
        way.withdraw(stable, candidate)
    lease.write(record.model_copy(update={"candidate": None}))


def _goes_back(record: Record) -> bool:
    return record.progress is not None and record.progress.failure is not None
