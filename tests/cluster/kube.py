"""kubectl, as far as the tests need it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Kube:
    """A cluster, by its kubeconfig."""

    program: str
    kubeconfig: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints; an error fails the test with its words."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def server(self) -> str:
        """URL of the API server."""
        return self.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")

    def answers(self) -> bool:
        """Whether the API server is there."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", "get", "--raw=/readyz", "--request-timeout=3s"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def apply(self, namespace: str, manifest: dict[str, Any]) -> None:
        """Creates or changes an object."""
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))

    def get(self, namespace: str, kind: str, name: str | None = None) -> Any:
        """An object, or the list of all of a kind; None for what is not there."""
        named = [kind] if name is None else [kind, name]
        found = self.kubectl("get", "-n", namespace, *named, "-o", "json", "--ignore-not-found")
        if name is None:
            return json.loads(found)["items"] if found else []
        return json.loads(found) if found else None

    def evict(self, namespace: str, pod: str) -> None:
        """Takes a pod away as a drained node does."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    def finished_pod(self, namespace: str, job: str, *, timeout_s: int = 180) -> dict[str, Any]:
        """The pod of a Job once the Job is over, whichever way."""
        end, said = time.monotonic() + timeout_s, set()
        while not said & {"Complete", "Failed"}:
            assert time.monotonic() < end, f"{job} is not over after {timeout_s} s: {said}"
            time.sleep(0.3)
            said = {c["type"] for c in self.get(namespace, "job", job)["status"].get("conditions", [])}
        pods = json.loads(self.kubectl("get", "pods", "-n", namespace, "-l", f"job-name={job}", "-o", "json"))
        pod: dict[str, Any] = pods["items"][0]
        return pod

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """Everything a container has printed, each line with the cluster's own time."""
        return self.kubectl("logs", "-n", namespace, pod, "-c", container, "--timestamps")


@contextmanager
def new_namespace(cluster: Kube) -> Iterator[str]:
    """A namespace that goes again, in its own time."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
