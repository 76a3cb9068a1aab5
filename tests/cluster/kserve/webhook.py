"""The webhooks, served over TLS from this machine, so that a dry run refuses what KServe's would."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.certificates import self_signed
from tests.cluster.kserve.api import Api, Object, head
from tests.cluster.kserve.releases import refused_class, release_of, undeclared
from tests.cluster.kserve.rules import defaulted, problem

NAME = "inferenceservice.serving.kserve.io"
_SERVER = "inferenceservice.kserve-webhook-server"


class Webhook:
    """Both webhooks, from start to stop.

    Args:
        api: The cluster.
        address: Where the API server reaches this machine.
        folder: For key and certificate.
    """

    def __init__(self, api: Api, address: str, folder: Path) -> None:
        self._api = api
        certificate = self_signed(address, folder / "tls.pem")
        self._server = ThreadingHTTPServer((address, 0), type("Handler", (_Handler,), {"api": api}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._url = f"https://{address}:{self._server.server_port}"
        self._bundle = base64.b64encode(certificate).decode()

    def start(self) -> None:
        """Serves, and tells the API server."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._api.apply(self._configuration("MutatingWebhookConfiguration", "defaulter", "/mutate"))
        self._api.apply(self._configuration("ValidatingWebhookConfiguration", "validator", "/validate"))

    def stop(self) -> None:
        """Takes the webhooks out of the API server's way, unless another stand-in has put its own there."""
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            found = self._api.get(kind, None, NAME)
            if found and found["webhooks"][0]["clientConfig"]["url"].startswith(self._url):
                self._api.delete(kind, None, NAME)
        self._server.shutdown()

    def _configuration(self, kind: str, role: str, path: str) -> Object:
        rule = {
            "apiGroups": ["serving.kserve.io"],
            "apiVersions": ["v1beta1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["inferenceservices"],
        }
        webhook = {
            "name": f"{_SERVER}.{role}",
            "clientConfig": {"url": self._url + path, "caBundle": self._bundle},
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        return {**head(kind), "metadata": {"name": NAME}, "webhooks": [webhook]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
        release = release_of(self.api.get("Namespace", None, request["namespace"]))
        if found := undeclared(request["object"], release):
            answer |= {"allowed": False, "status": {"code": 500, "message": found, "reason": "InternalError"}}
        elif self.path.startswith("/mutate"):  # the API server adds its timeout
            changed = defaulted(request["object"], release)
            patch = [{"op": "replace", "path": f"/{part}", "value": changed[part]} for part in _PARTS]
            answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        else:
            found = refused_class(request["object"], release) or problem(request["object"], request.get("oldObject"))
            if found:
                answer |= {"allowed": False, "status": {"code": 403, "message": found, "reason": "Forbidden"}}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


_PARTS = ("metadata", "spec")
