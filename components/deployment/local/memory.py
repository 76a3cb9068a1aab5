"""What an endpoint of this machine remembers of itself, in files beside its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headway.components._shared.config import Config, parse
from headway.components._shared.endpoints import HISTORY, ROLLOUT
from headway.components._shared.state import dump_json
from headway.components.deployment.memory import History, Progress


class Memory:
    """The part of an engine that remembers.

    Args:
        folder: The endpoint's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def history(self) -> History:
        """What `remember` kept last."""
        kept = self._kept(HISTORY)
        return parse(History, kept, parameter=HISTORY) if kept else History()

    def remember(self, history: History) -> None:
        """Keeps it in a file beside the endpoint's record."""
        self._keep(HISTORY, history)

    def progress(self) -> Progress | None:
        """What `note` kept last."""
        kept = self._kept(ROLLOUT)
        return parse(Progress, kept, parameter=ROLLOUT) if kept else None

    def note(self, progress: Progress | None) -> None:
        """Keeps it in a file beside the endpoint's record."""
        if progress is None:
            (self.folder / ROLLOUT).unlink(missing_ok=True)
        else:
            self._keep(ROLLOUT, progress)

    def _kept(self, name: str) -> Any:
        path = self.folder / name
        return json.loads(path.read_bytes()) if path.is_file() else None

    def _keep(self, name: str, content: Config) -> None:
        aside = self.folder / f".aside-{name}"
        aside.write_bytes(dump_json(content.model_dump(mode="json")))
        aside.replace(self.folder / name)
