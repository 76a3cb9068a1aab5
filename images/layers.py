"""Finishes the two layers of an image, inside its build: the dependencies, and the part of the suite it uses.

Both come out the same, byte for byte, from the same inputs. Only the standard library is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HOME = Path("/opt/headway")
USER = "headway:x:65532:65532::/tmp:/usr/sbin/nologin\n"
GROUP = "headway:x:65532:\n"
# The libraries' own tests, sources and headers of what is compiled already, and Arrow's network service: 200 MB.
UNUSED = ("**/tests", *(f"**/*.{end}" for end in ("pyx", "pxd", "pxi", "h", "hpp")), "pyarrow/*flight*")
# Evidently calls the checks that it makes for its users tests.
NEEDED = "evidently"
# 1 January 2000: archives know no time before 1980, and a build's own time would make every digest new.
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "946684800"))


def main() -> None:
    """`layers.py dependencies`, or `layers.py suite CHECKOUT FAMILY`."""
    what, *rest = sys.argv[1:]
    if what == "dependencies":
        finish_dependencies()
    else:
        lay_out_suite(Path(rest[0]), rest[1], HOME / "suite")
    settle(HOME if what == "dependencies" else HOME / "suite")


def finish_dependencies() -> None:
    """Drops what nothing loads, makes the suite importable, and writes the pins that images built on this one keep."""
    site_packages = next(HOME.glob("lib/python3*/site-packages"))
    for path in [path for pattern in UNUSED for path in site_packages.glob(pattern) if not _is_needed(path)]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    (site_packages / "headway.pth").write_text(f"{HOME / 'suite'}\n")
    freeze = [f"{HOME}/bin/python", "-B", "-m", "pip", "freeze"]
    (HOME / "constraints.txt").write_text(subprocess.run(freeze, check=True, capture_output=True, text=True).stdout)
    # A user without a name makes getpass and expanduser fail.
    for file, line in (("/etc/passwd", USER), ("/etc/group", GROUP)):
        if line not in Path(file).read_text():
            with Path(file).open("a") as stream:
                stream.write(line)


def _is_needed(path: Path) -> bool:
    return path.name == "tests" and NEEDED in path.parts


def lay_out_suite(checkout: Path, family: str, target: Path) -> None:
    """Copies what the family uses to `target`, with the metadata of the distribution, as a wheel of just that would."""
    source, destination = checkout / "components", target / "headway" / "components"
    destination.mkdir(parents=True)
    for file in [*source.glob("*.py"), source / "py.typed"]:
        shutil.copyfile(file, destination / file.name)
    for room in ("_shared", *rooms_of(checkout, family)):
        shutil.copytree(source / room, destination / room, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Summary: {project['description']}", f"License: {project['license']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    metadata = target / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("\n".join([*lines, ""]))


def rooms_of(checkout: Path, family: str) -> list[str]:
    """The rooms of an image family: those with a component that names it, and the room that is called like it."""
    rooms = []
    for room in sorted(path for path in (checkout / "components").iterdir() if path.is_dir()):
        component = room / "component.py"
        named = re.findall(r'@component\(image="(\w+)"\)', component.read_text()) if component.exists() else []
        if family in (*named, room.name):
            rooms.append(room.name)
    return rooms


def settle(folder: Path) -> None:
    """Compiles everything, since a read-only image cannot later, and gives every file the same time.

    Bytecode is bound to the source's content: its time would no longer match. One process and one hash seed, since
    both show in the bytes.
    """
    command = [f"{HOME}/bin/python", "-m", "compileall", "-qf", "-j1", "--invalidation-mode=checked-hash", str(folder)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)  # some files are templates
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


if __name__ == "__main__":
    main()
