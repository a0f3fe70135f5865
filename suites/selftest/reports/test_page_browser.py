"""The page in a real browser: nothing is fetched or executed, nothing overflows, axe is content."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import history, page
from suites.selftest.reports import pages

sync_api = pytest.importorskip("playwright.sync_api", reason="the group browser is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = next(filter(None, map(shutil.which, page.BROWSERS)), None)
PAGES: dict[str, Callable[[], str]] = {
    "main job": lambda: page.render([pages.main_job()]),
    "every verdict": lambda: page.render([pages.every_verdict()]),
    "fleet": lambda: page.render([pages.fleet()]),
    "failed at once": lambda: page.render([pages.failed_at_once()]),
    "hostile": lambda: page.render([pages.hostile()], [pages.PROFILE], [pages.ERRORS]),
    "history": lambda: history.render(pages.past()),
}
WIDTHS = (360, 768, 1440)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: `apt install chromium`")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_a_browser(name: str, browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(PAGES[name](), encoding="utf-8")
    said: list[str] = []
    fetched: list[str] = []
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            tab = context.new_page()
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            tab.on("request", lambda request: fetched.append(request.url))
            tab.goto(file.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            for width in WIDTHS:
                tab.set_viewport_size({"width": width, "height": 900})
                wide = tab.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{name} overflows at {width} pixels: {wide}"
            found = axe.Axe().run(tab)
            assert found.violations_count == 0, found.generate_report()
            assert tab.evaluate("window.hit") is None
            assert tab.evaluate("document.scripts.length") == 0
    assert said == []
    assert set(fetched) == {file.as_uri()}


def test_the_picture_is_of_the_page(browser: Any, tmp_path: Path) -> None:
    """Made by the command's own way, and not blank."""
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(page.render([pages.every_verdict()]), encoding="utf-8")
    page.photograph(file, picture)
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 20_000
