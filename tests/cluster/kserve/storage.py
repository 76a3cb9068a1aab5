"""How a model gets into a pod: an init container that fetches s3://, or a mounted volume claim."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from headway.components._shared import images
from tests.cluster.kserve.api import Object

MODELS = "/mnt/models"
INITIALIZER = "storage-initializer"
_PROVISIONED = "kserve-provision-location"
_S3 = "serving.kserve.io/s3-"


def with_storage(pod: Object, uri: str, secrets: Sequence[Object]) -> Object:
    """The pod with the model at /mnt/models of its server, read-only."""
    server = pod["containers"][0]
    mounts = [m for m in server.get("volumeMounts") or [] if m["mountPath"] != MODELS]
    if uri.startswith("pvc://"):
        claim, _, path = uri.removeprefix("pvc://").partition("/")
        source = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim, "readOnly": False}}
        mount = {"name": source["name"], "mountPath": MODELS, "subPath": path, "readOnly": True}
        server["volumeMounts"] = [*mounts, mount]
        return {**pod, "volumes": [*(pod.get("volumes") or []), source]}
    server["volumeMounts"] = [*mounts, {"name": _PROVISIONED, "mountPath": MODELS, "readOnly": True}]
    initializer = {
        "name": INITIALIZER,
        "image": images.reference("serving"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", f"{inspect.getsource(fetch)}\nimport sys\nfetch(*sys.argv[1:])"],
        "args": [uri, MODELS],
        "env": _credentials(secrets),
        "volumeMounts": [{"name": _PROVISIONED, "mountPath": MODELS}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }
    if "securityContext" in server:
        initializer["securityContext"] = server["securityContext"]
    return {
        **pod,
        "initContainers": [*(pod.get("initContainers") or []), initializer],
        "volumes": [*(pod.get("volumes") or []), {"name": _PROVISIONED, "emptyDir": {}}],
    }


def fetch(uri: str, folder: str) -> None:
    """Runs in the init container: copies every object whose name begins so into a folder, but for empty ones."""
    import os
    from pathlib import Path, PurePath

    from obstore.store import from_url

    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    options = {}
    if scheme == "s3":
        options = {"region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            options["endpoint"] = endpoint
        if "AWS_ACCESS_KEY_ID" not in os.environ:
            options["skip_signature"] = "true"
    store = from_url(f"{scheme}://{bucket}", client_options={"allow_http": True}, **options)
    beside = [entry for page in store.list(prefix.rpartition("/")[0] or None) for entry in page]
    found = [entry["path"] for entry in beside if entry["path"].startswith(prefix) and entry["size"]]
    for path in found:
        target = Path(folder, path[len(prefix) :].lstrip("/") or PurePath(path).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes(store.get(path).bytes()))
    if not found:
        raise RuntimeError(f"Failed to fetch model. No model found in {prefix}.")


def _credentials(secrets: Sequence[Object]) -> list[Object]:
    """What a Secret with S3 keys becomes in the init container's environment."""
    for secret in secrets:
        keys = [key for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if key in (secret.get("data") or {})]
        if not keys:
            continue
        said = secret["metadata"].get("annotations") or {}
        name = secret["metadata"]["name"]
        env = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in keys]
        if endpoint := said.get(f"{_S3}endpoint"):
            scheme = "http" if said.get(f"{_S3}usehttps") == "0" else "https"
            env.append({"name": "AWS_ENDPOINT_URL", "value": f"{scheme}://{endpoint}"})
        if region := said.get(f"{_S3}region"):
            env.append({"name": "AWS_DEFAULT_REGION", "value": region})
        return env
    return []
