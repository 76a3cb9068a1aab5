"""compare_versions: an A/B readout of a real log, whose intervals may be looked at every hour."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from headway.components._shared.artifacts import LocalArtifact, read_manifest
from headway.components._shared.datasets import write_dataset
from headway.components._shared.endpoints.served import Served
from headway.components._shared.errors import HeadwayError
from headway.components.monitoring.config import Outcome, Versions
from headway.components.monitoring.versions.compare import compare_versions, compared
from headway.components.monitoring.versions.result import VersionsResult
from headway.components.serving.log import LogWriter
from tests.deployment_samples import flights, train_sample

DAY = datetime(2026, 3, 2, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return train_sample(tmp_path_factory.mktemp("model"))


class Endpoint:
    """An endpoint with two versions, of which the second came later."""

    def __init__(self, folder, model):
        self.folder, self.model, self.manifest = folder, model, read_manifest(model)
        self.truth = {}

    def ask(self, digest, *, hours, each, right, late=0.5, seed=0, latency_ms=10.0, status=200, features=None):
        """Rows an hour that are predicted right with a probability, and are late with another one."""
        about = self.manifest.model_copy(update={"model_digest": digest, **(features or {})})
        names = [feature.name for feature in about.features]
        rng = np.random.default_rng(seed)
        writer = LogWriter(str(self.folder / "state/logs/flights"), about, flush_s=3600, max_rows=1_000_000)
        for hour in hours:
            ids = [f"{digest[:2]}-{hour}-{i}" for i in range(each)]
            truth = np.where(rng.random(each) < late, "late", "on time")
            other = np.where(truth == "late", "on time", "late")
            answers = np.where(rng.random(each) < right, truth, other).tolist()
            self.truth |= dict(zip(ids, truth.tolist(), strict=True))
            frame = flights(each, seed=seed).cast({"distance": pl.Float64}).select(names)
            known = {
                "time": DAY + timedelta(hours=hour),
                "request_id": f"{digest[:2]}-{hour}",
                "seconds": latency_ms / 1000,
            }
            if status < 400:
                known |= {"frame": frame.with_columns(pl.Series("id", ids)), "values": answers}
                known["probabilities"] = np.full((each, 2), 0.5)
            writer.put(Served(status=status, **known))
        writer.close()

    def compare(self, *, labelled=True, hours=24, **comparison):
        places = [LocalArtifact(str(self.folder / name)) for name in ("findings.json", "metrics", "report.html")]
        if labelled:
            rows = pl.DataFrame({"id": list(self.truth), "late": list(self.truth.values())})
            write_dataset({"labels": rows}, self.folder / "labels")
        end = (DAY + timedelta(hours=hours)).isoformat()
        compare_versions(
            LocalArtifact(str(self.model)),
            *places,
            model_name="flights",
            start="2026-03-02",
            end=end,
            comparison=comparison,
            labels=LocalArtifact(str(self.folder / "labels")) if labelled else None,
            state_uri=str(self.folder / "state"),
        )
        return VersionsResult.model_validate(json.loads((self.folder / "findings.json").read_text()))


@pytest.fixture
def endpoint(tmp_path, model):
    (tmp_path / "state").mkdir()
    return Endpoint(tmp_path, model)


def test_the_better_version_is_found_with_an_interval_that_holds_the_truth(endpoint):
    endpoint.ask(A, hours=range(24), each=200, right=0.7, seed=1)
    endpoint.ask(B, hours=range(2, 24), each=200, right=0.8, seed=2)
    found = endpoint.compare()
    correct, errors = found.metrics
    assert (found.first, found.second) == (A, B), "the one that came first is compared with"
    assert correct.proven == "second"
    assert correct.difference.low < 0.1 < correct.difference.high
    assert correct.rows == (4800, 4400)
    assert (errors.proven, errors.rows) == (None, (24, 22))
    assert errors.difference.low <= 0 <= errors.difference.high
    widths = [high - low for _, _, low, high in correct.looks]
    assert widths[0] > widths[-1], "it shrinks"
    page = (endpoint.folder / "report.html").read_text()
    for words in ("A difference is proven", "How the intervals shrank", "the second version"):
        assert words in page


def test_versions_that_are_alike_stay_so_and_what_it_takes_to_see_a_difference_is_told(endpoint):
    endpoint.ask(A, hours=range(12), each=100, right=0.7, seed=3)
    endpoint.ask(B, hours=range(12), each=100, right=0.7, seed=4)
    (correct,) = endpoint.compare(metrics=[{"kind": "correct"}], min_effect=0.1).metrics
    assert correct.proven is None
    assert 300 < correct.needed < 3000
    (harder,) = endpoint.compare(metrics=[{"kind": "correct"}], min_effect=0.05).metrics
    assert harder.needed > 3 * correct.needed


def test_less_may_be_better_and_labels_may_be_what_counts(endpoint):
    endpoint.ask(A, hours=range(20), each=200, right=0.7, late=0.3, seed=5)
    endpoint.ask(B, hours=range(20), each=200, right=0.7, late=0.5, seed=6)
    metrics = [{"kind": "label", "label": "late", "direction": d} for d in ("maximize", "minimize")]
    more, less = endpoint.compare(metrics=metrics).metrics
    assert (more.proven, less.proven) == ("second", "first")


def test_slow_answers_and_other_features_of_the_other_version_are_no_obstacle(endpoint):
    endpoint.ask(A, hours=range(20), each=50, right=0.7, latency_ms=10, seed=7)
    fewer = {"features": endpoint.manifest.features[:2]}
    endpoint.ask(B, hours=range(20), each=50, right=0.7, latency_ms=500, seed=8, features=fewer)
    (slow,) = endpoint.compare(labelled=False, metrics=[{"kind": "slow", "above_ms": 100}]).metrics
    assert (slow.first, slow.second, slow.rows) == (0.0, 1.0, (20, 20)), "requests count, not their rows"
    assert slow.proven == "first"


def test_what_cannot_be_compared_is_refused(endpoint):
    with pytest.raises(HeadwayError, match=r"versions\.no_rows"):
        endpoint.compare(labelled=False, metrics=[{"kind": "errors"}])
    endpoint.ask(A, hours=range(3), each=20, right=0.7)
    with pytest.raises(HeadwayError, match=r"versions\.only_one"):
        endpoint.compare(labelled=False, metrics=[{"kind": "errors"}])
    endpoint.ask(B, hours=range(3), each=20, right=0.7)
    with pytest.raises(HeadwayError, match=r"versions\.no_labels"):
        endpoint.compare(labelled=False)
    with pytest.raises(HeadwayError, match=r"versions\.unknown"):
        endpoint.compare(labelled=False, metrics=[{"kind": "errors"}], versions=["aaaa", "cccc"])


def test_looking_after_every_hour_finds_no_difference_where_there_is_none():
    """Of 30 pairs that are alike, looked at after each of 24 hours, no more are accused than 5 % may be."""
    settings, accused = Versions(min_effect=None), 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        frame = pl.DataFrame(
            {
                "_model": [A, B] * 24 * 20,
                "_time": pl.Series([DAY + timedelta(hours=h) for h in range(24) for _ in range(40)]),
                "_value": (rng.random(24 * 40) < 0.3).astype(float),
            }
        )
        found = compared(Outcome(kind="correct"), frame, A, B, settings)
        accused += any(low > 0 or high < 0 for _, _, low, high in found.looks)
    assert accused <= 2, accused
