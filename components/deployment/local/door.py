"""The one address of a local endpoint: taken before anything starts, and kept over all deployments."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from headway.components._shared.endpoints import ROUTER, processes, read_endpoint
from headway.components._shared.errors import HeadwayError
from headway.components.deployment.config import Serving


class Door:
    """Where the router listens.

    Args:
        folder: The endpoint's.
        model_name: The endpoint.
        serving: The port, if one was asked for.

    Attributes:
        socket: The address, bound for a router to be started; None where one has it already.
    """

    def __init__(self, folder: Path, model_name: str, serving: Serving) -> None:
        self.folder = folder
        self.model_name = model_name
        self.serving = serving
        self.socket: socket.socket | None = None
        self._taken: int | None = None

    @property
    def port(self) -> int:
        """The endpoint's port; 0 while it has none."""
        record = read_endpoint(self.folder)
        return self._taken or (record.port if record else 0)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Takes the address, unless our own router has it already.

        Raises:
            HeadwayError: `deployment.port_taken`.
        """
        record = read_endpoint(self.folder)
        wanted = self._taken = self.serving.port or (record.port if record else 0)
        routing = processes.pid_of(self.folder, ROUTER) is not None
        if routing and record and wanted == record.port:
            self.socket = None
            yield
            return
        with socket.socket() as self.socket:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.socket.bind(("127.0.0.1", wanted))
            except OSError as error:
                raise self._port_taken(wanted, error) from None
            self._taken = self.socket.getsockname()[1]
            if routing:
                processes.stop(self.folder, ROUTER, grace_s=self.serving.drain_timeout_s)
            yield

    def _port_taken(self, port: int, error: OSError) -> HeadwayError:
        return HeadwayError(
            "deployment.port_taken",
            f"Port {port} of 127.0.0.1, the address of the endpoint {self.model_name}, cannot be opened: "
            f"{error.strerror}.",
            value=port,
            remedy="End the program that listens there, or give another port in serving.port.",
        )
