"""The training pipeline's wall time through kfp.local against the same functions called in one plain process."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from table import measure_command, say

from headway.pipelines.cli.parameters import read_parameters

REPEATS = 5
ROOT = Path(__file__).resolve().parents[2]

PLAIN = """
import json, os, sys, tempfile
from types import SimpleNamespace
from headway.components.alerting.notify import notify
from headway.components._shared.artifacts import LocalArtifact
from headway.components.evaluation.evaluate import evaluate
from headway.components.ingestion.ingest import ingest
from headway.components.registration.champion import resolve
from headway.components.registration.register import register
from headway.components.splitting.split import split_data
from headway.components.training.train import train
from headway.components.tuning.tune import tune
from headway.components.validation.validate import validate_data

home, given = tempfile.mkdtemp(dir=sys.argv[1]), json.load(open(sys.argv[2]))
os.environ["HEADWAY_RUN_ID"] = "plain"
state = {"state_uri": f"{home}/state"}
at = lambda name: LocalArtifact(f"{home}/{name}")
model = {"model_name": given["model_name"]}
ingest(at("data"), source=given["source"], **state)
resolve(at("champion"), environment="dev", tracking_uri="auto", **model, **state)
validate_data(at("data"), at("schema"), at("profile"), at("findings"), at("metrics"), at("validation.html"),
         contract=given["contract"], checks={}, **model, **state)
split_data(at("data"), at("train"), at("test"), at("proofs"), split=given["split"], **state)
learning = {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": given["params"], **state}
tune(at("train"), at("schema"), at("tuning"), at("metrics"), at("tuning.html"), search_space=given["search_space"],
     study=given["study"], **learning)
train(at("train"), at("schema"), at("model"), at("metrics"), class_weight={}, tuning=at("tuning"), **learning)
evaluate(at("model"), at("test"), at("verdict"), at("golden"), at("metrics"), at("evaluation.html"),
         champion=at("champion"), gates=given["gates"], evaluation=given["evaluation"], **model, **state)
register(at("model"), at("verdict"), at("registration"), at("card.html"), environment="dev", tracking_uri="auto",
         intended_use=given["intended_use"], **model, **state)
ended = SimpleNamespace(state="SUCCEEDED", pipeline_job_resource_name="plain", error_message=None)
notify(ended, given["model_name"], alerts={}, **state)
"""
PIPELINE = """
import json, sys, tempfile
from pathlib import Path
from headway.pipelines.cli.local import run_locally

run = run_locally("training", json.load(open(sys.argv[2])), Path(tempfile.mkdtemp(dir=sys.argv[1])), print)
sys.exit(0 if run.ok else run.log.read_text()[-2000:])
"""


def main() -> None:
    """Prints the table; every repeat starts from an empty folder, so nothing is adopted."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        home = Path(place)
        asked = read_parameters(ROOT / "pipelines/demos/flights/delivery.yaml", home / "data").parameters
        given = home / "parameters.json"
        study = {key: value for key, value in asked["study"].items() if key not in ("rows", "trials")}  # the defaults
        training = {key: value for key, value in asked.items() if key != "serving"} | {"study": study}
        given.write_text(json.dumps(training))
        rows = []
        for name, code in (("headway training (kfp.local)", PIPELINE), ("the same functions, one process", PLAIN)):
            rows.append((name, measure_command([sys.executable, "-c", code, place, str(given)], REPEATS)))
    packages = ["kfp", "scikit-learn", "polars", "mlflow-skinny"]
    say(
        "pipeline: what running as a pipeline costs",
        packages,
        rows,
        ("pipeline", rows[0][1].wall_s / rows[1][1].wall_s),
    )


if __name__ == "__main__":
    main()
