"""A constant load on a service while something else happens to it, each request on a connection of its own."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from headway.components._shared.endpoints.inference import DIGEST_HEADER


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes:
        sent_s: When it was sent, in seconds since the load began.
        status: HTTP status; 0 when there was none.
        body: What was answered, or the error of the connection.
        headers: Of the answer, their names in lower case.
    """

    sent_s: float
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Load:
    """The answers so far; may be asked at any time.

    Args:
        answers: Where they arrive.
    """

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers

    @property
    def errors(self) -> list[Answer]:
        """Everything but 200."""
        return [answer for answer in list(self.answers) if answer.status != 200]

    def digests_at_the_end(self) -> set[str | None]:
        """Who answered the 20 requests that were sent last; those before may have been hanging for longer."""
        last = sorted(self.answers, key=lambda answer: answer.sent_s)[-20:]
        return {answer.headers.get(DIGEST_HEADER) for answer in last}

    def errors_by_second(self) -> dict[int, int]:
        """How many failed in each second that had any."""
        return dict(sorted(Counter(int(answer.sent_s) for answer in self.errors).items()))


@contextmanager
def steady_load(
    url: str, headers: Mapping[str, str], body: bytes | None = None, *, rate: float = 20.0, timeout_s: float = 30.0
) -> Iterator[Load]:
    """Sends `rate` requests a second until the block ends, whether they are answered or not, and waits for the last.

    Args:
        url: Address with path.
        headers: Such as Host.
        body: Of a POST; None sends GET.
        rate: Requests a second.
        timeout_s: When an answer counts as none.
    """
    load, started, ended = Load([]), time.monotonic(), threading.Event()

    def send() -> None:
        sent = time.monotonic() - started
        load.answers.append(ask(url, headers, body, sent_s=sent, timeout_s=timeout_s))

    def keep_sending() -> None:
        number = 0
        while not ended.wait(max(0.0, started + number / rate - time.monotonic())):
            pool.submit(send)
            number += 1

    with ThreadPoolExecutor(32) as pool:
        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            yield load
        finally:
            ended.set()
            sender.join()


def ask(
    url: str, headers: Mapping[str, str], body: bytes | None = None, *, sent_s: float = 0.0, timeout_s: float = 30.0
) -> Answer:
    """One request."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET" if body is None else "POST", parts.path or "/", body, dict(headers))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(sent_s, response.status, response.read().decode(errors="replace"), found)
    except (OSError, http.client.HTTPException) as error:
        return Answer(sent_s, 0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
