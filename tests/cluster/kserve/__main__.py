"""`python -m tests.cluster.kserve`: the stand-in until it is told to stop; says where its gateway is once it works."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from httpx2 import HTTPError

from tests.cluster.kserve.address import own_address
from tests.cluster.kserve.api import Api
from tests.cluster.kserve.controller import Controller
from tests.cluster.kserve.gateway import Gateway, running
from tests.cluster.kserve.install import foreign, install, missing
from tests.cluster.kserve.webhook import Webhook

NOT_HERE = 3
SCHEMAS = Path(__file__).resolve().parents[4] / "shared/crds"


def main() -> int:
    """Runs until SIGTERM; gives `NOT_HERE` with a line when something that it needs is not here."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.kserve", description=__doc__)
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"), help="the cluster")
    parser.add_argument("--schemas", type=Path, default=SCHEMAS, help="folder of KServe's schemas, kserve_*.json")
    parser.add_argument("--port", type=int, default=8088, help="the gateway's port")
    parser.add_argument("--lag", type=float, default=2.0, help="seconds until the gateway serves a change")
    options = parser.parse_args()
    why_not = missing(options.kubeconfig, options.schemas)
    api = None if why_not else Api(options.kubeconfig)
    if api and (there := running(api)):
        why_not = f"another stand-in runs already, at {there}"
    if api and not why_not:
        why_not = foreign(api)
    if api is None or why_not:
        print(why_not, file=sys.stderr)
        return NOT_HERE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for noisy in ("httpx2", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    address = own_address(options.kubeconfig)
    install(api, options.schemas)
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(api, address, options.port, Path(folder), options.lag)
        webhook = Webhook(api, address, Path(folder))
        try:
            gateway.install()
            webhook.start()
            print(f"http://{address}:{options.port}", flush=True)
            run(api, gateway, stopped)
        finally:
            webhook.stop()
            gateway.stop()
    return 0


def run(api: Api, gateway: Gateway, stopped: threading.Event) -> None:
    """Looks at everything twice a second and outlives an API server that does not answer."""
    controller = Controller(api)
    while not stopped.wait(0.4):
        for tick in (controller.tick, gateway.tick):
            try:
                tick()
            except HTTPError as error:
                logging.getLogger("kserve").info("%s: %s", type(error).__name__, error)


if __name__ == "__main__":
    sys.exit(main())
