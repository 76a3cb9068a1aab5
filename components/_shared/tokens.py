"""Bearer tokens, read anew for each request: those of a service account are renewed every hour."""

from __future__ import annotations

import os
from pathlib import Path

from headway.components._shared.errors import HeadwayError

_LONGEST = 16 * 2**10


def bearer(code: str, whose: str, *, file: str | None = None, env: str | None = None) -> dict[str, str]:
    """The header with a token; no header where neither place is named.

    Args:
        code: Of the error.
        whose: Who wants it, in a few words.
        file: Where it is.
        env: Environment variable that holds it.

    Raises:
        HeadwayError: The code, where there is no token.
    """
    if not file and not env:
        return {}
    where = f"file {file}" if file else f"environment variable {env}"
    try:
        token = Path(file).read_text().strip() if file else os.environ[env or ""].strip()
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise _bad(code, whose, where, getattr(error, "strerror", None) or "it is not there") from None
    if not token or len(token) > _LONGEST or not (token.isascii() and token.isprintable()) or " " in token:
        raise _bad(code, whose, where, "it holds no token")
    return {"Authorization": f"Bearer {token}"}


def _bad(code: str, whose: str, where: str, why: str) -> HeadwayError:
    return HeadwayError(
        code,
        f"The token for {whose} cannot be read from the {where}: {why}.",
        remedy="Mount a Secret or a service account token there, or leave the token out where none is needed.",
    )
