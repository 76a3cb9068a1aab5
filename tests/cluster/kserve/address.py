"""Where this machine is, seen from the cluster."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from lightkube import KubeConfig


def own_address(kubeconfig: str) -> str:
    """The address of this machine on its way to the API server, by which that and the pods reach it."""
    server = urlsplit(KubeConfig.from_file(kubeconfig).get().cluster.server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((server.hostname, server.port or 443))
        return str(probe.getsockname()[0])
