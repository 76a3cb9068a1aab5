"""Builds the image families with docker, podman or buildah, says what they weigh, and pushes them when asked to.

A local image is called as the compiled YAML calls it, so a cluster that has it loaded needs nothing else. The lock file
is written after a push and only then: the digest by which a cluster pulls an image is the registry's.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from headway.components._shared import images
from headway.components._shared.errors import HeadwayError

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "images" / "lock.json"
TOOLS = ("docker", "podman", "buildah")
# Those that have a lock of their own: what any component or the server needs today.
FAMILIES = [family for family in images.FAMILIES if (CHECKOUT / f"requirements/{family}.lock").exists()]
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "946684800")
# What is imported before a step, or the server, can say anything.
STEP = "import kfp.dsl.executor_main, headway.components._shared.steps"
FIRST_LINE = {"serving": "import headway.components.serving.server, kserve, sklearn"}
# What pip is told about the index; paths of this machine mean nothing inside a build.
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")


def main() -> int:
    """Builds, measures, pushes; gives 1 with the reason as the last line when something of it fails."""
    parser = argparse.ArgumentParser(prog="images/build.py", description=__doc__)
    parser.add_argument("--family", action="append", choices=FAMILIES, help="only this one; may be repeated")
    parser.add_argument("--base", help="another base image with Python 3.11 or newer, by digest")
    parser.add_argument("--tool", choices=TOOLS, help="instead of the first that answers")
    parser.add_argument(
        "--push", metavar="REGISTRY", help="push there, such as registry.example.com/team, and write images/lock.json"
    )
    parser.add_argument("--no-cache", action="store_true", help="take no layer from an earlier build")
    options = parser.parse_args()
    try:
        tool = find_tool(options.tool)
        print(f"{'image':58} {'id':12}  {'MB':>5}  first line")
        locked = {}
        for family in options.family or FAMILIES:
            name = images.reference(family)
            print(f"building {family}; the first time takes some minutes", file=sys.stderr)
            built = build(tool, family, base=options.base, cache=not options.no_cache)
            size, seconds = unpacked_bytes(tool, name), first_line_s(tool, family)
            print(f"{name:58} {built[:12]}  {size / 1e6:5.0f}  {seconds:.1f} s", flush=True)
            if options.push:
                locked[family] = push(tool, name, f"{options.push}/headway-{family}:{version('headway')}")
        if locked:
            write_lock(locked)
            print(f"wrote {LOCK.relative_to(CHECKOUT)}")
    except HeadwayError as error:
        print(f"error {error}", file=sys.stderr)
        return 1
    return 0


def find_tool(asked: str | None = None) -> str:
    """The first of docker, podman and buildah that answers; docker without its daemon does not."""
    for tool in [asked] if asked else TOOLS:
        try:
            if subprocess.run([tool, "info"], capture_output=True, check=False).returncode == 0:
                return tool
        except FileNotFoundError:
            continue
    raise HeadwayError(
        "images.no_tool",
        "No tool that builds images answers here.",
        value=asked or ", ".join(TOOLS),
        remedy="Install docker, podman or buildah; with docker, start its daemon.",
    )


def build(
    tool: str,
    family: str,
    *,
    base: str | None = None,
    cache: bool = True,
    name: str | None = None,
    checkout: Path = CHECKOUT,
) -> str:
    """Builds a family's image and gives its id: a hash of everything in it.

    The same inputs give the same id from the same tool, whenever they are built and from whatever index.
    """
    name = name or images.reference(family)
    arguments = {"FAMILY": family, "VERSION": version("headway"), "SOURCE_DATE_EPOCH": EPOCH}
    if base:
        arguments["BASE"] = base
    with pip_secrets() as secrets:
        command = [tool, "build", "--file", str(checkout / "images/Dockerfile"), "--tag", name]
        command += [f"--build-arg={key}={value}" for key, value in arguments.items()]
        command += [f"--secret=id={path.name},src={path}" for path in secrets]
        command += [] if tool == "docker" else ["--layers", f"--timestamp={EPOCH}"]
        command += [] if cache else ["--no-cache"]
        _run([*command, str(checkout)], doing=f"building {family}")
    return image_id(tool, name)


def image_id(tool: str, name: str) -> str:
    """sha256 over an image's configuration, which names every layer by its content."""
    inspect = {"buildah": ["inspect", "--type=image", "--format={{.FromImageID}}"]}
    found = _run([tool, *inspect.get(tool, ["image", "inspect", "--format={{.Id}}"]), name], doing=f"looking at {name}")
    return found.strip().removeprefix("sha256:")


def run(tool: str, name: str, command: Sequence[str], *, user: str = "65532") -> str:
    """What a command prints that runs in an image; its root is read-only, except with buildah, which cannot."""
    if tool != "buildah":
        # podman raises its own limits by default, which not every build machine may.
        limits = [
            "--ulimit=nofile=4096:4096",
            "--ulimit=nproc=4096:4096",
            "--network=none",
            "--read-only",
            "--tmpfs=/tmp:mode=1777",
        ]
        return _run([tool, "run", "--rm", *limits, f"--user={user}", name, *command], doing=f"running {name}")
    container = _run(["buildah", "from", name], doing=f"running {name}").strip()
    try:
        return _run(["buildah", "run", f"--user={user}", container, "--", *command], doing=f"running {name}")
    finally:
        _run(["buildah", "rm", container], doing=f"removing {container}")


def unpacked_bytes(tool: str, name: str) -> int:
    """What an image takes on a node's disk, its base with it."""
    return int(run(tool, name, ["du", "-sxk", "/"], user="0").split()[0]) * 1024


def first_line_s(tool: str, family: str) -> float:
    """Seconds from the start of a container until the process of a step, or of the server, can say something."""
    started = time.monotonic()
    run(tool, images.reference(family), ["env", "_KFP_RUNTIME=true", "python", "-c", FIRST_LINE.get(family, STEP)])
    return time.monotonic() - started


def save(tool: str, name: str, archive: Path) -> None:
    """Writes an image as an archive that `kind load image-archive`, `docker load` and `ctr images import` read."""
    if tool == "buildah":
        _run(["buildah", "push", "--quiet", name, f"docker-archive:{archive}:{name}"], doing=f"saving {name}")
    else:
        _run([tool, "save", "--output", str(archive), name], doing=f"saving {name}")


def push(tool: str, name: str, target: str) -> str:
    """Pushes an image and gives the reference by digest that a cluster pulls."""
    repository = target.rpartition(":")[0]
    if tool == "docker":
        _run(["docker", "tag", name, target], doing=f"naming {target}")
        _run(["docker", "push", "--quiet", target], doing=f"pushing {target}")
        pushed = json.loads(
            _run(["docker", "image", "inspect", "--format={{json .RepoDigests}}", target], doing="locking")
        )
        return str(next(reference for reference in pushed if reference.startswith(f"{repository}@")))
    with tempfile.NamedTemporaryFile(mode="r") as digest:
        _run(
            [tool, "push", "--quiet", f"--digestfile={digest.name}", name, f"docker://{target}"],
            doing=f"pushing {target}",
        )
        return f"{repository}@{digest.read().strip()}"


def write_lock(locked: dict[str, str]) -> None:
    """Notes where each family was pushed; families that were not pushed now keep their entry."""
    known = json.loads(LOCK.read_text())["images"] if LOCK.exists() else {}
    content = {"schema_version": 1, "images": dict(sorted({**known, **locked}.items()))}
    LOCK.write_text(json.dumps(content, indent=2) + "\n")


@contextmanager
def pip_secrets() -> Iterator[list[Path]]:
    """What this machine's pip knows about its index, as files that a build mounts and forgets."""
    listed = _run([sys.executable, "-m", "pip", "config", "list"], doing="reading pip's settings").splitlines()
    settings: dict[str, str] = {}
    for origin in ("global.", "install.", ":env:."):  # the later wins
        for line in listed:
            if line.startswith(origin):
                name, _, value = line.removeprefix(origin).partition("=")
                settings[name] = ast.literal_eval(value)
    authority = Path(settings.get("cert") or os.environ.get("SSL_CERT_FILE") or "")
    kept = {key: settings[key] for key in PIP_KEYS if key in settings}
    with tempfile.TemporaryDirectory() as folder:
        if authority.is_file():
            kept["cert"] = "/run/secrets/ca.pem"
        secrets = [Path(folder, "pip.conf")]
        config = configparser.RawConfigParser()
        config["global"] = kept
        with secrets[0].open("w") as stream:
            config.write(stream)
        if authority.is_file():
            secrets.append(Path(folder, "ca.pem"))
            secrets[1].write_bytes(authority.read_bytes())
        yield secrets


def _run(command: Sequence[str], *, doing: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        print(said, file=sys.stderr)
        raise HeadwayError(
            "images.failed",
            f"{command[0]} failed while {doing}.",
            value=said.rpartition("\n")[2],
            remedy="What the tool itself said stands above.",
        )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
