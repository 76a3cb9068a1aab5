"""The gateway: nginx on this machine, which does what the HTTPRoutes said some seconds ago."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.kserve.api import Api, Object, head, name_of
from tests.cluster.kserve.objects import GATEWAY
from tests.cluster.load import ask

NGINX_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin"  # not every PATH has the first
TOKEN = "headway.test/token"  # label of a namespace whose services want this token of everybody
CONTROLLER = "headway.test/nginx"
NOBODY = "127.0.0.1:1"
Endpoints = Mapping[tuple[str, str], Sequence[str]]


class Gateway:
    """nginx, and the Gateway object that says where it is.

    Args:
        api: The cluster.
        address: Where it listens; pods reach it there.
        port: Its port.
        folder: For its files.
        lag_s: How long a change takes to be served.
    """

    def __init__(self, api: Api, address: str, port: int, folder: Path, lag_s: float) -> None:
        self._api = api
        self._address, self._port = address, port
        self._folder = folder
        self._lag_s = lag_s
        self._seen: deque[tuple[float, str]] = deque()
        self._tokens: Mapping[str, str] = {}
        self._latest = self._render([], {})
        self._file = folder / "nginx.conf"
        self._file.write_text(self._latest)
        program = str(shutil.which("nginx", path=NGINX_PATH))
        self._nginx = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(self._file), "-e", str(folder / "error.log")]
        )

    def install(self) -> None:
        """Makes the Gateway."""
        namespace, name = GATEWAY
        listener = {
            "name": "http",
            "port": self._port,
            "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        spec = {"gatewayClassName": "kserve-stand-in", "listeners": [listener]}
        self._api.apply({**head("Gateway"), "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        said = [_condition("Accepted"), _condition("Programmed")]
        status = {"addresses": [{"type": "IPAddress", "value": self._address}], "conditions": said}
        self._api.write_status("Gateway", namespace, name, status)

    def tick(self) -> None:
        """Accepts new routes at once; what they ask for is served after the lag."""
        routes = self._api.list("HTTPRoute")
        for route in routes:
            if not (route.get("status") or {}).get("parents"):
                self._accept(route)
        self._tokens = {name_of(space): _token_of(space) for space in self._api.list("Namespace")}
        wanted = self._render(routes, endpoints(self._api.list("EndpointSlice")))
        if wanted != self._latest:
            self._latest = wanted
            self._seen.append((time.monotonic() + self._lag_s, wanted))
        due = None
        while self._seen and self._seen[0][0] <= time.monotonic():
            due = self._seen.popleft()[1]
        if due is not None:
            self._file.write_text(due)
            self._nginx.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Ends nginx."""
        self._nginx.terminate()
        self._nginx.wait(10)

    def _accept(self, route: Object) -> None:
        said = [_condition("Accepted"), _condition("ResolvedRefs")]
        parents = [
            {"parentRef": parent, "controllerName": CONTROLLER, "conditions": said}
            for parent in route["spec"].get("parentRefs") or []
        ]
        self._api.write_status("HTTPRoute", route["metadata"]["namespace"], name_of(route), {"parents": parents})

    def _render(self, routes: Sequence[Object], ready: Endpoints) -> str:
        upstreams, servers = [], []
        for route in routes:
            namespace, name = route["metadata"]["namespace"], name_of(route)
            for number, rule in enumerate(route["spec"].get("rules") or []):
                upstream = f"{namespace}.{name}.{number}"
                upstreams.append(f"upstream {upstream} {{ {' '.join(weighted(namespace, rule, ready))} }}")
                hosts = " ".join(route["spec"].get("hostnames") or ["_"])
                servers.append(
                    _server(self._port, self._address, hosts, upstream, rule, self._tokens.get(namespace, ""))
                )
        return _CONF.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=self._folder,
            address=self._address,
            port=self._port,
            upstreams="\n".join(upstreams),
            servers="\n".join(servers),
        )


def running(api: Api) -> str | None:
    """Where the gateway of a stand-in that runs already answers."""
    found = api.get("Gateway", *GATEWAY) or {}
    for address in (found.get("status") or {}).get("addresses") or []:
        url = f"http://{address['value']}:{found['spec']['listeners'][0]['port']}"
        if ask(url, {}, timeout_s=3).status == 404:
            return url
    return None


def endpoints(slices: Sequence[Object]) -> Endpoints:
    """Addresses of the ready pods behind every Service: the gateway goes straight to them."""
    found: dict[tuple[str, str], list[str]] = {}
    for piece in slices:
        service = (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        into = found.setdefault((piece["metadata"]["namespace"], service), [])
        for endpoint in piece.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") and piece.get("ports"):
                into += [f"{address}:{piece['ports'][0]['port']}" for address in endpoint["addresses"]]
    return {service: sorted(addresses) for service, addresses in found.items()}


def weighted(namespace: str, rule: Object, ready: Endpoints) -> list[str]:
    """nginx's servers of a rule: a Service's weight is shared by its pods; the share of one without pods is refused."""
    shares = []
    for backend in rule.get("backendRefs") or []:
        service = (backend.get("namespace", namespace), backend["name"])
        if weight := backend.get("weight", 1):
            shares.append((weight, ready.get(service) or [NOBODY]))
    common = math.lcm(*(len(addresses) for _, addresses in shares))
    each = [(weight * common // len(addresses), address) for weight, addresses in shares for address in addresses]
    least = math.gcd(*(weight for weight, _ in each))
    return [f"server {address} weight={weight // least} max_fails=0;" for weight, address in each] or [
        f"server {NOBODY};"
    ]


def _token_of(namespace: Object) -> str:
    return (namespace["metadata"].get("labels") or {}).get(TOKEN, "")


def _server(port: int, address: str, hosts: str, upstream: str, rule: Object, token: str) -> str:
    path = (rule.get("matches") or [{}])[0].get("path", {"type": "PathPrefix", "value": "/"})
    pattern = path["value"] if path["type"] == "RegularExpression" else f"^{path['value']}"
    refuse = f'if ($http_authorization != "Bearer {token}") {{ return 403; }}' if token else ""
    headers = [
        f'proxy_set_header {header["name"]} "{header["value"]}";'
        for applied in rule.get("filters") or []
        for header in (applied.get("requestHeaderModifier") or {}).get("set") or []
    ]
    timeout = (rule.get("timeouts") or {}).get("request", "60s")
    asked = f"proxy_pass http://{upstream}; proxy_set_header Host $host; proxy_read_timeout {timeout};"
    location = f"location ~ {pattern} {{ {refuse} {asked} {' '.join(headers)} }}"
    return f"server {{ listen {address}:{port}; server_name {hosts}; {location} }}"


def _condition(kind: str) -> Object:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": now}


# A connection a request: a reload would close idle ones under a client's hands, which a cluster's gateway does not do.
_CONF = """{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
access_log off;
client_max_body_size 64m;
keepalive_timeout 0;
proxy_next_upstream off;
proxy_connect_timeout 10s;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
server_names_hash_bucket_size 256;
{upstreams}
server {{ listen {address}:{port} default_server; return 404; }}
{servers}
}}
"""
