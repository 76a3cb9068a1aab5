"""What Knative makes of the versions of an endpoint: revisions, of which some may have no pod until somebody asks."""

from __future__ import annotations

from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes.kinds import DEPLOYMENT, INFERENCE_SERVICE, SERVICE
from headway.components.deployment.engines import Address
from headway.components.deployment.kserve.doors import door_to
from headway.components.deployment.kserve.manifest import VERSION
from headway.components.deployment.kserve.version import Version
from headway.components.deployment.kserve.watch import Watch, metrics_of

_SERVICE = "serving.knative.dev/service"
_REVISION = "serving.knative.dev/revision"


class Revisions(Watch):
    """Looks at one endpoint in KServe's mode Knative.

    A version is known by an annotation that Knative copies from the service to its revisions' Deployments. It may have
    several revisions, since going back to a version makes a new one; the newest counts.
    """

    def deployment(self, version: Version) -> dict[str, Any] | None:
        """That of the version's newest revision."""
        found = [each for each in self._deployments() if _version_of(each) == version.name]
        return max(found, key=revision_of, default=None)

    def labels(self, version: Version) -> dict[str, str]:
        """Also by `$revision`, as Knative's own metrics name it."""
        revision = self._revision(version)
        return {**metrics_of(revision, self.cluster.namespace), "revision": revision}

    def address(self, version: Version) -> Address:
        """The revision's own Service; behind it may be Knative's activator, which wants to be told who is meant."""
        revision, namespace = self._revision(version), self.cluster.namespace
        service = self.cluster.get(SERVICE, revision) if revision else None
        host = f"{revision}.{namespace}.svc.cluster.local"
        told = {"Knative-Serving-Revision": revision, "Knative-Serving-Namespace": namespace}
        if service and self.settings.through_gateway:
            return door_to(self.cluster, self.settings, service, told)
        ip = (service or {}).get("spec", {}).get("clusterIP")
        return Address(f"http://{ip if ip and ip != 'None' else host}", {"Host": host, **told})

    def pods(self, version: Version) -> list[dict[str, Any]]:
        """Those of its newest revision that are to stay."""
        revision = self._revision(version)
        return self._staying({_REVISION: revision}) if revision else []

    def why(self, version: Version) -> HeadwayError | None:
        """Also what Knative says of a revision that has no pods, such as that its image is not to be found."""
        found = super().why(version)
        if found or self.deployment(version):
            return found
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}
        for condition in service.get("status", {}).get("conditions") or ():
            if condition.get("reason") == "RevisionFailed" and condition["status"] == "False":
                return _of_revision(condition.get("message", ""))
        return None

    def status(self) -> dict[str, Any]:
        """What KServe says of the predictor: its revisions, and their traffic."""
        service = self.cluster.get(INFERENCE_SERVICE, self.endpoint) or {}
        return dict(service.get("status", {}).get("components", {}).get("predictor") or {})

    def traffic(self) -> dict[str, int]:
        """Name of a version to its percentage, as Knative says."""
        versions = {revision_of(each): _version_of(each) for each in self._deployments()}
        found: dict[str, int] = {}
        for target in self.status().get("traffic") or ():
            name = str(versions.get(target.get("revisionName"), target.get("revisionName")))
            found[name] = found.get(name, 0) + int(target.get("percent") or 0)
        return {name: percent for name, percent in found.items() if percent}

    def rolled_out(self, *, before: bool = False) -> str | None:
        """Name of the version that KServe took for rolled out last, or the one before that.

        The first is what has the rest of the traffic while a candidate has a part of it; with all of it the candidate
        is the first.
        """
        noted = self.status().get("previousRolledoutRevision" if before else "latestRolledoutRevision")
        return next((_version_of(each) for each in self._deployments() if revision_of(each) == noted), None)

    def _there(self, version: Version) -> bool:
        return self.deployment(version) is not None

    def _complete(self, version: Version, deployment: dict[str, Any], pods: int, dark: bool) -> bool:  # noqa: ARG002
        """Knative takes a revision for ready once its first pod was; without traffic it may have none later.

        A first version keeps its revision when it gets a way in.
        """
        status, revision = self.status(), revision_of(deployment)
        if not revision == status.get("latestCreatedRevision") == status.get("latestReadyRevision"):
            return False
        wanted = min(pods, version.min_pods)
        return int(deployment.get("status", {}).get("availableReplicas", 0)) >= wanted

    def _deployments(self) -> list[dict[str, Any]]:
        return self.cluster.list(DEPLOYMENT, {_SERVICE: f"{self.endpoint}-predictor"})

    def _revision(self, version: Version) -> str:
        found = self.deployment(version)
        return revision_of(found) if found else ""


def revision_of(deployment: dict[str, Any]) -> str:
    """The name of the revision that a Deployment runs."""
    return str(deployment["metadata"]["labels"][_REVISION])


def _of_revision(said: str) -> HeadwayError:
    if "Unable to fetch image" in said:
        remedy = "Check serving.kserve.image, and image_pull_secrets: Knative itself asks the registry for the image's "
        remedy += "digest, unless its ConfigMap config-deployment skips that registry."
        return HeadwayError("deployment.image_pull", f"Knative does not find the image: {said}", remedy=remedy)
    return HeadwayError(
        "deployment.service_refused", f"Knative cannot make it run: {said}", remedy="Cure what it says."
    )


def _version_of(deployment: dict[str, Any]) -> str | None:
    found = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return found.get(VERSION)
