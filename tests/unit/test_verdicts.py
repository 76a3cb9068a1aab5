"""Verdicts: the envelope, and signatures under it."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from headway.components._shared import signing
from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.errors import HeadwayError
from headway.components._shared.verdicts import PAYLOAD_TYPE, read_verdict, require_verdict
from headway.components.registration.register import is_blessed
from tests.registry_samples import make_model, make_verdict


class Pair:
    """A key pair in two PEM files."""

    def __init__(self, folder: Path, name: str) -> None:
        key = Ed25519PrivateKey.generate()
        self.private, self.public = folder / f"{name}.pem", folder / f"{name}.pub"
        self.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.SIGNING_KEY_VARIABLE, raising=False)
    monkeypatch.delenv(signing.VERIFY_KEYS_VARIABLE, raising=False)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """The key that signs here; nothing is verified yet."""
    pair = Pair(tmp_path, "ours")
    monkeypatch.setenv(signing.SIGNING_KEY_VARIABLE, str(pair.private))
    return pair


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def envelope(path: Path) -> dict:
    return json.loads(path.read_text())


def test_without_keys_a_verdict_is_not_signed_and_is_read(model: Path, tmp_path: Path) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    assert envelope(path)["signatures"] == []
    assert require_verdict(path, model).blessed


def test_a_signed_verdict_passes_where_its_key_is_accepted(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Pair(tmp_path, "other")
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, f"{other.public}:{ours.public}")
    path = make_verdict(tmp_path / "verdict.json", model)
    assert len(envelope(path)["signatures"]) == 1
    assert require_verdict(path, model).blessed
    assert is_blessed(LocalArtifact(str(path)))


def test_keys_may_be_given_as_the_text_that_a_secret_holds(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Pair(tmp_path, "other")
    monkeypatch.setenv(signing.SIGNING_KEY_VARIABLE, ours.private.read_text())
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, other.public.read_text() + ours.public.read_text())
    path = make_verdict(tmp_path / "verdict.json", model)
    assert require_verdict(path, model).blessed
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, other.public.read_text())
    with pytest.raises(HeadwayError, match=r"verdict\.signature_invalid"):
        require_verdict(path, model)


def test_a_key_given_as_text_is_never_told(ours: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = ours.private.read_text().replace("PRIVATE", "BROKEN")
    monkeypatch.setenv(signing.SIGNING_KEY_VARIABLE, secret)
    with pytest.raises(HeadwayError) as caught:
        signing.sign("kind", b"payload")
    assert secret[40:60] not in str(caught.value)


def test_a_signed_verdict_is_read_where_no_key_is_required(model: Path, tmp_path: Path, ours: Pair) -> None:
    assert read_verdict(make_verdict(tmp_path / "verdict.json", model)).blessed


def test_an_unsigned_verdict_is_refused_where_keys_are_required(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(Pair(tmp_path, "ours").public))
    with pytest.raises(HeadwayError, match=r"verdict.unsigned.*not signed.*HEADWAY_SIGNING_KEY"):
        require_verdict(path, model)


def test_a_verdict_signed_by_a_stranger_is_refused(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(Pair(tmp_path, "other").public))
    with pytest.raises(HeadwayError, match=r"verdict.signature_invalid.*None of the accepted keys signed"):
        require_verdict(path, model)


def test_a_negative_verdict_made_positive_after_signing_is_refused(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(ours.public))
    path = make_verdict(tmp_path / "verdict.json", model, blessed=False)
    changed = envelope(path)
    payload = base64.b64decode(changed["payload"]).replace(b'"blessed": false', b'"blessed": true')
    changed["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(changed))
    assert b'"blessed": true' in payload
    with pytest.raises(HeadwayError, match=r"verdict.signature_invalid.*changed after it was signed"):
        require_verdict(path, model)


def test_a_signature_does_not_hold_for_another_payload_type(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(ours.public))
    path = make_verdict(tmp_path / "verdict.json", model)
    path.write_text(json.dumps({**envelope(path), "payloadType": "application/json"}))
    with pytest.raises(HeadwayError, match=r"verdict.signature_invalid"):
        require_verdict(path, model)


@pytest.mark.parametrize("signatures", [[{}], [{"sig": "###"}], [{"sig": ""}], [{"sig": "YWJj"}], {"sig": "x"}, 7])
def test_a_signature_that_is_none_is_refused(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch, signatures: object
) -> None:
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(ours.public))
    path = make_verdict(tmp_path / "verdict.json", model)
    path.write_text(json.dumps({**envelope(path), "signatures": signatures}))
    with pytest.raises(HeadwayError, match=r"verdict\.(signature_invalid|unreadable)"):
        require_verdict(path, model)


def test_what_is_signed_is_the_encoding_of_the_dsse_protocol() -> None:
    assert signing.encode("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_anybody_with_the_public_key_can_check_a_verdict(model: Path, tmp_path: Path, ours: Pair) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    signed = envelope(make_verdict(tmp_path / "verdict.json", model))
    payload = base64.b64decode(signed["payload"])
    message = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    load_pem_public_key(ours.public.read_bytes()).verify(base64.b64decode(signed["signatures"][0]["sig"]), message)


@pytest.mark.parametrize("content", [None, b"", b"no key", "rsa", "public"])
def test_a_signing_key_that_is_none_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str | None
) -> None:
    path = tmp_path / "key.pem"
    if content == "rsa":
        key = generate_private_key(public_exponent=65537, key_size=2048)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    elif content == "public":
        path.write_bytes(Pair(tmp_path, "x").public.read_bytes())
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv(signing.SIGNING_KEY_VARIABLE, str(path))
    with pytest.raises(HeadwayError, match=r"signing.key_unreadable.*openssl genpkey -algorithm ed25519"):
        make_verdict(tmp_path / "verdict.json", model)


def test_a_verification_key_that_is_none_is_named(
    model: Path, tmp_path: Path, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    monkeypatch.setenv(signing.VERIFY_KEYS_VARIABLE, str(tmp_path / "nowhere.pub"))
    with pytest.raises(HeadwayError, match=r"signing.key_unreadable"):
        require_verdict(path, model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"7",
        b"\xff\xfe",
        b'{"payloadType": "x", "payload": "e30=", "signatures": []}',
        b'{"payloadType": "x", "payload": "###", "signatures": []}',
        b'{"payloadType": "x", "payload": 3, "signatures": []}',
    ],
)
def test_a_file_that_is_no_verdict_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "verdict.json"
    path.write_bytes(content)
    with pytest.raises(HeadwayError, match=r"verdict.unreadable.*not a DSSE envelope"):
        read_verdict(path)


def test_a_verdict_whose_subject_is_another_model_is_named(model: Path, tmp_path: Path) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    changed = envelope(path)
    statement = json.loads(base64.b64decode(changed["payload"]))
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    changed["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(changed))
    with pytest.raises(HeadwayError, match=r"verdict.unreadable.*subject and content name different models"):
        read_verdict(path)


def test_a_verdict_of_another_kind_of_statement_is_named(model: Path, tmp_path: Path) -> None:
    path = make_verdict(tmp_path / "verdict.json", model)
    changed = envelope(path)
    statement = {**json.loads(base64.b64decode(changed["payload"])), "predicateType": "https://slsa.dev/provenance/v1"}
    changed["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(changed))
    with pytest.raises(HeadwayError, match=r"verdict.unreadable"):
        read_verdict(path)


def test_a_verdict_that_is_a_folder_or_absent_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(HeadwayError, match=r"verdict.missing.*evaluate_model"):
            read_verdict(path)
