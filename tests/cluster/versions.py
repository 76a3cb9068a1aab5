"""InferenceServices whose server is a few lines that answer with their version: quick to start and to tell apart."""

from __future__ import annotations

from typing import Any

from headway.components._shared import images

SERVER = """
import os, signal, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 128
server = ThreadingHTTPServer(("", 8080), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"""
RUNTIME = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ServingRuntime",
    "metadata": {"name": "versions"},
    "spec": {
        "supportedModelFormats": [{"name": "version", "autoSelect": True}],
        "containers": [
            {
                "name": "kserve-container",
                "image": images.reference("serving"),
                "command": ["python", "-c", SERVER],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}},
            }
        ],
    },
}


def predictor(version: str, *, minimum: int | None = 1, uri: str | None = None, **model: Any) -> dict[str, Any]:
    """A predictor of that name that answers with its name."""
    said = {"modelFormat": {"name": "version"}, "env": [{"name": "VERSION", "value": version}], **model}
    if uri is not None:
        said["storageUri"] = uri
    replicas = {} if minimum is None else {"minReplicas": minimum}
    return {"name": version, **replicas, "model": said}


def service(
    stable: dict[str, Any],
    canary: dict[str, Any] | None = None,
    percent: int = 0,
    *,
    name: str = "churn",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    """An InferenceService in Standard mode without an autoscaler."""
    spec: dict[str, Any] = {"predictor": stable}
    if canary is not None:
        spec["canary"] = [{"predictor": canary, "trafficPercent": percent}]
    said = {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": {**said, **(annotations or {})}, "labels": labels or {}},
        "spec": spec,
    }
