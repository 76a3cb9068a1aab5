"""What a place that serves models must be able to do; everything else about a deployment is the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from headway.components._shared.config import Config
from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import in_cluster
from headway.components._shared.tokens import bearer
from headway.components.deployment.config import Serving
from headway.components.deployment.memory import History, Progress


@dataclass(frozen=True)
class Release:
    """A released model that was checked against what was registered.

    Attributes:
        model_name: The name in the address.
        environment: dev, staging or prod.
        version: Version in the registry.
        model_digest: sha256 that identifies it.
        manifest_sha256: Hash of its manifest, which binds every file.
        threshold: Decision threshold of the verdict.
        uri: The release's address.
    """

    model_name: str
    environment: str
    version: str | None
    model_digest: str
    manifest_sha256: str
    threshold: float | None
    uri: str


@dataclass(frozen=True)
class Address:
    """Where HTTP requests go.

    Attributes:
        url: Scheme, host, port, and a path if there is one; without a slash at the end.
        headers: What every request must carry, such as `Host` for a gateway.
        token_file: File with a bearer token that every request must carry too; never shown.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    token_file: str | None = None

    def request_headers(self) -> dict[str, str]:
        """The headers of a request that is sent now.

        Raises:
            HeadwayError: `deployment.gateway_token`.
        """
        return {**self.headers, **bearer("deployment.gateway_token", "the gateway", file=self.token_file)}


@dataclass(frozen=True)
class Deployed:
    """A version that runs.

    Attributes:
        model_digest: What it serves.
        address: Straight at this version, whatever share of the traffic it has.
        as_asked: Whether it was started with the settings that are asked for now.
        revived: Whether the endpoint did not answer before this deployment, being stopped or dead.
        labels: What finds this version's metrics in Prometheus: name to text, among them `selector`, the matchers of
            its series.
    """

    model_digest: str
    address: Address
    as_asked: bool = True
    revived: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


class Running(Config):
    """A version that is there.

    Attributes:
        model_digest: The model.
        version: Version in the registry.
        environment: dev, staging or prod.
        ready: Pods or processes of it that are ready.
        wanted: Pods or processes that should be.
        weight: Share of the traffic in percent.
        problem: What is wrong with it; None when nothing is.
    """

    model_digest: str
    version: str | None
    environment: str
    ready: int
    wanted: int
    weight: int
    problem: str | None = None


@dataclass(frozen=True)
class Look:
    """What runs of an endpoint.

    Attributes:
        stable: What has the traffic; None where nothing was ever deployed, or it was removed.
        candidate: What runs beside it.
        stopped: Whether somebody stopped it on purpose.
        recommended: What a pod of it needs, such as `{"cpu": "120m"}`; empty where nothing recommends.
    """

    stable: Running | None
    candidate: Running | None = None
    stopped: bool = False
    recommended: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """A place that serves models. Every method may be called again after a kill at any point."""

    name: str

    def deploying(self) -> AbstractContextManager[None]:
        """Keeps other deployments to this endpoint out.

        Raises:
            HeadwayError: `endpoint.busy`.
        """

    def entrance(self) -> Address:
        """Where callers reach the endpoint, whichever version answers."""

    def traffic(self) -> str:
        """How traffic moves here, and why so, in a few words."""

    def cannot_split(self) -> str | None:
        """Why the traffic cannot be split by weights here, in a sentence's words; None where it can."""

    def stable(self, release: Release) -> Deployed | None:
        """What has the traffic, brought back if it should run and does not; None where there is nothing to serve.

        Where it is the very release that is to be deployed, its version and environment are noted.
        """

    def candidate(self) -> Deployed | None:
        """What a deployment before left beside the stable version, with or without traffic; None where nothing is.

        `as_asked` is False where its settings are not those that are asked for now.
        """

    def start(self, release: Release) -> Deployed:
        """Starts a candidate beside the stable version, without traffic, and waits until it is ready for real.

        A candidate of this release and these settings that runs already is adopted, with the traffic that it has.

        Raises:
            HeadwayError: Why it does not come up; nothing of it is left.
        """

    def shift(self, candidate: Deployed, weight: int) -> None:
        """Gives the candidate this percentage of the traffic, the stable version the rest; no request is lost.

        Returns once it was observed that the entrance answers so. Only called where there is a stable version.
        """

    def let_go(self, candidate: Deployed) -> None:
        """Gives the stable version the traffic back in one request, and waits for nothing: the step has to end."""

    def promote(self, candidate: Deployed) -> Deployed:
        """Makes the candidate, which has all the traffic by then, the stable version, and ends the one before it.

        Where there is no stable version this is what first gives it traffic; returns once that was observed.
        """

    def withdraw(self, candidate: Deployed) -> None:
        """Gives the traffic back to the stable version, sees that it answers, and ends the candidate.

        Safe at any time, also twice, and where the candidate is already gone.
        """

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that a candidate logged."""

    def why_failed(self, candidate: Deployed) -> HeadwayError | None:
        """What is wrong with a candidate by its processes or pods; None while nothing is, or what is may pass."""

    def replicas(self, version: Deployed) -> frozenset[str]:
        """Names of the processes or pods of candidate or stable version; one that was replaced has another name."""

    def names(self) -> list[str]:
        """Every endpoint of this place, not only this one."""

    def look(self) -> Look:
        """What runs, as processes or pods show it; changes nothing, and needs no lock."""

    def remove(self) -> None:
        """Ends everything that serves the endpoint and forgets it; safe to call again."""

    def settings(self) -> dict[str, Any]:
        """The parameter `serving` with what may be another on another day said, such as the image."""

    def history(self) -> History:
        """What `remember` kept last."""

    def remember(self, history: History) -> None:
        """Keeps what has and had the traffic with the endpoint."""

    def progress(self) -> Progress | None:
        """What `note` kept last."""

    def note(self, progress: Progress | None) -> None:
        """Keeps how far a rollout has come with the endpoint; None when it is over."""


def choose_engine(asked: str, state_uri: str, model_name: str, serving: Serving) -> tuple[Engine, str]:
    """The engine for `auto`, `local` or `kserve`, and why it was chosen.

    Raises:
        HeadwayError: `deployment.engine_unknown`, and what the engine finds wrong with its surroundings.
    """
    if asked not in ("auto", "local", "kserve"):
        raise HeadwayError(
            "deployment.engine_unknown", "There is no such engine.", value=asked, remedy="Use auto, local or kserve."
        )
    if asked == "kserve" or (asked == "auto" and in_cluster()):
        from headway.components.deployment.kserve.engine import KServeEngine

        why = "asked for" if asked == "kserve" else "auto: the step runs in a cluster"
        return KServeEngine(state_uri, model_name, serving), why
    from headway.components.deployment.local.engine import LocalEngine

    why = "asked for" if asked == "local" else "auto: the step runs on a machine, not in a cluster"
    return LocalEngine(state_uri, model_name, serving), why
