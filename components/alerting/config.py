"""What `alerts` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints

from headway.components._shared.config import Config
from headway.components._shared.decisions import Outcome

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class Webhook(Config):
    """An address that gets a JSON message by POST: Slack, Mattermost, Teams by a workflow, or a service of your own.

    Attributes:
        url_env: Name of the environment variable that holds the address, since the address often holds a token. In a
            cluster a Secret fills the variable.
        timeout_s: Seconds to wait for one answer.
        attempts: How often to try before giving up; between two tries it waits 1, 2, 4, ... seconds.
    """

    url_env: Variable = "HEADWAY_ALERT_WEBHOOK"
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


class Channel(Config):
    """A way to reach people.

    Attributes:
        url_env: Name of the environment variable that holds its address as Apprise writes it, such as
            `slack://TOKEN/#models`, `mailtos://USER:PASSWORD@HOST?to=team@example.com`, `pagerduty://KEY@TOKEN`,
            `workflows://...` for Teams, or `jsons://HOST/PATH`. In a cluster a Secret fills the variable.
        from_outcome: The least that it is told of; an incident that worsens reaches the channels that ask for more.
        recovery: Whether it is told that an incident is over that it was told of.
        attempts: How often to try before giving up; between two tries it waits 1, 2, 4, ... seconds.
    """

    url_env: Variable
    from_outcome: Outcome = "alert"
    recovery: bool = True
    attempts: int = Field(default=3, ge=1, le=8)


class Channels(RootModel[dict[Name, Channel]]):
    """Who is told of incidents: name to channel."""
