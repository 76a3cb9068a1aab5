"""The child process of a local run: executes one pipeline through kfp.local and prints kfp's own log."""

from __future__ import annotations

import json
import logging
import sys

from headway.pipelines.catalogue import load_pipeline


def main() -> None:
    """Reads a JSON job {pipeline, parameters, pipeline_root, cache_root} from standard input and runs it."""
    from kfp import local

    logging.basicConfig(level=logging.INFO)  # kfp tells cache hits to the root logger
    job = json.load(sys.stdin)
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=job["pipeline_root"],
        enable_caching=True,
        cache_root=job["cache_root"],
    )
    load_pipeline(job["pipeline"])(**job["parameters"])


if __name__ == "__main__":
    main()
