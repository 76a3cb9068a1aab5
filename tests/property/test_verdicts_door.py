"""No sequence of trainings, verdicts, forgeries and registrations ever registers a model that no verdict blessed."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from headway.components._shared import signing, tracking
from headway.components._shared.artifacts import LocalArtifact, manifest_digest, read_manifest, write_manifest
from headway.components._shared.errors import HeadwayError
from headway.components._shared.releases import MARKER, check_release, release_verdict
from headway.components._shared.state import State
from headway.components._shared.tracking.client import Client, tracking_address
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
_MOSTLY = st.sampled_from([True, True, False])
_TAMPER = st.sampled_from(["not", "not", "payload", "manifest"])


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

    @rule(target=verdicts, model=models, blessed=_MOSTLY)
    def evaluate(self, model: Path, blessed: bool) -> tuple[Path, Path]:
        return self._evaluate(model, blessed)

    def _evaluate(self, model: Path, blessed: bool) -> tuple[Path, Path]:
        """The real evaluation: it alone has the key."""
        os.environ[signing.SIGNING_KEY_VARIABLE] = str(self.ours)
        path = make_verdict(self._path("verdict"), model, blessed=blessed)
        del os.environ[signing.SIGNING_KEY_VARIABLE]
        if blessed:
            self.blessed.add((read_manifest(model).model_digest, manifest_digest(model)))
        return path, model

    @rule(target=verdicts, verdict=verdicts, model=models, how=st.sampled_from(["unsigned", "stranger", "turned"]))
    def forge(self, verdict: tuple[Path, Path], model: Path, how: str) -> tuple[Path, Path]:
        """A positive verdict without our key: without a signature, with another one, or with one of another verdict."""
        if how == "stranger":
            os.environ[signing.SIGNING_KEY_VARIABLE] = str(self.strangers)
        path = make_verdict(self._path("forged"), model)
        os.environ.pop(signing.SIGNING_KEY_VARIABLE, None)
        if how == "turned":
            signatures = json.loads(verdict[0].read_text())["signatures"]
            path.write_text(json.dumps({**json.loads(path.read_text()), "signatures": signatures}))
        return path, model

    @rule(verdict=verdicts, environment=st.sampled_from(["dev", "prod"]), tamper=_TAMPER)
    def register_its_model(self, verdict: tuple[Path, Path], environment: str, tamper: str) -> None:
        path, model = verdict
        self._tamper(model, tamper)
        self._register(model, path, environment, promote=True)

    @rule(model=models, blessed=_MOSTLY, tamper=_TAMPER, promote=st.booleans())
    def evaluate_and_register(self, model: Path, blessed: bool, tamper: str, promote: bool) -> None:
        path, _ = self._evaluate(model, blessed)
        self._tamper(model, tamper)
        self._register(model, path, "dev", promote=promote)

    @rule(verdict=verdicts, model=models)
    def register_some_model(self, verdict: tuple[Path, Path], model: Path) -> None:
        self._register(model, verdict[0], "dev", promote=False)

    def _tamper(self, model: Path, how: str) -> None:
        if how == "payload":
            (model / "data" / "model.skops").write_bytes(os.urandom(8))
        if how == "manifest":
            write_manifest(model, read_manifest(model).model_copy(update={"metrics": {"x": float(self.count)}}))

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
        self._only_blessed_models_are_released_and_registered()

    def _only_blessed_models_are_released_and_registered(self) -> None:
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
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
)
