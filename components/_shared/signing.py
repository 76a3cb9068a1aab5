"""Signatures under verdicts: DSSE with Ed25519 keys, when keys are configured.

`HEADWAY_SIGNING_KEY` is the private key that signs, `HEADWAY_VERIFY_KEYS` the public keys that are accepted: paths of
PEM files (separated by `:`), or PEM text itself, as a Secret gives it to a step. With verification keys set, a verdict
counts only when one of them signed it; without, signatures are not looked at.

Format: the envelope and the pre-authentication encoding of DSSE v1,
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headway.components._shared.errors import HeadwayError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNING_KEY_VARIABLE = "HEADWAY_SIGNING_KEY"
VERIFY_KEYS_VARIABLE = "HEADWAY_VERIFY_KEYS"

_PEM = "-----BEGIN "


def sign(payload_type: str, payload: bytes) -> list[dict[str, str]]:
    """The `signatures` of an envelope: one when a signing key is configured, else none.

    Raises:
        HeadwayError: `signing.key_unreadable`.
    """
    path = os.environ.get(SIGNING_KEY_VARIABLE)
    if not path:
        return []
    key = _private_key(path)
    signature = key.sign(encode(payload_type, payload))
    return [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}]


def verify(payload_type: str, payload: bytes, signatures: Sequence[Mapping[str, str]]) -> None:
    """Checks that a configured key signed; does nothing when none is configured.

    Raises:
        HeadwayError: `verdict.unsigned`, `verdict.signature_invalid`, `signing.key_unreadable`.
    """
    accepted = _keys(os.environ.get(VERIFY_KEYS_VARIABLE, ""))
    if not accepted:
        return
    if not signatures:
        raise HeadwayError(
            "verdict.unsigned",
            "The verdict is not signed, and only signed ones are accepted here.",
            remedy=f"Set {SIGNING_KEY_VARIABLE} where evaluate_model runs, and evaluate again.",
        )
    keys = [_public_key(given) for given in accepted]
    if not any(_holds(key, payload_type, payload, signature) for key in keys for signature in signatures):
        raise HeadwayError(
            "verdict.signature_invalid",
            "None of the accepted keys signed this verdict, or it was changed after it was signed.",
            value=[signature.get("keyid") for signature in signatures],
            remedy=f"Evaluate again with a signing key whose public half is in {VERIFY_KEYS_VARIABLE}: "
            f"{', '.join(key_id(key)[:12] for key in keys)}.",
        )


def encode(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """sha256 of the public key in DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _keys(given: str) -> list[str]:
    """Paths, or the blocks of a PEM text."""
    if _PEM in given:
        return [f"{_PEM}{block}" for block in given.split(_PEM)[1:]]
    return [path for path in given.split(os.pathsep) if path]


def _holds(key: Ed25519PublicKey, payload_type: str, payload: bytes, signature: Mapping[str, str]) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature["sig"], validate=True), encode(payload_type, payload))
    except (InvalidSignature, KeyError, binascii.Error):
        return False
    return True


def _private_key(path: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _loaded(path, lambda data: load_pem_private_key(data, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(path)
    return key


def _public_key(path: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _loaded(path, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise _unreadable(path)
    return key


def _loaded(given: str, load: Callable[[bytes], object]) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(given.encode() if given.startswith(_PEM) else Path(given).read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable(given) from None


def _unreadable(given: str) -> HeadwayError:
    return HeadwayError(
        "signing.key_unreadable",
        "This is not PEM with an unencrypted Ed25519 key of the right half.",
        value=None if given.startswith(_PEM) else given,
        remedy="Make a pair with `openssl genpkey -algorithm ed25519 -out KEY` and `openssl pkey -in KEY -pubout`.",
    )
