"""The input and output tables in the rooms' READMEs, generated from the components' docstrings.

`python tests/contract/interface_tables.py --write` brings them up to date.
"""

import re
import sys
from pathlib import Path

from headway.components import ROOMS
from headway.pipelines.cli.components import interface

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"<!-- interface(?: \w+)? -->.*?<!-- /interface -->", re.DOTALL)


def section(room: str) -> str:
    """The generated part of a room's README: a table for each of its components."""
    parts = [_tables(name) for name, place in ROOMS.items() if place == room]
    return "<!-- interface -->\n" + "\n".join(parts) + "<!-- /interface -->"


def current(room: str) -> tuple[str, str]:
    """What a room's README says, and what it should say."""
    text = (ROOT / "components" / room / "README.md").read_text()
    return text, SECTION.sub(lambda _: section(room), text, count=1)


def _tables(name: str) -> str:
    shown = interface(name)
    lines = [f"### {name}", "", shown.summary, ""]
    for rows, columns in ((shown.inputs, ["input", "type", "default"]), (shown.outputs, ["output", "type"])):
        if not rows:
            continue
        lines += [f"| {' | '.join([*columns, 'meaning'])} |", f"|{'---|' * (len(columns) + 1)}"]
        for row in rows:
            default = [_cell(row.default or "required")] if "default" in columns else []
            lines.append(f"| {' | '.join([f'`{row.name}`', row.type, *default, _cell(row.description)])} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for room in sorted(set(ROOMS.values())):
        path = ROOT / "components" / room / "README.md"
        _, wanted = current(room)
        if "--write" in sys.argv and path.read_text() != wanted:
            path.write_text(wanted)
            print(f"wrote {path.relative_to(ROOT)}")
