"""The input and output tables in the rooms' READMEs, generated from the components' docstrings.

`python tests/contract/interface_tables.py --write` brings them up to date.
"""

import re
import sys
from pathlib import Path

from headway.components import ROOMS
from headway.pipelines.cli.components import interface

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"<!-- (interface|catalogue) -->.*?<!-- /\1 -->", re.DOTALL)
READMES = {ROOT / "README.md": None} | {ROOT / "components" / room / "README.md": room for room in ROOMS.values()}


def current(path: Path) -> tuple[str, str]:
    """What a README says, and what it should say."""
    room, text = READMES[path], path.read_text()
    return text, SECTION.sub(lambda _: _section(room) if room else _catalogue(), text, count=1)


def _section(room: str) -> str:
    parts = [_tables(name) for name, place in ROOMS.items() if place == room]
    return "<!-- interface -->\n" + "\n".join(parts) + "<!-- /interface -->"


def _catalogue() -> str:
    rows = []
    for name, room in ROOMS.items():
        rows.append(f"| [`{name}`](components/{room}/README.md) | {_cell(interface(name).summary)} |")
    return "\n".join(["<!-- catalogue -->", "| component | what it does |", "|---|---|", *rows, "<!-- /catalogue -->"])


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
    for readme in READMES:
        written, wanted = current(readme)
        if "--write" in sys.argv and written != wanted:
            readme.write_text(wanted)
            print(f"wrote {readme.relative_to(ROOT)}")
