"""The report that Evidently draws for us, in a browser without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.bicycle_windows import bicycle_windows
from tests.browser.conftest import LAPTOP, alone

pytestmark = pytest.mark.browser


def test_it_shows_our_figures_and_evidentlys_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    bicycle_windows(tmp_path)[2].report(tmp_path / "report.html")
    with alone(browser, tmp_path / "report.html", "light", LAPTOP) as (page, _, seen):
        page.get_by_text("Dataset Drift is detected").wait_for()
        assert page.get_by_text("Headway: all rows of the window").is_visible()
        assert page.get_by_role("cell", name="temp").first.is_visible()
    assert [problem for problem in seen if problem.startswith(("asked for", "script error"))] == []
