"""What a step can do without may fail for a while: an outage is borne with a warning, anything else rises."""

import logging

import pytest

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import bearing


def test_an_outage_is_borne_and_told(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("headway")
    log.addHandler(caplog.handler)
    try:
        with bearing("noting a sign of life"):
            raise HeadwayError("kubernetes.unreachable", "Nobody answers.", remedy="Wait.")
    finally:
        log.removeHandler(caplog.handler)
    assert "noting a sign of life did not succeed, and the step goes on: Nobody answers." in caplog.messages


def test_a_refusal_rises() -> None:
    with pytest.raises(HeadwayError, match=r"kubernetes.forbidden"), bearing("noting a sign of life"):
        raise HeadwayError("kubernetes.forbidden", "No right.", remedy="Bind the role.")


def test_other_faults_are_borne_where_they_are_named() -> None:
    with bearing("giving a lease back", ("endpoint.busy",)):
        raise HeadwayError("endpoint.busy", "Taken.", remedy="Wait.")
    with pytest.raises(HeadwayError, match=r"kubernetes.unreachable"), bearing("it", ("endpoint.busy",)):
        raise HeadwayError("kubernetes.unreachable", "Nobody answers.", remedy="Wait.")
