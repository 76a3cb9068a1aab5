"""A real Prometheus for tests, what it scrapes, and an application whose counters a test sets."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not on PATH (Debian package prometheus)"
)

# Of the account `reader` with the password `secret`.
_ACCOUNTS = 'basic_auth_users: {reader: "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"}\n'


class Prometheus:
    """A server that runs.

    Attributes:
        address: Where it answers.
        always: What it scrapes beside all that it is told to.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._targets = folder / "targets.json"
        self.always: tuple[str, ...] = ()
        self.address = f"http://127.0.0.1:{port}"
        self.scrape()

    def scrape(self, *addresses: str) -> None:
        """Scrapes these and no others from now on; returns once each was scraped."""
        self.find({address: {} for address in addresses})
        for address in addresses:
            self._wait_for(f'up{{instance="{address.removeprefix("http://")}"}} == 1')

    def find(self, targets: Mapping[str, Mapping[str, str]]) -> None:
        """Tells it what there is to scrape, as service discovery does: addresses and the labels of each."""
        told = [
            {"targets": [address.removeprefix("http://")], "labels": dict(labels)}
            for address, labels in (*targets.items(), *((address, {}) for address in self.always))
        ]
        aside = self._targets.with_suffix(".aside")
        aside.write_text(json.dumps(told))
        aside.replace(self._targets)

    def _wait_for(self, query: str) -> None:
        url = f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        for _ in range(200):
            if json.loads(urllib.request.urlopen(url, timeout=5).read())["data"]["result"]:
                return
            time.sleep(0.1)
        raise AssertionError(f"Prometheus has not scraped: {query}")


@contextmanager
def prometheus(folder: Path, *, accounts: bool = False) -> Iterator[Prometheus]:
    """Starts a server that scrapes five times a second."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Prometheus(folder, port)
    job = "{job_name: tests, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}"
    config = folder / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs: [{job}]\n")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    if accounts:
        (folder / "web.yml").write_text(_ACCOUNTS)
        command += [f"--web.config.file={folder / 'web.yml'}"]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{server.address}/-/ready", timeout=5).read()
                break
            except urllib.error.HTTPError as error:
                if error.code == 401:
                    break
                time.sleep(0.1)
            except OSError:
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(20)


class Application(threading.Thread):
    """What callers of a model run: an exporter whose counters are a function of the seconds since that was set."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.count(lambda _: "")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805 - self is the application
                text = self._metrics(time.monotonic() - self._since).encode()
                handler.send_response(200)
                handler.send_header("content-type", "text/plain; version=0.0.4")
                handler.send_header("content-length", str(len(text)))
                handler.end_headers()
                handler.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def count(self, metrics: Callable[[float], str]) -> None:
        """Counts so from now on.

        Args:
            metrics: Gives the text that Prometheus reads.
        """
        self._metrics, self._since = metrics, time.monotonic()

    def run(self) -> None:
        """Answers until it is closed."""
        self._server.serve_forever()

    def __enter__(self) -> Application:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
