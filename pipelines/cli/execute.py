"""The child process of a local run: executes one pipeline through kfp.local and prints kfp's own log."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time

from headway.pipelines.catalogue import load_pipeline

_GRACE_S = 0.25  # as much as a cluster leaves a terminated step


def main() -> None:
    """Reads a JSON job {pipeline, parameters, pipeline_root, cache_root} from standard input's first line and runs it.

    Standard input is also the lifeline: when the parent is gone, however it went, this process and its steps go too.
    """
    from kfp import local

    logging.basicConfig(level=logging.INFO)  # kfp tells cache hits to the root logger
    job = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGTERM, lambda *_: None)  # _end_with_parent still has to kill what does not heed SIGTERM
    threading.Thread(target=_end_with_parent, daemon=True).start()
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=job["pipeline_root"],
        enable_caching=True,
        cache_root=job["cache_root"],
    )
    load_pipeline(job["pipeline"])(**job["parameters"])


def _end_with_parent() -> None:
    """Ends the process group (of this process and every step) when standard input is closed."""
    os.read(sys.stdin.fileno(), 1)  # a thread that holds the buffer's lock would hinder the exit
    os.killpg(0, signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
