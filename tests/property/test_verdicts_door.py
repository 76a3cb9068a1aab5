"""No sequence of trainings, verdicts, forgeries and registrations ever registers a model that no verdict blessed."""

import base64
import json
import os
import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from headway.components._shared import signing, tracking
from headway.components._shared.artifacts import LocalArtifact, manifest_digest, read_manifest, write_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.mlflow_client import Client, tracking_address
from headway.components._shared.releases import MARKER, check_release, release_verdict
from headway.components._shared.state import State
from headway.components.registration.register import register
from tests.registry_samples import make_model, make_verdict, new_state, outputs

_EXPECTED = {
    "model.changed",
    "model.not_a_model",
    "verdict.other_model",
    "verdict.unreadable",
    "verdict.unsigned",
    "verdict.signature_invalid",
}


class Door(RuleBasedStateMachine):
    """A team whose evaluation signs its verdicts, and somebody who tries everything without that key."""

    models, verdicts = Bundle("models"), Bundle("verdicts")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headway-door-"))
        self.state = State(new_state(self.folder / "state"))
        self.blessed: set[tuple[str, str]] = set()
        self.count = 0
        self.ours, self.strangers = (self._key(name) for name in ("ours", "stranger"))
        os.environ[signing.VERIFY_KEYS_VARIABLE] = str(self.folder / "ours.pub")
        os.environ.pop(signing.SIGNING_KEY_VARIABLE, None)

    def teardown(self) -> None:
        os.environ.pop(signing.VERIFY_KEYS_VARIABLE, None)
        os.environ.pop(signing.SIGNING_KEY_VARIABLE, None)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _key(self, name: str) -> Path:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / f"{name}.pub").write_bytes(public)
        path = self.folder / f"{name}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    def _path(self, kind: str) -> Path:
        self.count += 1
        return self.folder / f"{kind}-{self.count}"

    @rule(target=models, name=st.sampled_from("abc"), salt=st.sampled_from("xy"))
    def train(self, name: str, salt: str) -> Path:
        return make_model(self._path("model"), name=name, salt=salt)

    @rule(verdict=verdicts, what=st.sampled_from(["payload", "manifest", "both"]))
    def tamper_with_a_judged_model(self, verdict: tuple[Path, Path], what: str) -> None:
        model = verdict[1]
        if what in ("payload", "both"):
            (model / "data" / "model.skops").write_bytes(os.urandom(8))
        if what in ("manifest", "both"):
            write_manifest(model, read_manifest(model).model_copy(update={"metrics": {"x": float(self.count)}}))

    @rule(target=verdicts, model=models, blessed=st.booleans())
    def evaluate(self, model: Path, blessed: bool) -> tuple[Path, Path]:
        """The real evaluation: it alone has the key."""
        os.environ[signing.SIGNING_KEY_VARIABLE] = str(self.ours)
        path = make_verdict(self._path("verdict"), model, blessed=blessed)
        del os.environ[signing.SIGNING_KEY_VARIABLE]
        if blessed:
            self.blessed.add((read_manifest(model).model_digest, manifest_digest(model)))
        return path, model

    @rule(target=verdicts, model=models, signed=st.booleans())
    def forge_a_verdict(self, model: Path, signed: bool) -> tuple[Path, Path]:
        if signed:
            os.environ[signing.SIGNING_KEY_VARIABLE] = str(self.strangers)
        path = make_verdict(self._path("forged"), model)
        os.environ.pop(signing.SIGNING_KEY_VARIABLE, None)
        return path, model

    @rule(target=verdicts, verdict=verdicts, model=models)
    def turn_a_verdict(self, verdict: tuple[Path, Path], model: Path) -> tuple[Path, Path]:
        """Keeps signatures and puts other content under them."""
        envelope = json.loads(verdict[0].read_text())
        statement = json.loads(base64.b64decode(envelope["payload"]))
        digest = read_manifest(model).model_digest
        statement["subject"][0]["digest"]["sha256"] = digest
        changes = {"blessed": True, "model_digest": digest, "manifest_sha256": manifest_digest(model)}
        statement["predicate"].update(changes)
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        path = self._path("turned")
        path.write_text(json.dumps(envelope))
        return path, model

    @rule(verdict=verdicts, environment=st.sampled_from(["dev", "prod"]), promote=st.booleans())
    def register_its_model(self, verdict: tuple[Path, Path], environment: str, promote: bool) -> None:
        self._register(verdict[1], verdict[0], environment, promote)

    @rule(verdict=verdicts, model=models)
    def register_some_model(self, verdict: tuple[Path, Path], model: Path) -> None:
        self._register(model, verdict[0], "dev", promote=False)

    def _register(self, model: Path, verdict: Path, environment: str, promote: bool) -> None:
        out = outputs(self._path("out"))
        try:
            result = register(
                LocalArtifact(str(model)),
                LocalArtifact(str(verdict)),
                out.registration,
                out.card,
                model_name="flights",
                environment=environment,
                state_uri=self.state.uri,
            )
        except HeadwayError as error:
            if error.code not in _EXPECTED:
                raise
            return
        manifests = {manifest for digest, manifest in self.blessed if digest == result.model_digest}
        assert (result.outcome == "refused") == (result.version is None)
        if result.version is not None:
            assert result.manifest_sha256 in manifests
            if promote:
                tracking.promote(result, self.state)

    @invariant()
    def only_blessed_models_are_released_and_registered(self) -> None:
        if not hasattr(self, "state"):
            return
        for stat in self.state.storage.list("releases"):
            digest = stat.key.split("/")[2]
            assert digest in {blessed for blessed, _ in self.blessed}
            if stat.key.endswith(f"/{MARKER}"):
                uri = str(self.folder / "state" / stat.key.removesuffix(f"/{MARKER}"))
                assert (digest, manifest_digest(check_release(uri))) in self.blessed
                assert release_verdict(uri).blessed
        found = Client(tracking_address("auto", self.state.uri)).search_model_versions()
        pairs = [(version.name, version.tags["model_digest"]) for version in found]
        assert len(pairs) == len(set(pairs))
        for version in found:
            assert (version.tags["model_digest"], version.tags["manifest_sha256"]) in self.blessed


TestDoor = Door.TestCase
TestDoor.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
)
