"""`python -m headway.components.serving`: the command that a pod or the local engine runs."""

from __future__ import annotations

import argparse
import os
import sys

from headway.components._shared.errors import HeadwayError


def main() -> int:
    """Serves until SIGTERM; gives 1 with the reason as the last line when the model may not or cannot be served."""
    parser = argparse.ArgumentParser(prog="python -m headway.components.serving", description=__doc__)
    parser.add_argument("--model-dir", required=True, help="the model folder")
    parser.add_argument("--model-name", required=True, help="the name in the address")
    parser.add_argument("--manifest-sha256", help="what the model's manifest must hash to, from the verdict")
    parser.add_argument("--threshold", type=float, help="decision threshold of the verdict, for binary models")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="HTTP port")
    parser.add_argument("--fd", type=int, help="a bound socket to listen on, instead of host and port")
    parser.add_argument("--grpc-port", type=int, help="also answer the v2 protocol over gRPC on this port")
    parser.add_argument("--max-rows", type=int, default=10_000, help="most rows of one request")
    ending = os.environ.get("HEADWAY_ENDING_FILE")
    parser.add_argument("--ending-file", default=ending, help="once it is there, every answer closes its connection")
    parser.add_argument("--log-uri", help="folder, gs:// or s3:// prefix of the inference log; none without it")
    parser.add_argument("--log-flush-s", type=float, default=60, help="longest time until a request is in the log")
    parser.add_argument("--log-max-rows", type=int, default=200_000, help="most rows that wait to be written")
    options = parser.parse_args()
    # Both must stand before scikit-learn and kserve are imported: threads are fixed then, and kserve reads sys.argv.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.argv = sys.argv[:1]
    from headway.components.serving.server import serve

    try:
        serve(**vars(options))
    except HeadwayError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
