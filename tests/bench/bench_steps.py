"""Seconds that a step costs beyond a plain call: ours, KFP's default lightweight component, the bare executor."""

import contextlib
import io
import tempfile

from kfp import dsl, local
from table import Measured, measure, say

from headway.components._shared.component import component

KFP_DEFAULT_REPEATS = 1  # it installs packages anew each time, so one takes a minute


@component(image="base")
def ours(state_uri: str) -> None:
    """Does nothing, as a step of ours."""
    from headway.components._shared.steps import step

    step("nothing")(lambda state_uri: None)(state_uri)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def bare(state_uri: str) -> None:
    """Does nothing, in KFP's executor alone."""
    return


@dsl.component(base_image="python:3.11", packages_to_install=["scikit-learn", "pandas"])
def default(state_uri: str) -> None:
    """Does nothing, the way that KFP's tutorials teach it."""
    return


def timed(what, runner: local.SubprocessRunner, repeats: int) -> Measured:
    """Runs a component through kfp.local."""
    with tempfile.TemporaryDirectory(prefix="bench") as root:
        local.init(runner=runner, pipeline_root=root)

        def run() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                what(state_uri=root)

        return measure(run, repeats)


def main() -> None:
    """Prints the table. A plain call of a function that does nothing costs nothing: a step's wall time is its cost."""
    quick = local.SubprocessRunner(use_venv=False)
    timed(bare, quick, 2)  # warms the file cache
    slow = timed(default, local.SubprocessRunner(use_venv=True), KFP_DEFAULT_REPEATS)
    step, executor = timed(ours, quick, 9), timed(bare, quick, 9)
    print(f"a step of ours costs {(step.wall_s - executor.wall_s) * 1000:.0f} ms more than the bare executor")
    rows = [
        ("KFP default, packages_to_install (1 run)", slow),
        ("Headway step (median of 9)", step),
        ("bare KFP executor (median of 9)", executor),
    ]
    say("steps: what a step costs beyond its work", ["kfp"], rows, ("steps", slow.wall_s / step.wall_s))


if __name__ == "__main__":
    main()
