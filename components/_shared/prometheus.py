"""Asks Prometheus for the present value of a query; what goes wrong has a name, and no secret is in it."""

from __future__ import annotations

import http.client
import json
import math
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import Field, model_validator

from headway.components._shared.config import Config, Duration
from headway.components._shared.errors import HeadwayError
from headway.components._shared.times import parse_duration
from headway.components._shared.tokens import bearer

UNREACHABLE = "prometheus.unreachable"
REFUSED = "prometheus.refused"
QUERY = "prometheus.query"
TOKEN = "prometheus.token"

_MAX_BYTES = 16 * 2**20
# What the name of a header with a secret in it holds.
_SECRET = ("authorization", "cookie", "key", "token", "secret", "password")

_CHECK_ADDRESS = "Check the address of Prometheus, and that Prometheus runs there; from within a cluster it is "
_CHECK_ADDRESS += "http://SERVICE.NAMESPACE:PORT, and a NetworkPolicy must let the step's pod through."

Labels = frozenset[tuple[str, str]]
# Series to value.
Answer = Mapping[Labels, float]


class Access(Config):
    """Where a Prometheus server is, and how it lets us in.

    Attributes:
        address: Such as `http://prometheus.monitoring:9090`.
        token_file: File with a bearer token, read before each request.
        token_env: Environment variable with one.
        headers: What each request carries, such as `X-Scope-OrgID`; nothing secret, since parameters are seen by many.
        ca_file: Certificates that the server's must be signed by, where the machine's own do not do.
        timeout: Time for one answer.
    """

    address: str = Field(pattern=r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$")
    token_file: str | None = None
    token_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    headers: dict[str, str] = {}
    ca_file: str | None = None
    timeout: Duration = "10s"

    @model_validator(mode="after")
    def _no_secret_is_shown(self) -> Access:
        if self.token_file and self.token_env:
            raise ValueError("give token_file or token_env, not both")
        for name, value in self.headers.items():
            if any(word in name.lower() for word in _SECRET):
                raise ValueError(f"the header {name} looks like a secret; use token_file or token_env")
            if not f"{name}{value}".isprintable():
                raise ValueError(f"the header {name} must be printable")
        return self


class Server:
    """A Prometheus server, or what speaks its HTTP API.

    Redirects are not followed and nothing but the API's own JSON is told, so that an address that is no Prometheus
    gets no token from elsewhere, and gives nothing away.

    Args:
        settings: Address and credentials.
    """

    def __init__(self, settings: Access) -> None:
        self.settings = settings
        self._parts = urlsplit(settings.address)
        self._timeout_s = parse_duration(settings.timeout).total_seconds()

    def now(self) -> float:
        """The server's own time."""
        return self._query("time()", None)[0]

    def query(self, query: str, time_s: float) -> Answer:
        """The instant vector of a query, without the values that are not finite.

        Args:
            query: PromQL.
            time_s: The moment, in seconds since 1970.

        Raises:
            HeadwayError: `prometheus.unreachable`, `prometheus.refused`,
                `prometheus.query`, `prometheus.token`.
        """
        _, kind, result = self._query(query, time_s)
        if kind != "vector":
            raise _bad_query(query, f"it gives a {kind}, and counters are a vector")
        found = ((frozenset(s["metric"].items()), float(s["value"][1])) for s in result)
        return {frozenset(p for p in labels if p[0] != "__name__"): v for labels, v in found if math.isfinite(v)}

    def _query(self, query: str, time_s: float | None) -> tuple[float, str, Any]:
        form = {"query": query, "timeout": f"{self._timeout_s:g}s"} | (
            {} if time_s is None else {"time": f"{time_s:.3f}"}
        )
        status, answer = self._post("/api/v1/query", urlencode(form))
        if status in (400, 422):
            said = answer.get("error") if isinstance(answer, dict) else None
            raise _bad_query(query, f"it answered {status}{f': {str(said)[:300]}' if said else ''}")
        if status != 200:
            raise self._refused(status)
        try:
            kind, result = answer["data"]["resultType"], answer["data"]["result"]
            return (float(result[0]) if kind == "scalar" else 0.0), str(kind), result
        except (TypeError, KeyError, IndexError, ValueError):
            raise self._unreachable("what answers there does not speak the HTTP API of Prometheus") from None

    def _post(self, path: str, form: str) -> tuple[int, Any]:
        token = bearer(TOKEN, "Prometheus", file=self.settings.token_file, env=self.settings.token_env)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.settings.headers, **token}
        try:
            connection = self._connection()
            try:
                connection.request("POST", self._parts.path.rstrip("/") + path, body=form, headers=headers)
                answer = connection.getresponse()
                content = answer.read(_MAX_BYTES + 1)
            finally:
                connection.close()
        except TimeoutError:
            raise self._unreachable(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(getattr(error, "strerror", None) or type(error).__name__) from None
        if len(content) > _MAX_BYTES:
            raise self._unreachable(f"it answered more than {_MAX_BYTES // 2**20} MiB")
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, None

    def _connection(self) -> http.client.HTTPConnection:
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(self._parts.netloc, timeout=self._timeout_s)
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        return http.client.HTTPSConnection(self._parts.netloc, timeout=self._timeout_s, context=context)

    def _unreachable(self, why: str) -> HeadwayError:
        return HeadwayError(
            UNREACHABLE,
            f"Prometheus cannot be asked: {why}.",
            value=self.settings.address,
            remedy=_CHECK_ADDRESS,
        )

    def _refused(self, status: int) -> HeadwayError:
        if status >= 500 or status == 429:
            return self._unreachable(f"it answered {status}")
        remedy = "Give a token in token_file or token_env, and let its account query metrics."
        return HeadwayError(
            REFUSED,
            f"Prometheus refuses to answer: status {status}.",
            value=self.settings.address,
            remedy=remedy if status in (401, 403) else _CHECK_ADDRESS,
        )


def _bad_query(query: str, why: str) -> HeadwayError:
    return HeadwayError(
        QUERY,
        f"Prometheus cannot evaluate a query: {why}.",
        value=query,
        remedy="Try the query in the web page of Prometheus, and mend it.",
    )
