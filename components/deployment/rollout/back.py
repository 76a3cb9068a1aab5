"""The way back: a candidate that failed, that was only to be looked at, or that a vanished step has left."""

from __future__ import annotations

import logging

from headway.components._shared.errors import HeadwayError
from headway.components.deployment.engines import Deployed, Engine
from headway.components.deployment.rollout.course import Course
from headway.components.deployment.rollout.timeline import Timeline

log = logging.getLogger("headway")

# Another step has taken over, and with it what is left here; or there is nothing left to take back.
NOT_OURS_ANY_MORE = ("endpoint.busy", "deployment.endpoint_gone")


def roll_back(course: Course, candidate: Deployed, cause: HeadwayError) -> None:
    """Gives the stable version all the traffic, and ends the candidate.

    Raises:
        HeadwayError: `deployment.rollback_failed`.
    """
    try:
        course.note(failure=cause.message.partition("\n")[0])
        with course.timeline.phase("roll back") as note:
            course.engine.withdraw(candidate)
            course.timeline.weight = 0
            stable = course.progress.stable_digest
            note.append(f"{stable[:12]} has all the traffic" if stable else "the candidate was ended")
        course.engine.note(None)
    except HeadwayError as error:
        raise HeadwayError(
            "deployment.rollback_failed",
            f"The candidate has to go, and taking it back failed: {error.message} What was wrong with the "
            f"candidate: {cause.message}",
            value=error.value,
            remedy=f"{error.remedy} Then run the step again: it finishes the rollback.",
        ) from cause


def cause_of(course: Course, candidate: Deployed, error: HeadwayError) -> HeadwayError:
    """What is wrong with the candidate's processes or pods, if that explains the error better."""
    if error.code in ("deployment.deadline", *NOT_OURS_ANY_MORE):
        return error
    try:
        return course.engine.why_failed(candidate) or error
    except HeadwayError as unclear:
        log.warning(f"why the candidate failed could not be looked up: {unclear.message}")
        return error


def leave(course: Course) -> None:
    """Gives the traffic back, which is one request; all else stays as it is noted, for whoever comes next."""
    told = "the next try finishes what it was doing"
    if course.beside and course.progress.weight:
        course.engine.let_go(course.beside)
        told = f"the stable version has the {course.progress.weight} % back, and the candidate stays beside it"
    log.warning(
        f"the step was told to end: {told}. Run it again, and it goes on where it was; any other deployment to "
        "this endpoint takes back what it has left."
    )


def take_back(engine: Engine, timeline: Timeline) -> str | None:
    """Ends what a rollout left that nobody leads any more; the stable version gets all the traffic.

    Returns:
        What was left, in a sentence's words; None where nothing was.

    Raises:
        HeadwayError: as `Engine.withdraw`.
    """
    left, candidate = engine.progress(), engine.candidate()
    told = None
    if candidate:
        with timeline.phase("take back what a step before left") as note:
            engine.withdraw(candidate)
            why = f"; it was being rolled back: {left.failure}" if left and left.failure else ""
            told = f"{candidate.model_digest[:12]} had been left beside the stable version{why}"
            note.append(told)
    if left:
        engine.note(None)
    return told
