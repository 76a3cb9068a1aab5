"""What the tests of the engine katib ask of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kube import Kube
from tests.cluster.s3 import KEYS, S3

ROLE = Path(__file__).resolve().parents[2] / "components" / "tuning" / "role.yaml"
SMALL = {"cpu": "50m", "memory": "1Gi"}


def environment(s3: S3) -> dict[str, str]:
    """What a process, here or in a pod, must know of the S3 server."""
    return {**KEYS, "AWS_ENDPOINT_URL": s3.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}


def kubeconfig_for(kube: Kube, namespace: str, folder: Path, account: str | None = None) -> Path:
    """A kubeconfig whose context is a namespace, as the cluster's admin or as a service account there."""
    config: dict[str, Any] = yaml.safe_load(Path(kube.kubeconfig).read_text())
    current = config.get("current-context") or config["contexts"][0]["name"]
    (context,) = (each["context"] for each in config["contexts"] if each["name"] == current)
    context["namespace"] = namespace
    if account is not None:
        token = kube.kubectl("create", "token", account, "-n", namespace).strip()
        config["users"].append({"name": "headway-test", "user": {"token": token}})
        context["user"] = "headway-test"
    file = folder / f"{namespace}-{account or 'admin'}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def roles_of(file: Path) -> list[dict[str, Any]]:
    """The roles of a role.yaml: what always is needed, and what some settings need."""
    return list(yaml.safe_load_all(file.read_text()))


def bind_role(
    kube: Kube,
    namespace: str,
    account: str,
    *,
    without: tuple[str, ...] | None = None,
    more: str | None = None,
    file: Path = ROLE,
) -> None:
    """A service account with the rights of a role.yaml.

    Args:
        kube: The cluster.
        namespace: Where.
        account: Its name.
        without: A right that it has not: verb, resource, perhaps its group.
        more: What the name of one of the file's further roles ends with.
        file: The role.yaml.
    """
    kube.apply(namespace, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
    role, *further = roles_of(file)
    if more is not None:
        (chosen,) = (each for each in further if each["metadata"]["name"].endswith(f"-{more}"))
        role["rules"] += chosen["rules"]
    if without is not None:
        role["rules"] = [
            {
                **rule,
                "resources": [name],
                "verbs": [v for v in rule["verbs"] if (v, name, rule["apiGroups"][0])[: len(without)] != without],
            }
            for rule in role["rules"]
            for name in rule["resources"]
        ]
        role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    role["metadata"] = {"name": account}
    kube.apply(namespace, role)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    kube.apply(namespace, binding)
