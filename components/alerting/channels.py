"""Ways to reach people: whatever Apprise knows, by an address that an environment variable holds."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import Literal

from headway.components.alerting.config import Channel
from headway.components.alerting.webhook import Delivery

Kind = Literal["warning", "failure", "success"]
_SHORTEST_SECRET = 4


def send(channel: Channel, title: str, text: str, kind: Kind) -> Delivery:
    """Sends a message, a bounded number of times, and never raises about it.

    Args:
        channel: Where and how often.
        title: One line, such as the subject of a mail.
        text: Plain lines.
        kind: How it is shown, where a channel shows that.
    """
    import apprise

    address = os.environ.get(channel.url_env, "").strip()
    if not address:
        return Delivery(False, 0, f"the environment variable {channel.url_env} is not set")
    client = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Headway", app_desc="Headway", app_url=""))
    if not client.add(address):
        return Delivery(False, 0, f"{channel.url_env} does not hold an address that Apprise knows")
    problem = ""
    for attempt in range(1, channel.attempts + 1):
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
            sent = client.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
            problem = _without(address, said.getvalue())
        if sent:
            return Delivery(True, attempt)
        if attempt < channel.attempts:
            time.sleep(2.0 ** (attempt - 1))
    return Delivery(False, channel.attempts, problem or "it was not taken, and nothing says why")


def _without(address: str, said: str) -> str:
    """What was complained of, without any part of an address that may be a secret."""
    secrets = [part for part in re.split(r"[/:@?&=,]+", address) if len(part) >= _SHORTEST_SECRET]
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, "...")
    return "; ".join(line.strip().rstrip(".") for line in said.splitlines() if line.strip())[:500]
