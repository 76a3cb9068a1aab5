"""The pages that the suite's own modules write, in a browser; and the check itself, on pages with one fault each."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from headway.components._shared import reports
from headway.components._shared.errors import HeadwayError
from headway.components._shared.reports import charts
from headway.components._shared.reports.run_index import write_run_index
from headway.components._shared.state import RUN_ID_VARIABLE, State
from headway.components._shared.steps import decided, step
from tests.browser.conftest import LAPTOP, AssertGoodPage, page_problems

pytestmark = pytest.mark.browser

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
CURVE = [(i / 200, (i / 200) ** 0.3) for i in range(201)]


def page_of_everything(path: Path) -> Path:
    """Every block and every chart, with awkward values."""
    page = reports.Page(
        "Everything that a report can hold",
        "Blessed: the AUC is 0.712 [0.708, 0.716] on 27,345 rows; the limit is 0.700.",
        tone="good",
        status="Blessed",
        kind="Evaluation",
        facts={"Rows": 27_345, "Digest": reports.mono("sha256:" + 64 * "a"), "Late": reports.percent(0.234), "x": EVIL},
    )
    wide: list[list[reports.Value]] = [
        [f"column {i} {EVIL}", 1.5 * i, reports.interval(0.7, 0.6, 0.8), *["a few more words"] * 8] for i in range(60)
    ]
    page.section(
        "Words",
        "A paragraph.",
        *(reports.note(f"A note that is {tone}.", tone) for tone in ("good", "warn", "bad", "neutral")),
        reports.listing(["one", EVIL, 3.14159, None]),
        reports.code("curl http://127.0.0.1:8080/v2/models/flights/infer -d @request.json " + "x" * 200),
        reports.details("More", "Folded text.", reports.facts({"a": 1, "b": None})),
    )
    page.section(
        "Tables",
        reports.table(["Name", "Value", "Interval", *(f"More {i}" for i in range(8))], wide, "A wide and long table"),
        reports.table(
            ["Gate", "Outcome"],
            [[tone, reports.badge(tone, tone)] for tone in ("good", "warn", "bad", "neutral")],
            "Gates",
        ),
        reports.table(["a"], [], "Nothing"),
    )
    slices = [(f"carrier {name}", 0.7, 0.68, 0.72) for name in ("AA", "a very long name of a carrier indeed " + EVIL)]
    page.section(
        "Charts",
        *(
            reports.figure(chart, f"Chart {number}", "A chart.")
            for number, chart in enumerate(
                [
                    charts.intervals(slices, 0.69, "AUC", "limit"),
                    charts.bars([("a", 1.0), (EVIL, -2.0)], reference=0.5, reference_label="limit"),
                    charts.grouped_bars([("a", "champion", 1.0), ("a", "challenger", 2.0)]),
                    charts.line({"one": CURVE, "two": CURVE[::-1]}, "x", "y", [(0, 0, 1), (1, 1, 2)], 0.5, "limit"),
                    charts.histogram([0, 1, 2, 4], [1, 2, 3], [3, 2, 1], "delay"),
                    charts.calibration([(0.1, 0.2), (0.9, 0.8)], [100, 20]),
                    charts.roc({"champion": CURVE, "challenger": CURVE[::2]}),
                    charts.precision_recall(CURVE, 0.2),
                    charts.cost_curve(CURVE, 0.7),
                    charts.history([0.6, None, math.nan, 0.7], baseline=0.6),
                ]
            )
        ),
    )
    page.section("Last", "The end.")
    page.write(path)
    return path


@step("ingest_data")
def ingest(state_uri: str) -> None:
    decided("read 3 files", rows=27_000, files=["a.csv"], digest="b" * 64)


@step("train_model")
def train(state_uri: str) -> None:
    raise HeadwayError("data.one_class", f"One class {EVIL}.", value="v" * 300, remedy="Widen the window.")


def test_a_page_of_everything_is_good(assert_good_page: AssertGoodPage, tmp_path: Path) -> None:
    assert_good_page(page_of_everything(tmp_path / "report.html"))


@pytest.mark.parametrize("tone", ["good", "warn", "bad", "neutral"])
def test_a_page_of_one_sentence_is_good_in_every_tone(
    assert_good_page: AssertGoodPage, tmp_path: Path, tone: reports.Tone
) -> None:
    reports.Page("Short", "One sentence.", tone=tone).write(tmp_path / "report.html")
    assert_good_page(tmp_path / "report.html")


def test_the_index_page_of_a_failed_run_is_good(
    assert_good_page: AssertGoodPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    state = State(str(tmp_path))
    ingest(state_uri=state.uri)
    with pytest.raises(HeadwayError):
        train(state_uri=state.uri)
    parameters = {"model_name": "flights", "gates": {"auc": {"min": 0.7}}, "long": "x" * 500}
    address = write_run_index(state, "run-1", pipeline="training", parameters=parameters)

    assert_good_page(Path(address))


def add(markup: str) -> Callable[[str], str]:
    return lambda page: page.replace("</main>", f"{markup}</main>")


FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "outside image": (add('<img alt="" src="https://example.org/a.png">'), "Content Security Policy"),
    "outside style": (add('<link rel="stylesheet" href="https://example.org/a.css">'), "Content Security Policy"),
    "no policy": (
        lambda page: add('<img alt="" src="https://a.b/c">')(page.replace("Content-Security-Policy", "x", 1)),
        "asked for",
    ),
    "other script": (lambda page: page.replace("<script>", "<script>nothing.there();", 1), "Content Security Policy"),
    "no alt": (add('<img src="data:,">'), "an image has no alt"),
    "nameless drawing": (lambda page: page.replace(' role="img"', "", 1), "a drawing has no name"),
    "no scope": (lambda page: page.replace(' scope="row"', "", 1), "a table heading has no scope"),
    "no caption": (lambda page: page.replace("<caption>Gates</caption>", "", 1), "a table has no caption"),
    "two h1": (add("<h1>Again</h1>"), "2 first-level headings"),
    "skipped level": (add("<h4>Deep</h4>"), "level 4 follows one of level 2"),
    "dead link": (add('<a href="#gone">there</a>'), "a link leads nowhere"),
    "outside link": (
        add('<a href="https://a.b">x</a>'),
        "a link leads outside",
    ),
    "same id": (add('<p id="content">x</p>'), "stands more than once"),
    "faint text": (lambda page: page.replace("--muted: #566070", "--muted: #a0a8b0", 1), "the contrast of a text is"),
    "faint series": (lambda page: page.replace("--c1: #1763b8", "--c1: #d0e0f0", 1), "series colour 1"),
    "always light": (lambda page: page.replace("dark)", "never)"), "the page is light in the dark scheme"),
    "too wide": (
        add('<div style="width:2000px">x</div>'),
        "px wide in a window",
    ),
    "no skip link": (lambda page: page.replace('class="skip"', 'class="skipped"', 1), "not the skip link"),
    "closed when printed": (lambda page: page.replace("::details-content", "::nothing"), "folds stay closed"),
    "no focus": (lambda page: page.replace("</style>", "summary{outline:0!important}</style>", 1), "show that it has"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_with_one_fault_is_not_good(browser: Browser, tmp_path: Path, fault: str) -> None:
    spoil, complaint = FAULTS[fault]
    good = page_of_everything(tmp_path / "report.html").read_text(encoding="utf-8")
    spoiled = spoil(good)
    assert spoiled != good
    (tmp_path / "report.html").write_text(spoiled, encoding="utf-8")

    assert any(complaint in problem for problem in page_problems(browser, tmp_path / "report.html", widths=[LAPTOP]))
