"""What an endpoint of a cluster remembers of itself, in the record on its Lease."""

from __future__ import annotations

from headway.components.deployment.kserve.lease import EndpointLease
from headway.components.deployment.memory import History, Progress


class Memory:
    """The part of an engine that remembers.

    Args:
        lease: The endpoint's.
    """

    def __init__(self, lease: EndpointLease) -> None:
        self.lease = lease

    def names(self) -> list[str]:
        """The endpoints of the namespace, by their records."""
        return self.lease.endpoints()

    def history(self) -> History:
        """What `remember` kept last."""
        return self.lease.read().history

    def remember(self, history: History) -> None:
        """Keeps it in the endpoint's record."""
        self.lease.write(self.lease.read().model_copy(update={"history": history}))

    def progress(self) -> Progress | None:
        """What was noted last."""
        return self.lease.read().progress

    def note(self, progress: Progress | None) -> None:
        """Keeps it in the endpoint's record."""
        self.lease.write(self.lease.read().model_copy(update={"progress": progress}))
