"""`headway demo`: a ready-made example, from raw data to an endpoint that answers, and on to how it fares."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from headway.pipelines.cli.options import home_option

DEMOS = Path(__file__).resolve().parents[1] / "demos"


@click.command("demo")
@click.argument("name", default="flights")
@home_option
def demo_command(name: str, home: Path) -> None:
    """Run the example NAME (flights or churn): a parameter file like yours would be.

    flights has a second part: the model is asked for what came after, and its monitoring judges three windows of that.
    """
    from headway.components._shared.config import overlaid
    from headway.components._shared.errors import HeadwayError
    from headway.components._shared.state import require_writable
    from headway.pipelines.catalogue import load_pipeline
    from headway.pipelines.cli.parameters import read_parameters
    from headway.pipelines.cli.run import run_and_tell

    path = DEMOS / name / "delivery.yaml"
    if not path.is_file():
        names = sorted(p.parent.name for p in DEMOS.glob("*/delivery.yaml"))
        raise HeadwayError(
            "demo.unknown", "There is no such demo.", value=name, remedy=f"Use one of {', '.join(names)}."
        )
    require_writable(str(home))
    asked = read_parameters(path, home / "data")
    run_and_tell(asked.pipeline or "delivery", asked.parameters, home)
    later = DEMOS / name / "monitoring.yaml"
    if later.is_file():
        watched = read_parameters(later, home / "data").parameters
        labels = _ask_for_what_came_after(asked.parameters, watched, home)
        again = watched["monitoring"]["retraining"]
        known = load_pipeline(again["pipeline"]).component_spec.inputs
        parameters = overlaid(asked.parameters, again["parameters"])
        again = {**again, "parameters": {name: value for name, value in parameters.items() if name in known}}
        click.echo("")
        settings = {**watched["monitoring"], "labels": labels, "retraining": again}
        run_and_tell("monitoring", {**watched, "monitoring": settings}, home)


def _ask_for_what_came_after(
    delivery: Mapping[str, Any], watched: Mapping[str, Any], home: Path
) -> dict[str, list[str]]:
    """Has the champion answer the rows of the windows, as if it had been asked then; gives where their labels are."""
    from headway import components
    from headway.components._shared.artifacts import LocalArtifact

    logging.getLogger("headway").addHandler(logging.NullHandler())
    state, name = str(home.absolute() / "state"), delivery["model_name"]
    folder = home / "data" / "replayed"
    span = {"start": watched["monitoring"]["windows"]["since"], "end": watched["as_of"]}
    data, champion = LocalArtifact(str(folder / "data")), LocalArtifact(str(folder / "champion"))
    components.ingest_data.python_func(data=data, source={**delivery["source"], **span}, state_uri=state)
    verdict = LocalArtifact(str(folder / "verdict.json"))
    components.resolve_champion.python_func(champion=champion, verdict=verdict, model_name=name, state_uri=state)
    log = Path(state) / "logs" / name
    if not log.exists():
        release = f"{state}/releases/{name}/{champion.metadata['model_digest']}"
        command = [sys.executable, "-m", "headway.components.serving.replay", "--release", release]
        aside = log.with_name(f".{name}")
        shutil.rmtree(aside, ignore_errors=True)
        command += ["--data", data.path, "--time-column", delivery["source"]["time_column"], "--log-uri", str(aside)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        aside.rename(log)
    return {"uris": [f"{data.path}/*.parquet"]}
