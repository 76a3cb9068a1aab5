"""One deployment as it goes: candidate, checks, shift; what was done is noted as it is done."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

from headway.components._shared.errors import HeadwayError
from headway.components.deployment.caller import Caller
from headway.components.deployment.checks import Golden, failure, golden_rows, run_checks
from headway.components.deployment.config import Serving
from headway.components.deployment.engines import Deployed, Engine, Release
from headway.components.deployment.record import Check, Phase


class Rollout:
    """Brings one release to traffic.

    Args:
        engine: Where.
        release: What.
        golden: Rows with known predictions.
        serving: Limits.

    Attributes:
        live: What has the traffic; None until it is known.
        deployed: Whether the traffic was moved.
        reason: What came of it, in one sentence.
        checks: What was checked.
        phases: What was done.
    """

    def __init__(self, engine: Engine, release: Release, golden: Golden, serving: Serving) -> None:
        self.engine = engine
        self.release = release
        self.golden = golden
        self.serving = serving
        self.live: Deployed | None = None
        self.deployed = False
        self.reason = ""
        self.checks: list[Check] = []
        self.phases: list[Phase] = []
        self._begun = time.monotonic()

    def run(self) -> None:
        """Deploys, or finds that there is nothing to do.

        Raises:
            HeadwayError: Why the candidate got no traffic.
        """
        digest = self.release.model_digest
        with self._phase("look at the stable version") as note:
            stable = self.engine.stable(self.release)
            how = "was started again" if stable and stable.revived else "serves"
            note.append(f"{stable.model_digest[:12]} {how} at {stable.address.url}" if stable else "nothing serves")
        if stable and stable.model_digest == digest and stable.as_asked and self._still_right(stable):
            self.live = stable
            self.reason = (
                "this model had the traffic, but its server had ended; it was started again and answers as it did"
                if stable.revived
                else "this model has the traffic already"
            )
            return
        with self._phase("start the candidate") as note:
            candidate = self.engine.start(self.release)
            note.append(f"{digest[:12]} is ready, without traffic")
        try:
            for check in run_checks(candidate.address.url, self.release.model_name, self.golden, self.serving):
                self._note_check(check)
                if not check.passed:
                    raise failure(check, self.engine.log_end(candidate))
            with self._phase("shift the traffic") as note:
                self.live = self.engine.shift(candidate)
                note.append(f"{self.live.address.url} answers with {digest[:12]}")
        except HeadwayError:
            self.engine.discard(candidate)
            raise
        self.deployed = True
        before = f" from {stable.model_digest[:12]}" if stable and stable.model_digest != digest else ""
        again = "; the endpoint had not been answering" if self.live.revived else ""
        self.reason = f"the candidate passed every check and took the traffic{before}{again}"

    def example_request(self) -> str | None:
        """A shell command that asks the endpoint about the first golden row."""
        if self.live is None:
            return None
        url = f"{self.live.address.url}/v2/models/{self.release.model_name}/infer"
        body = json.dumps(json.loads(self.golden.part(0, 1).request()), separators=(",", ":"))
        return f"curl -s {url} -H 'content-type: application/json' -d {shlex.quote(body)}"

    def _still_right(self, stable: Deployed) -> bool:
        """Whether what has the traffic answers the golden rows as the evaluation says."""
        with self._phase("ask it for the golden rows") as note:
            check = golden_rows(Caller(stable.address.url, self.release.model_name), self.golden, self.serving)
            note.append(check.value)
        if check.passed:
            self.checks.append(check)
        return check.passed

    def _note_check(self, check: Check) -> None:
        started = self.phases[-1].end_s
        self.checks.append(check)
        ended = time.monotonic() - self._begun
        self.phases.append(
            Phase(phase=f"check: {check.check}", start_s=started, end_s=ended, passed=check.passed, detail=check.value)
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[list[str]]:
        started, note, passed = time.monotonic() - self._begun, [""], True
        try:
            yield note
        except HeadwayError as error:
            passed = False
            note.append(error.message.partition("\n")[0])
            raise
        finally:
            ended = time.monotonic() - self._begun
            self.phases.append(Phase(phase=name, start_s=started, end_s=ended, passed=passed, detail=note[-1]))
