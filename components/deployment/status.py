"""How an endpoint is: what serves, what is under way, what was before."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headway.components._shared.config import Config
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import in_cluster
from headway.components._shared.state import dump_json
from headway.components._shared.times import format_time
from headway.components.deployment.caller import Answer, Caller
from headway.components.deployment.engines import Address, Engine, Look, Running
from headway.components.deployment.memory import History, Progress

State = Literal["serving", "degraded", "down", "stopped", "absent"]


class UnderWay(Config):
    """A rollout that has not ended.

    Attributes:
        model_digest: The candidate.
        begun: When it began.
        deadline: When it is taken back if nobody has finished it.
        step: Number of its step, from 1.
        steps: How many steps it has.
        failure: Why it is being taken back; None while it goes forward.
    """

    model_digest: str
    begun: str
    deadline: str
    step: int
    steps: int
    failure: str | None = None


class EndpointStatus(Config):
    """The content of the artifact `status` for one endpoint.

    Attributes:
        model_name: The endpoint.
        engine: Where it runs.
        state: `serving`; `degraded`: it answers, and something is wrong; `down`: it does not answer as it should;
            `stopped` on purpose; `absent`: nothing of that name is here.
        told: Why, in one sentence.
        url: Where callers reach it.
        headers: What every request must carry.
        stable: What has the traffic.
        candidate: What runs beside it.
        recommended: What one of its pods needs, by a recommender of the cluster.
        rollout: What is under way.
        history: What has and had the traffic, the newest first.
    """

    schema_version: Literal[1] = 1
    model_name: str
    engine: str
    state: State
    told: str
    url: str | None = None
    headers: dict[str, str] = {}
    stable: Running | None = None
    candidate: Running | None = None
    recommended: dict[str, str] = {}
    rollout: UnderWay | None = None
    history: History = History()


def status_of(engine: Engine, model_name: str) -> EndpointStatus:
    """How an endpoint is, by its processes or pods and by what its address answers; changes nothing."""
    found, left = engine.look(), engine.progress()
    address, unreachable = _entrance(engine) if found.stable else (None, None)
    if found.stable is None:
        first = "its first version has not been given any traffic yet"
        state, told = ("down", first) if found.candidate else ("absent", "nothing of that name is deployed here")
    elif found.stopped:
        state, told = "stopped", "somebody stopped it"
    elif address is None:
        state, told = "down", str(unreachable)
    else:
        state, told = _judged(found, found.stable, Caller(address, model_name).ready(), left)
        if state == "down" and engine.name == "kserve" and not in_cluster():
            told += "; asked from outside of the cluster, where its address may lead nowhere"
    return EndpointStatus(
        model_name=model_name,
        engine=engine.name,
        state=state,
        told=told,
        url=address.url if address else None,
        headers=dict(address.headers) if address else {},
        stable=found.stable,
        candidate=found.candidate,
        recommended=dict(found.recommended),
        rollout=_under_way(left) if left else None,
        history=engine.history(),
    )


def _entrance(engine: Engine) -> tuple[Address | None, str | None]:
    """The address, or why there is none."""
    try:
        return engine.entrance(), None
    except HeadwayError as error:
        if not error.code.startswith("deployment."):
            raise
        return None, error.message


def _judged(found: Look, stable: Running, answer: Answer, left: Progress | None) -> tuple[State, str]:
    expected = {v.model_digest for v in (stable, found.candidate) if v and v.weight}
    if answer.status != 200 or answer.model_digest not in expected:
        said = f"status {answer.status}" if answer.status else "no answer"
        if answer.status == 200:
            said = f"model {(answer.model_digest or 'without a digest')[:12]}"
        return "down", stable.problem or f"its address gives {said}"
    problems = [v.problem for v in (stable, found.candidate) if v and v.problem]
    if stable.ready < stable.wanted:
        problems.append(f"{stable.ready} of {stable.wanted} pods are ready")
    if left and left.late:
        problems.append(f"the rollout of {str(left.release['model_digest'])[:12]} was not finished in time")
    if problems:
        return "degraded", "; ".join(problems)
    return "serving", "a rollout is under way" if left else "it answers"


def _under_way(left: Progress) -> UnderWay:
    steps = len(left.serving["rollout"]["steps"])
    return UnderWay(
        model_digest=str(left.release["model_digest"]),
        begun=left.begun,
        deadline=format_time(left.deadline),
        step=min(left.step + 1, steps),
        steps=steps,
        failure=left.failure,
    )


def write_status(found: list[EndpointStatus], path: str | Path) -> None:
    """Writes how endpoints are (one JSON file)."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": 1, "endpoints": [each.model_dump(mode="json") for each in found]}
    Path(path).write_bytes(dump_json(content))
