"""The structured parameter of a registration: what the model is for."""

from __future__ import annotations

from headway.components._shared.config import Config


class IntendedUse(Config):
    """What only people can say about a model; stands on its card.

    Attributes:
        purpose: The decision or product that the model serves.
        owner: Who answers for it: a team or an address of a team.
        users: Who uses its predictions.
        limits: Where it must not be used, and what it cannot do.
        ethical_notes: Whom a wrong prediction harms, and what is done about it.
    """

    purpose: str = ""
    owner: str = ""
    users: str = ""
    limits: tuple[str, ...] = ()
    ethical_notes: tuple[str, ...] = ()
