"""Sends a JSON message to an address, a bounded number of times, and never raises about it."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from headway.components.alerting.config import Webhook

_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Delivery:
    """What became of a message. The problem never holds the address, which may hold a token."""

    delivered: bool
    attempts: int
    problem: str = ""


def deliver(
    payload: Mapping[str, object],
    webhook: Webhook,
    *,
    environment: Mapping[str, str] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Delivery:
    """Posts the payload; tries again after what may pass: no connection, a timeout, 408, 429 and 5xx.

    Args:
        payload: JSON values.
        webhook: Where and how often.
        environment: Where the address is looked up; by default the process's own.
        pause: Waits so many seconds between two tries.
    """
    url = (os.environ if environment is None else environment).get(webhook.url_env, "").strip()
    if not url:
        return Delivery(False, 0, f"the environment variable {webhook.url_env} is not set")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        return Delivery(False, 0, f"{webhook.url_env} does not hold an http or https address")
    request = urllib.request.Request(
        url,
        data=json.dumps(payload, allow_nan=False).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "headway"},
        method="POST",
    )
    answer = _Answer("not tried")
    for attempt in range(1, webhook.attempts + 1):
        answer = _post(request, webhook.timeout_s)
        if not answer.problem:
            return Delivery(True, attempt)
        if not answer.may_pass:
            return Delivery(False, attempt, answer.problem)
        if attempt < webhook.attempts:
            pause(min(_LONGEST_PAUSE_S, answer.retry_after_s or 2.0 ** (attempt - 1)))
    return Delivery(False, webhook.attempts, answer.problem)


@dataclass(frozen=True)
class _Answer:
    problem: str = ""
    may_pass: bool = False
    retry_after_s: float = 0.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A message and the token in its address go where they were addressed to, and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _post(request: urllib.request.Request, timeout_s: float) -> _Answer:
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s):
            return _Answer()
    except urllib.error.HTTPError as error:
        with error:
            may_pass = error.code in (408, 429) or error.code >= 500
            return _Answer(f"it answered HTTP {error.code}", may_pass, _seconds(error.headers.get("Retry-After")))
    except TimeoutError:
        return _Answer(f"no answer within {timeout_s:g} s", True)
    except urllib.error.URLError as error:
        reason = f"no answer within {timeout_s:g} s" if isinstance(error.reason, TimeoutError) else "no connection"
        return _Answer(reason, True)
    except (OSError, http.client.HTTPException) as error:
        return _Answer(f"the connection broke ({type(error).__name__})", True)


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0
