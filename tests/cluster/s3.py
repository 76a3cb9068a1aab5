"""An S3 server that pods reach, and the Secret and account by which they may read from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "models"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass(frozen=True)
class S3:
    """A server with one bucket.

    Attributes:
        endpoint: Its address, for this machine and for pods.
    """

    endpoint: str

    @property
    def client(self) -> Any:
        """boto3's client."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def upload(self, folder: Path, prefix: str) -> str:
        """Copies a folder into the bucket and gives its address."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")
        return f"s3://{BUCKET}/{prefix}"

    def secret(self, name: str = "s3") -> dict[str, Any]:
        """The Secret that KServe's storage initializer needs."""
        annotations = {
            "serving.kserve.io/s3-endpoint": urlsplit(self.endpoint).netloc,
            "serving.kserve.io/s3-usehttps": "0",
            "serving.kserve.io/s3-region": "us-east-1",
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "annotations": annotations},
            "stringData": KEYS,
        }

    def account(self, name: str = "serving", secret: str = "s3") -> dict[str, Any]:
        """A service account with that Secret."""
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name},
            "secrets": [{"name": secret}],
        }


@contextmanager
def running_s3(address: str) -> Iterator[S3]:
    """A server at an address of this machine, with an empty bucket."""
    server = ThreadedMotoServer(ip_address=address, port=_free_port(address), verbose=False)
    server.start()
    try:
        found = S3("http://{}:{}".format(*server.get_host_and_port()))
        found.client.create_bucket(Bucket=BUCKET)
        yield found
    finally:
        server.stop()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
