"""A headless Chromium, and the one check that every page we write must pass in it."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Frame, Page, Route, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
CHECKS = Path(__file__).with_name("page_checks.js").read_text(encoding="utf-8")
PHONE, LAPTOP = 360, 1280
SOON_MS = 3_000

AssertGoodPage = Callable[[Path], None]


def chromium_path() -> str | None:
    """The browser to use: `HEADWAY_CHROMIUM`, or what the path holds."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("HEADWAY_CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on the path; install one or set HEADWAY_CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def assert_good_page(browser: Browser) -> AssertGoodPage:
    """Fails with every fault of a page: alone and in KFP's iframe, light, dark, narrow, wide, printed, by keyboard."""

    def check(path: Path) -> None:
        problems = page_problems(browser, path)
        assert not problems, f"{path.name}:\n" + "\n".join(problems)

    return check


def page_problems(browser: Browser, path: Path, widths: Sequence[int] = (PHONE, LAPTOP)) -> list[str]:
    """Every fault of a page, with the circumstances in which it shows."""
    problems: list[str] = []
    for scheme in ("light", "dark"):
        for width in widths:
            for shown in (alone, in_an_iframe):
                with shown(browser, path, scheme, width) as (page, frame, seen):
                    found = _found(page, frame) + (_print_problems(page) if shown is alone else [])
                    found += seen
                    where = f"{shown.__name__.replace('_', ' ')}, {scheme}, {width} px"
                    problems += [f"{where}: {problem}" for problem in dict.fromkeys(found)]
    return problems


def _found(page: Page, frame: Frame) -> list[str]:
    try:
        return [*frame.evaluate(CHECKS), *_keyboard_problems(page, frame)]
    except Error as error:
        return [f"the page went away: {error.message.splitlines()[0]}"]


@contextmanager
def alone(browser: Browser, path: Path, scheme: str, width: int) -> Iterator[tuple[Page, Frame, list[str]]]:
    """The page in a tab of its own; with what went wrong while it loaded."""
    with _tab(browser, scheme, width, allowed=path.as_uri()) as (page, seen):
        page.goto(path.as_uri())
        yield page, page.main_frame, seen


@contextmanager
def in_an_iframe(browser: Browser, path: Path, scheme: str, width: int) -> Iterator[tuple[Page, Frame, list[str]]]:
    """The page as KFP's UI shows it: an iframe filled by `srcdoc` that may run scripts and nothing else."""
    content = html.escape(path.read_text(encoding="utf-8"))
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{content}" style="border:0;width:100%;height:100%"></iframe>'
    with _tab(browser, scheme, width, allowed="") as (page, seen):
        page.set_content(f'<body style="margin:0;height:100vh">{frame}</body>')
        page.frames[1].wait_for_load_state()
        yield page, page.frames[1], seen


@contextmanager
def _tab(browser: Browser, scheme: str, width: int, *, allowed: str) -> Iterator[tuple[Page, list[str]]]:
    seen: list[str] = []

    def judge(route: Route) -> None:
        if route.request.url.split("#")[0] == allowed:
            route.continue_()
        else:
            seen.append(f"asked for {route.request.url[:100]}")
            route.abort()

    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.on("console", lambda message: seen.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"script error: {error}"))
    page.on("popup", lambda popup: seen.append(f"opened {popup.url}"))
    page.route("**/*", judge)
    yield page, seen
    context.close()


def _keyboard_problems(page: Page, frame: Frame) -> list[str]:
    """The first stop is the skip link, it leads to the content, and every fold opens and closes."""
    problems = []
    address = frame.url
    page.keyboard.press("Tab")
    if not _becomes(frame, "document.activeElement.matches('a.skip')"):
        return ["the first stop of the keyboard is not the skip link"]
    if not _becomes(frame, "(r => r.left >= 0 && r.top >= 0)(document.activeElement.getBoundingClientRect())"):
        problems.append("the skip link cannot be seen while it has the focus")
    page.keyboard.press("Enter")
    if not _becomes(frame, "document.activeElement.id === 'content'"):
        problems.append("the skip link does not lead to the content")
    if frame.url.split("#")[0] != address:
        problems.append(f"the skip link led to {frame.url}")
    unvisited, stops = frame.locator("summary").count(), 0
    while unvisited and stops < 500:
        page.keyboard.press("Tab")
        stops += 1
        if frame.evaluate("document.activeElement.matches('summary')"):
            unvisited -= 1
            if frame.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none":
                problems.append("a fold does not show that it has the focus")
            for wanted in (True, False):
                page.keyboard.press("Enter")
                if not _becomes(frame, f"document.activeElement.parentElement.open === {json.dumps(wanted)}"):
                    problems.append("a fold does not open and close by keyboard")
    if unvisited:
        problems.append(f"the keyboard does not reach {unvisited} folds")
    return problems


def _becomes(frame: Frame, expression: str) -> bool:
    """Whether a condition comes true soon: a browser follows links and opens folds in its own time."""
    for _ in range(SOON_MS // 50):
        if frame.evaluate(expression):
            return True
        frame.page.wait_for_timeout(50)
    return False


def _print_problems(page: Page) -> list[str]:
    page.emulate_media(media="print")
    folded = "[...document.querySelectorAll('details > :not(summary)')]"
    hidden = page.evaluate(f"{folded}.filter(e => !e.checkVisibility()).length")
    problems = [f"printed: {hidden} folds stay closed"] if hidden else []
    return problems + [f"printed: {problem}" for problem in page.evaluate(CHECKS) if "px wide" not in problem]
