"""What `alerts` may say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headway.components._shared.config import Config


class Webhook(Config):
    """An address that gets a JSON message by POST: Slack, Mattermost, Teams by a workflow, or a service of your own.

    Attributes:
        url_env: Name of the environment variable that holds the address, since the address often holds a token. In a
            cluster a Secret fills the variable.
        timeout_s: Seconds to wait for one answer.
        attempts: How often to try before giving up; between two tries it waits 1, 2, 4, ... seconds.
    """

    url_env: str = Field(default="HEADWAY_ALERT_WEBHOOK", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    timeout_s: float = Field(default=10, gt=0, le=60)
    attempts: int = Field(default=4, ge=1, le=8)


class Alerts(Config):
    """Who is told what about a run. The log is told always.

    Attributes:
        events: Which endings are told: `failure`, `refusal` (the run went well and the model was refused), `success`.
        webhook: Where they are sent; None sends nothing.
    """

    events: tuple[Literal["failure", "refusal", "success"], ...] = ("failure", "refusal")
    webhook: Webhook | None = None
