"""The report in a real browser, from disk: its policy lets its own style and script run, and nothing else.

Skipped without a browser, unless REQUIRE_BROWSER is set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cleaner.report.build import write_report
from tests.support.browser import browser
from tests.support.review_server import make_workspace

__all__ = ["browser"]


@pytest.fixture
def driver(browser: Any, tmp_path: Path) -> Any:
    result = write_report(make_workspace(tmp_path, per_class=10))
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(result.html.as_uri())
    return browser


def rows(driver: Any) -> list[list[str]]:
    script = "return [...document.querySelectorAll('.sortable tbody tr')].filter(r => !r.hidden)"
    found: list[list[str]] = driver.execute_script(script + ".map(r => [...r.cells].map(c => c.textContent))")
    return found


def press(driver: Any, element: Any) -> None:
    """A click wherever the page has been scrolled to."""
    driver.execute_script("arguments[0].click()", element)


def test_the_page_opens_sorts_searches_and_enlarges(driver: Any) -> None:
    heads = driver.find_elements("css selector", ".sortable thead button")
    assert [r[0] for r in rows(driver)] == sorted(r[0] for r in rows(driver))
    press(driver, next(h for h in heads if h.text == "After"))
    sizes = [int(r[2]) for r in rows(driver)]
    assert sizes == sorted(sizes, reverse=True)
    press(driver, heads[0])
    press(driver, heads[0])
    assert [r[0] for r in rows(driver)] == sorted((r[0] for r in rows(driver)), reverse=True)
    search = driver.find_element("css selector", ".search")
    search.send_keys("OWL")
    assert [r[0] for r in rows(driver)] == ["owl"]
    assert driver.find_element("css selector", ".count").text == "1 of 4 classes"
    driver.execute_script("document.querySelector('.zoom').click()")
    dialog = driver.find_element("css selector", "dialog[open]")
    first = dialog.find_element("css selector", "img").get_attribute("src")
    driver.switch_to.active_element.send_keys("\ue014")  # arrow right
    assert dialog.find_element("css selector", "img").get_attribute("src") != first
    driver.switch_to.active_element.send_keys("\ue00c")  # escape
    assert not driver.find_elements("css selector", "dialog[open]")


def test_nothing_hostile_runs_and_the_policy_is_not_hit(driver: Any) -> None:
    assert driver.execute_script("return window.pwned") is None
    assert driver.execute_script("return getComputedStyle(document.querySelector('.tile img')).objectFit") == "contain"
    assert [e["message"] for e in driver.get_log("browser")] == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("width", [1280, 800])
def test_it_is_never_wider_than_the_window(driver: Any, width: int) -> None:
    driver.set_window_size(width, 900)
    room, wide = driver.execute_script("return [document.documentElement.clientWidth, document.body.scrollWidth]")
    assert wide <= room
