"""Ends what a search has started: at its end, when the step is told to stop, and when its step has vanished."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import FrameType
from typing import Any

from headway.components._shared.errors import HeadwayError
from headway.components._shared.kubernetes import Cluster, Kind, bearing
from headway.components._shared.kubernetes.kinds import EXPERIMENT, JOB, POD, TRIAL
from headway.components._shared.times import now, parse_time
from headway.components.tuning.katib.checks import INJECTION_LABEL
from headway.components.tuning.katib.experiment import ALIVE, MANAGED_BY, SEARCH
from headway.components.tuning.katib.stage import Stage, stage_of, sweep_stages

log = logging.getLogger("headway")

# A step says that it is alive once a minute; one that has not for so long has vanished.
VANISHED_AFTER = timedelta(minutes=5)
_WARM_S = 15.0
_GONE_WITHIN_S = 30.0


@contextlib.contextmanager
def deleted_on_sigterm(open_cluster: Callable[[], Cluster], things: Sequence[tuple[Kind, str]]) -> Iterator[None]:
    """While this lasts, SIGTERM deletes objects before it ends the process.

    A terminated step has a quarter of a second: the requests go out on a connection that is kept open for them, by
    a thread that does nothing else, since the main thread may be in the middle of a request.

    Args:
        open_cluster: Opens the thread's own connection.
        things: What there is to delete by then, the most important first; may grow and shrink.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, done = threading.Event(), threading.Event()
    cluster = open_cluster()

    def wait() -> None:
        while not told.wait(_WARM_S):
            with bearing("keeping a connection open"):
                cluster.get(EXPERIMENT, "none")
        if not done.is_set():
            for kind, name in list(things):
                try:
                    cluster.delete(kind, name)
                except HeadwayError as error:  # the next thing must go all the same; a next run sweeps this one
                    log.warning(f"{name} could not be deleted: {error.message}")
            done.set()

    def end(number: int, _frame: FrameType | None) -> None:
        told.set()
        done.wait(5.0)
        raise SystemExit(128 + number)

    with bearing("opening a connection"):
        cluster.get(EXPERIMENT, "none")
    threading.Thread(target=wait, daemon=True, name="deletes-on-sigterm").start()
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        done.set()
        told.set()


def delete_search(cluster: Cluster, search: str) -> None:
    """Deletes a search's objects in the background, those of earlier tries too, and waits until nothing is left.

    Where they stay (Katib cannot remove its finalizers in a namespace that has lost its label), a warning says so.
    """
    labels = {SEARCH: search}
    for kind in (EXPERIMENT, JOB):
        for found in cluster.list(kind, labels):
            cluster.delete(kind, found["metadata"]["name"])
    end = time.monotonic() + _GONE_WITHIN_S
    while any(cluster.list(kind, labels) for kind in (EXPERIMENT, TRIAL, JOB, POD)):
        if time.monotonic() > end:
            log.warning(
                f"tune_model: the search {search} is being deleted but not gone yet. If it stays, the namespace "
                f"{cluster.namespace} has lost its label or the Katib controller does not run: kubectl label "
                f"namespace {cluster.namespace} {INJECTION_LABEL}=enabled, then annotate the object with anything."
            )
            return
        time.sleep(0.5)


def sweep(cluster: Cluster, mine: str, state_uri: str) -> None:
    """Deletes what steps that have vanished have left: experiments, Jobs, and what they have staged.

    Args:
        cluster: The namespace.
        mine: The search that is to stay, since this step goes on with it.
        state_uri: State folder; what was staged in another one is left.
    """
    searches: dict[str, list[tuple[Kind, Mapping[str, Any]]]] = defaultdict(list)
    for kind in (EXPERIMENT, JOB):
        for found in cluster.list(kind, MANAGED_BY):
            metadata = found["metadata"]
            searches[metadata["labels"].get(SEARCH, mine)].append((kind, metadata))
    living = {mine}
    for search, left in searches.items():
        # Katib starts trials whether or not the step still lives: where there is an experiment, it alone tells.
        telling = [metadata for kind, metadata in left if kind == left[0][0]]
        if search == mine or now() - max(map(_sign_of_life, telling)) < VANISHED_AFTER:
            living.add(search)
            continue
        log.info(f"tune_model: deletes the search {search}, whose step has vanished")
        for kind, metadata in left:
            cluster.delete(kind, metadata["name"])
        Stage(stage_of(state_uri, search)).remove()
    # A step that was told to end had no time for its data, and a deleted run takes its objects along.
    sweep_stages(state_uri, living)


def _sign_of_life(metadata: Mapping[str, Any]) -> datetime:
    return parse_time((metadata.get("annotations") or {}).get(ALIVE) or metadata["creationTimestamp"])
