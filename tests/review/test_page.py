"""What the page offers around a decision: undo by name, sizes, addresses, the page of a class, other people, access."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cleaner.dataset.workspace import Workspace
from tests.support.accessibility import find_violations
from tests.support.browser import By, Keys, Page, browser, page
from tests.support.review_server import Server, make_workspace

__all__ = ["browser", "page"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("page"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """Its pictures stay where they are: the records name them."""
    return Workspace(Path(shutil.copytree(made.root, tmp_path / "work")))


def address(page: Page) -> str:
    return str(page.js("return decodeURIComponent(location.hash)"))


def button_texts(page: Page, css: str) -> list[str]:
    return [str(b.text) for b in page.driver.find_elements(By.CSS_SELECTOR, css) if b.is_displayed()]


def test_undo_names_what_it_undoes(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        given = page.text(".card .caption div")
        page.press("d")
        page.saved()
        undo = "return document.querySelector('#actions [aria-keyshortcuts=z]').title"
        assert page.js(undo) == f"undoes ✕ drop ({given})"
        page.press("x", Keys.ARROW_RIGHT, "x", "u")
        page.saved()
        assert page.js(undo) == "undoes 2 decisions"
        page.press("z")
        page.saved()
        page.until(lambda: page.toast() == "undone: 2 decisions")
        page.press("z")
        page.saved()
        page.until(lambda: page.toast() == f"undone: ✕ drop ({given})")
        assert page.js(undo) == "undoes your last decision"
    assert page.errors() == []


def test_the_zoom_has_the_verdict_the_suggestion_and_the_keys(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        page.press("n", Keys.ARROW_LEFT, Keys.ENTER)
        page.until(lambda: page.js("return document.querySelector('#zoom .large')?.naturalWidth > 0"))
        assert page.text("#zoom .mark") == "◌ noise" and "→" in page.text("#zoom p")
        texts = " ".join(button_texts(page, "#zoom .decide button"))
        assert all(word in texts for word in ("Keep label", "Drop", "Noise", "Unsure", "Label…"))
        before = page.js("return document.querySelector('#zoom .large').src")
        next(b for b in page.driver.find_elements(By.CSS_SELECTOR, "#zoom .decide button") if "Drop" in b.text).click()
        page.saved()
        assert page.js("return document.querySelector('#zoom .large').src") != before  # the next one, still large
        page.press(Keys.SPACE)  # closes it: no button that decides has the keys by chance
        page.until(lambda: not page.js("return document.getElementById('zoom').open"))
        assert page.text("#count").startswith("1 of")
    assert page.errors() == []


def test_sizes_are_kept_and_buttons_stay_on_one_line(page: Page, workspace: Workspace) -> None:
    side = "return document.querySelector('.card .picture').getBoundingClientRect().height"
    with Server(workspace.root, "labels") as server:
        page.driver.set_window_size(1280, 900)
        page.open(server.url)
        for wanted in (320, 120):
            page.js(
                "const slider = document.getElementById('side'); slider.value = arguments[0];"
                "slider.dispatchEvent(new Event('input', {bubbles: true}))",
                wanted,
            )
            assert page.js(side) == wanted
        page.driver.refresh()
        page.ready()
        assert page.js(side) == 120
        rows = "return new Set([...document.querySelectorAll(arguments[0])].filter((b) => b.offsetParent)"
        rows += ".map((b) => Math.round(b.getBoundingClientRect().top))).size"
        page.press(Keys.ARROW_RIGHT)
        assert page.js(rows, "footer button") == 1
        page.driver.set_window_size(800, 900)
        cut = "return [...document.querySelectorAll('header *, footer *')].filter((n) => n.offsetParent"
        cut += " && n.getBoundingClientRect().right > innerWidth + 1).length"
        assert page.js(cut) == 0
        page.js("localStorage.clear()")
        page.driver.set_window_size(1280, 900)
    assert page.errors() == []


def test_links_back_and_the_page_of_a_class(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        assert "queue=labels" in address(page)
        page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#panel .link"))
        label = page.text("#panel .link")
        page.driver.find_element(By.CSS_SELECTOR, "#panel .link").click()
        page.until(lambda: f"queue=class:{label}" in address(page).replace("+", " "))
        page.ready()
        page.until(lambda: "images," in page.text("#panel h2"))
        assert page.text("nav [aria-current]").startswith(f"All of {label}")
        scores = page.js("return [...document.querySelectorAll('.card')].length")
        assert scores > 12  # all its images, not the doubted ones alone
        assert page.driver.find_elements(By.CSS_SELECTOR, "#panel .neighbour img")
        page.press("d")
        page.saved()
        assert page.marks() == ["✕ drop"]
        page.driver.back()
        page.until(lambda: "queue=labels" in address(page))
        page.ready()
        assert page.text("nav [aria-current]").startswith("Labels")
        page.driver.forward()
        page.until(lambda: page.text("nav [aria-current]").startswith("All of"))
        page.ready()
        page.js("location.hash = 'queue=noise-found&status=all'")  # a link that somebody sent
        page.until(lambda: page.text("nav [aria-current]").startswith("Noise found"))
        page.ready()
        assert page.js("return document.getElementById('status').value") == "all"
        page.go(server.url, "queue=disagreements")
        assert "It fills when two people judge the same picture differently." in page.text(".empty")
        page.js("location.hash = 'queue=class:no such class'")
        page.until(lambda: "there is no class" in page.text("#offline"))


def test_two_people_see_each_others_decisions(page: Page, workspace: Workspace) -> None:
    with (
        Server(workspace.root, "labels", "--annotator", "ann") as server,
        Server(workspace.root, "--annotator", "ben") as other,
    ):
        page.open(server.url)
        items = other.enter().get("/api/page", queue="labels")["items"]
        assert [i["key"] for i in items[:2]] == page.keys()[:2]
        other.decide("labels", items[1], "noise")
        page.until(lambda: page.text(".card .others") == "ben: ◌ noise")
        assert page.marks() == []  # it is not mine
        undone = {"queue": "labels", "request_id": "d" * 32, "target": ""}
        assert other.post("/api/undo", undone)[0] == 200
        page.until(lambda: page.text(".card .others") == "")
        for _ in range(12):
            page.press("k")
        page.saved()
        assert " a minute" in page.text("#pace") and "min left" in page.text("#pace")
        theirs = {
            i["key"]: i["others"] for i in other.get("/api/page", queue="labels", status="all", limit=60)["items"]
        }
        assert sum(said[0]["annotator"] == "ann" for said in theirs.values() if said) == 12
        news = other.get("/api/news", after=0)
        assert len(news["said"]) == 12 and other.get("/api/news", after=news["seq"])["said"] == []
    assert page.errors() == []


def test_axe_finds_nothing_wrong(page: Page, workspace: Workspace) -> None:
    """Names, roles, contrast (AA), in light and dark: of pictures, classes, the zoom, the picker and the keys."""
    with Server(workspace.root, "labels", "--annotator", "ann") as server:
        page.open(server.url)
        page.press("d", "k", "u", "n", "1")
        page.saved()
        page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#panel img"))
        for dark in (False, True):
            assert find_violations(page, dark=dark) == []
        for key, name in ((Keys.ENTER, "zoom"), ("/", "picker"), ("?", "help")):
            page.press(key)
            page.until(lambda name=name: page.js("return document.getElementById(arguments[0]).open", name))
            for dark in (False, True):
                assert find_violations(page, dark=dark) == [], name
            page.press(Keys.ESCAPE)
        page.go(server.url, "queue=low-count")
        assert find_violations(page) == []
        page.go(server.url, "queue=disagreements")
        assert find_violations(page) == []
