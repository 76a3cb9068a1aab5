"""`headway demo`: a ready-made example, from raw data to an endpoint that answers."""

from __future__ import annotations

from pathlib import Path

import click

from headway.pipelines.cli.options import home_option

DEMOS = Path(__file__).resolve().parents[1] / "demos"


@click.command("demo")
@click.argument("name", default="flights")
@home_option
def demo_command(name: str, home: Path) -> None:
    """Run the example NAME (flights or churn): a parameter file like yours would be."""
    from headway.components._shared.errors import HeadwayError
    from headway.components._shared.state import require_writable
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
