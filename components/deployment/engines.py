"""What a place that serves models must be able to do; everything else about a deployment is the same everywhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving


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
        folder: The model folder, where this process sees it.
        uri: The release's address.
    """

    model_name: str
    environment: str
    version: str | None
    model_digest: str
    manifest_sha256: str
    threshold: float | None
    folder: Path
    uri: str


@dataclass(frozen=True)
class Deployed:
    """A version that runs.

    Attributes:
        model_digest: What it serves.
        url: Where to reach it: the endpoint's address for the stable version, an address of its own for a candidate.
        as_asked: Whether it was started with the settings that are asked for now.
        revived: Whether the endpoint did not answer before this deployment, being stopped or dead.
    """

    model_digest: str
    url: str
    as_asked: bool = True
    revived: bool = False


class Engine(Protocol):
    """A place that serves models."""

    name: str

    def deploying(self) -> AbstractContextManager[None]:
        """Keeps other deployments to this endpoint out, and clears away what a vanished one left."""

    def stable(self, release: Release) -> Deployed | None:
        """What has the traffic, brought back if it should run and does not; None where there is nothing to serve.

        Where it is the very release that is to be deployed, its version and environment are noted.
        """

    def start(self, release: Release) -> Deployed:
        """Starts a candidate beside the stable version, without traffic, and waits until it is ready."""

    def shift(self, candidate: Deployed) -> Deployed:
        """Gives the candidate the traffic without losing a request, and gives it back at the endpoint's address."""

    def discard(self, candidate: Deployed) -> None:
        """Ends a candidate that failed; the stable version is not touched."""

    def log_end(self, candidate: Deployed) -> str:
        """The last lines that a candidate logged."""

    def previous(self) -> str | None:
        """Digest of the release before the one that has the traffic, to roll back to."""


def choose_engine(asked: str, state_uri: str, model_name: str, serving: Serving) -> tuple[Engine, str]:
    """The engine for `auto`, `local` or `kserve`, and why it was chosen.

    Raises:
        HeadwayError: `deployment.engine_unknown`, `deployment.engine_missing`.
    """
    if asked not in ("auto", "local", "kserve"):
        raise HeadwayError(
            "deployment.engine_unknown", "There is no such engine.", value=asked, remedy="Use auto, local or kserve."
        )
    if asked == "kserve":
        raise HeadwayError(
            "deployment.engine_missing",
            "The engine kserve comes with the cluster engines and is not in this version.",
            value=asked,
            remedy="Use the engine local.",
        )
    from headway.components.deployment.local import LocalEngine

    why = "asked for" if asked == "local" else "auto: this version serves on the machine that the step runs on"
    return LocalEngine(state_uri, model_name, serving), why
