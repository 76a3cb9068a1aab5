"""Reports: what ends up in the page, whatever the data holds."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headway.components._shared import reports
from headway.components._shared.reports import Page, charts

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def full_page() -> Page:
    page = Page(
        title=EVIL, lead=EVIL, tone="bad", facts={EVIL: EVIL, "mono": reports.mono(EVIL)}, status=EVIL, kind=EVIL
    )
    page.section(
        EVIL,
        EVIL,
        reports.note(EVIL, "warn"),
        reports.facts({EVIL: EVIL}),
        reports.table([EVIL, "n"], [[EVIL, 1.5], [reports.badge(EVIL, "good"), None]] * 20, EVIL),
        reports.listing([EVIL]),
        reports.figure(charts.bars([(EVIL, 1.0)], title=EVIL), EVIL, EVIL),
        reports.details(EVIL, EVIL),
        reports.code(EVIL),
    )
    return page


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_markup_in_data_stays_text_wherever_it_comes_in() -> None:
    elements = Elements(full_page().html()).found

    assert [tag for tag, _ in elements if tag == "img"] == []
    assert len([tag for tag, _ in elements if tag == "script"]) == 1  # our own
    assert [attrs for _, attrs in elements if any(name.startswith("on") for name in attrs)] == []


def test_a_page_names_no_outside_address() -> None:
    page = full_page().html()

    assert set(re.findall(r'https?://[^\s"<)]+', page)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert "url(" not in page.replace("url(#clip", "")


def test_equal_content_gives_equal_bytes_also_after_other_charts_were_drawn() -> None:
    first = full_page().html()
    for _ in range(3):
        reports.figure(charts.roc([(0, 0), (0.4, 0.7), (1, 1)]), "other", "other")

    assert full_page().html() == first


def test_equal_content_gives_equal_bytes_in_another_process() -> None:
    program = (
        "from headway.components._shared import reports as r\n"
        "from headway.components._shared.reports import charts\nimport hashlib\n"
        "p = r.Page('t', 'l', facts={'a': 1.5})\n"
        "p.section('s', r.figure(charts.line({'a': [(0, 1), (1, 2)]}), 'c', 'd'))\n"
        "print(hashlib.sha256(p.html().encode()).hexdigest())"
    )
    digests = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }

    assert len(digests) == 1


def test_long_tables_fold_their_later_rows_and_lose_none() -> None:
    table = reports.table(["name", "n"], [[f"row {i}", i] for i in range(100)], "Counts").html

    before, _, after = table.partition("<details>")
    assert before.count("<tr>") == 1 + 12
    assert after.count("<tr>") == 1 + 88
    assert "88 more rows" in after


def test_a_table_of_24_rows_is_not_folded() -> None:
    assert "<details>" not in reports.table(["n"], [[i] for i in range(24)]).html


def test_a_table_without_rows_says_so() -> None:
    assert reports.table(["a"], [], "Duplicates").html == '<p class="none">Duplicates: none.</p>'


def test_numbers_are_right_aligned_and_have_the_same_decimals_in_a_column() -> None:
    table = reports.table(["slice", "AUC"], [["a", 0.71234], ["b", 0.7], ["c", None]]).html

    assert '<td class="num">0.7123</td>' in table
    assert '<td class="num">0.7000</td>' in table
    assert '<td class="num">–</td>' in table


def test_a_table_without_a_caption_is_named_by_its_columns() -> None:
    assert '<table aria-label="Gate, Outcome">' in reports.table(["Gate", "", "Outcome"], [["a", 1, 2]]).html


def test_truth_values_are_words_and_not_numbers() -> None:
    assert "<td>yes</td>" in reports.table(["a", "b"], [["x", True]]).html


def test_words_between_backticks_are_code() -> None:
    assert reports.text("Set `curated_by` to <you>.").html == "<p>Set <code>curated_by</code> to &lt;you&gt;.</p>"
    assert "<li><code>checks</code></li>" in reports.listing(["`checks`"]).html


def test_long_names_break_where_their_parts_meet() -> None:
    assert "Hist<wbr>Gradient<wbr>Boosting" in reports.facts({"Estimator": "HistGradientBoostingClassifier"}).html
    assert reports.mono("a_short_name").html == "<code>a_short_name</code>"


@pytest.mark.parametrize("address", ["https://example.org", "javascript:alert(1)", "//example.org", "/etc", "\\\\host"])
def test_a_link_leads_only_to_files_beside_the_page(address: str) -> None:
    with pytest.raises(ValueError, match="not a relative address"):
        reports.link("report", address)


def test_the_banner_says_its_tone_in_a_word() -> None:
    assert '<p class="status">Failed</p>' in Page("t", "l", tone="bad").html()
    assert '<p class="status">Blessed</p>' in Page("t", "l", tone="good", status="Blessed").html()
    assert 'class="status"' not in Page("t", "l").html()


def test_small_figures_that_follow_each_other_stand_side_by_side() -> None:
    page = Page("t", "l")
    curve = reports.figure(charts.roc([(0, 0), (1, 1)]), "c", "d")
    page.section("s", curve, curve, "between", curve)

    assert re.findall(r'<div class="figures">|<figure>|<p>between', page.html()) == [
        '<div class="figures">',
        "<figure>",
        "<figure>",
        "<p>between",
        '<div class="figures">',
        "<figure>",
    ]


def test_contents_stand_over_pages_of_four_sections_and_more() -> None:
    page = Page("t", "l")
    for number in range(3):
        page.section(f"s{number}")
    assert "<nav" not in page.html()

    page.section("s3")
    assert '<nav aria-label="Contents">' in page.html()
    assert '<a href="#section-4">s3</a>' in page.html()


def test_a_page_is_written_whole_in_utf_8(tmp_path: Path) -> None:
    page = Page("Größe ≥ 3 ✓", "l")
    page.write(tmp_path / "deep" / "report.html")

    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == page.html()
