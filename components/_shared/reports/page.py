"""The page around the pieces: heading, verdict, contents, sections, and a policy that lets nothing in from outside."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headway.components._shared.reports.blocks import Block, as_block, facts
from headway.components._shared.reports.cells import Tone, Value, escaped, prose, sign

# In an iframe filled by `srcdoc`, as in KFP's UI, a link to a place in the page loads the page around the iframe.
_SCRIPT = (
    'if(location.protocol==="about:")document.addEventListener("click",e=>{const a=e.target.closest(\'a[href^="#"]\');'
    "if(!a)return;e.preventDefault();const t=document.getElementById(a.hash.slice(1));"
    "if(t){t.scrollIntoView();t.focus({preventScroll:true})}})"
)
_STATUS: dict[Tone, str] = {"good": "Passed", "warn": "Passed with warnings", "bad": "Failed", "neutral": ""}
_CONTENTS_FROM = 4


@dataclass
class Page:
    """A report.

    Attributes:
        title: The one first-level heading.
        lead: What was decided and why, in one paragraph.
        tone: Colour and sign of the banner around the lead.
        facts: Label to value, shown under the lead.
        status: A word or two over the lead; by default what the tone says.
        kind: What kind of report it is, in small print over the title.
    """

    title: str
    lead: str
    tone: Tone = "neutral"
    facts: Mapping[str, Value] = field(default_factory=dict)
    status: str | None = None
    kind: str = ""
    _sections: list[tuple[str, tuple[Block, ...]]] = field(default_factory=list)

    def section(self, heading: str, *blocks: Block | str) -> None:
        """Adds a section; a plain string is a paragraph. Small figures that follow each other stand side by side."""
        self._sections.append((heading, tuple(as_block(block) for block in blocks)))

    def html(self) -> str:
        """The whole page; the same bytes for the same content."""
        return _document(self, self._sections)

    def write(self, path: str | Path) -> None:
        """Writes the page to a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(self.html(), encoding="utf-8")


def linked_back(page: str, label: str, address: str) -> str:
    """A written page with a link over its title to the page that it belongs to; once, and only if it is one of ours."""
    link = f'<p class="back"><a href="{escaped(address)}">{escaped(label)}</a></p>'
    return page if link in page else page.replace("\n<header>", f"\n<header>{link}", 1)


def _document(page: Page, sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    style = _style()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_source_hash(_SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">\n'
        f"<title>{escaped(page.title)}</title>\n<style>\n{style}</style></head>\n<body>"
        '<a class="skip" href="#content">Skip to content</a>\n'
        f"<header>{_small(page.kind)}<h1>{escaped(page.title)}</h1></header>\n"
        f'<div class="body">{_contents(sections)}<main id="content" tabindex="-1">\n{_verdict(page)}'
        f"{facts(page.facts).html if page.facts else ''}\n"
        + "".join(_section(number, heading, blocks) for number, (heading, blocks) in enumerate(sections, start=1))
        + "</main></div>\n<footer><p>Written by Headway. This page loads nothing from elsewhere: keep, send or "
        f"print it as it is.</p></footer>\n<script>{_SCRIPT}</script></body></html>\n"
    )


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("reports.css").read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _small(kind: str) -> str:
    return f'<p class="kind">{escaped(kind)}</p>' if kind else ""


def _contents(sections: Sequence[tuple[str, Sequence[Block]]]) -> str:
    if len(sections) < _CONTENTS_FROM:
        return ""
    entries = "".join(
        f'<li><a href="#section-{number}">{escaped(heading)}</a></li>'
        for number, (heading, _) in enumerate(sections, start=1)
    )
    return f'<nav aria-label="Contents"><ol>{entries}</ol></nav>'


def _verdict(page: Page) -> str:
    status = _STATUS[page.tone] if page.status is None else page.status
    word = f'<p class="status">{escaped(status)}</p>' if status else ""
    return f'<div class="verdict {page.tone}">{sign(page.tone)}<div>{word}<p>{prose(page.lead)}</p></div></div>'


def _section(number: int, heading: str, blocks: Sequence[Block]) -> str:
    parts: list[str] = []
    for block in blocks:
        follows = parts and parts[-1].endswith("</figure></div>") and block.html.startswith("<figure>")
        if follows:
            parts[-1] = f"{parts[-1].removesuffix('</div>')}{block.html}</div>"
        else:
            parts.append(
                f'<div class="figures">{block.html}</div>' if block.html.startswith("<figure>") else block.html
            )
    inner = "".join(parts)
    name = f"section-{number}"
    return f'<section aria-labelledby="{name}"><h2 id="{name}" tabindex="-1">{escaped(heading)}</h2>{inner}</section>\n'
