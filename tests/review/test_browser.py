"""The review page in a real headless Chromium, driven by the keyboard.

Without a browser these tests are skipped, unless REQUIRE_BROWSER is set (`.ci/run` sets it): then they fail.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from cleaner.config import NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import Workspace
from tests.support.backbones import SMALL
from tests.support.browser import By, Keys, Page, browser, page
from tests.support.places import SAMPLE
from tests.support.review_server import COLORS, EVIL_LABEL, EVIL_NAME, Server, make_workspace, picture

__all__ = ["browser", "page"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, per_class=20)


def verdicts(workspace: Workspace) -> list[tuple[str, str]]:
    frame = DecisionStore(workspace.decisions_path).image_verdicts()
    return list(zip(frame["verdict"], frame["label"], strict=True))


def test_a_page_on_its_way_counts_what_is_saved_meanwhile(page: Page, workspace: Workspace) -> None:
    """The server puts a page together before it gets the last decision, and that is confirmed before the page."""
    with Server(workspace.root, "labels", "--annotator", "ann") as server:
        page.open(server.url)
        num = page.num_open()
        page.press(*"k" * (num - 1))
        page.saved()
        page.press("z")  # what was fetched ahead is out of date
        page.saved()
        page.until(lambda: page.num_open() == 2)
        page.js(
            "const wait = (ms) => new Promise((done) => setTimeout(done, ms)); const plain = window.fetch;"
            "window.fetch = async (where, how) => {"
            " if (where === '/api/decide') await wait(300);"
            " const answer = await plain(where, how);"
            " if (String(where).startsWith('/api/page')) await wait(1200);"
            " return answer; }"
        )
        page.press("k", "k")
        page.saved()
        assert page.text("#count").startswith(f"{num} of") and len(verdicts(workspace)) == num


def test_forty_images_by_keyboard_alone_through_undo_reload_and_a_killed_server(page: Page, tmp_path: Path) -> None:
    """From a bare scan: seeds on the page, a server killed in the middle, and the noise stage takes them up."""
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan

    for number, label in enumerate(("cat", "dog")):
        for i in range(24):
            path = tmp_path / "images" / label / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(COLORS[label], number * 100 + i, mode="P"))
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, tmp_path / "images", ScanSettings(near_radius=0), RunOptions())
    with Server(workspace.root, "noise-seeds", "--annotator", "ann") as server:
        page.open(server.url)
        assert page.num_open() == 24 and "?token" not in page.driver.current_url
        for i in range(23):
            page.press("d" if i % 3 == 0 else "k")
        page.saved()
        assert len(verdicts(workspace)) == 23 and page.num_open() == 1
        page.press("z", "z")
        page.saved()
        page.until(lambda: page.num_open() == 3)
        assert len(verdicts(workspace)) == 21
        page.press("k", "k", "k")  # all are decided: the next page follows
        page.saved()
        assert page.text("#count") == "24 of 48 decided" and page.num_open() == 24
        page.press("k", "d", "k", "d")
        page.saved()
        page.driver.refresh()
        page.ready()
        assert page.num_open() == 20
        assert len(verdicts(workspace)) == 28
        port = server.port
        server.kill()
        page.press("k", "d", "k", "d")  # nobody listens; the browser keeps them
        page.until(lambda: "4 actions wait" in page.text("#offline"))
    with Server(workspace.root, "noise-seeds", "--annotator", "ann", port=port) as server:
        page.until(lambda: "open the link" in page.text("#offline"))
        page.open(server.url)
        page.saved()
        page.until(lambda: page.text("#count") == "32 of 48 decided")
        page.driver.refresh()
        page.ready()
        assert page.num_open() == 16
        for i in range(8):
            page.press("d" if i % 2 else "k")
        page.saved()
        assert page.text("#count") == "40 of 48 decided"
    events = DecisionStore(workspace.decisions_path).events()
    said = events[events["verdict"] != ""]
    assert len(said) == 42 and (events["undoes_seq"].notna().sum()) == 2  # two were undone and said again
    assert len(verdicts(workspace)) == 40
    assert page.errors() == []
    run_noise(workspace, NoiseSettings(max_rounds=1, embedding=SMALL.replace(image_size=64)), RunOptions())
    manifest = workspace.read("noise")
    by_person = set(manifest.loc[manifest["noise_evidence"] == "person", "image_id"])
    in_force = DecisionStore(workspace.decisions_path).image_verdicts()
    assert by_person == set(in_force.index)
    noise = set(in_force.index[in_force["verdict"] == "noise"])
    assert set(manifest.loc[manifest["is_noise"] & (manifest["noise_evidence"] == "person"), "image_id"]) == noise


def said(workspace: Workspace) -> dict[str, list[str]]:
    """All that was ever said about each picture or class, in order."""
    events = DecisionStore(workspace.decisions_path).events()
    return events.groupby("key")["verdict"].agg(list).to_dict()


@pytest.mark.parametrize("queue", ["noise-seeds", "labels"])
def test_a_full_page_turns_and_further_keys_overwrite_nothing(page: Page, workspace: Workspace, queue: str) -> None:
    with Server(workspace.root, queue) as server:
        page.open(server.url)
        page.go(server.url, f"queue={queue}&limit=12")
        first = page.keys()
        page.press_at_once("d" * 12 + "k" * 4)  # the last four come while the page turns
        assert "decided nothing" in page.toast()
        page.saved()
        verdict = {"noise-seeds": "noise", "labels": "drop"}[queue]
        assert said(workspace) == {key: [verdict] for key in first}
        assert page.num_open() > 0 and not set(page.keys()) & set(first)
        page.press("k")
        page.saved()
        assert len(said(workspace)) == 13
    assert page.errors() == []


def test_a_decided_picture_changes_only_when_it_is_chosen_again(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "noise-found") as server:
        page.open(server.url)
        page.go(server.url, "queue=noise-found&status=all&limit=12")
        keys = page.keys()
        assert len(keys) == 8
        page.press("d", "d", "a", "k")  # `a` leaves the two that are decided
        page.saved()
        assert [said(workspace)[key] for key in keys] == [["noise"]] * 2 + [["normal"]] * 6
        page.press("d", "d")  # on the last page, which does not turn
        assert "move to it" in page.toast()
        page.press("a")
        assert "all on this page are decided" in page.toast()
        page.press("d")
        page.press(Keys.HOME, "u", "d")  # it was moved to once, so it changes once
        page.saved()
        assert said(workspace)[keys[0]] == ["noise", "unsure"]
        page.driver.find_elements(By.CSS_SELECTOR, ".card")[1].click()
        page.press("k")
        page.saved()
        assert [said(workspace)[key] for key in keys] == [["noise", "unsure"], ["noise", "normal"]] + [["normal"]] * 6
        page.driver.refresh()
        page.ready()
        page.press("d")
        assert "move to it" in page.toast()
        page.press(Keys.ARROW_RIGHT, Keys.ENTER)
        page.until(lambda: page.js("return document.getElementById('zoom').open"))
        page.press("d", "d")
        assert "move to it" in page.toast()  # above the zoomed picture
        page.press(Keys.ESCAPE)
        page.saved()
        assert said(workspace)[keys[1]] == ["noise", "normal", "noise"] and len(said(workspace)) == 8
    assert page.errors() == []


def test_a_page_turns_under_the_zoomed_picture(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        page.go(server.url, "queue=labels&limit=12")
        first = page.keys()
        page.press(Keys.ENTER)
        page.until(lambda: page.js("return document.querySelector('#zoom .large')?.naturalWidth > 0"))
        page.press_at_once("d" * 12 + "kkk")
        assert "decided nothing" in page.toast()
        page.saved()
        assert said(workspace) == {key: ["drop"] for key in first}
        shown = page.js("return document.querySelector('#zoom[open] .large').src.split('/').at(-2)")
        assert shown == page.keys()[0] not in first
        page.press("u")
        page.press(Keys.ESCAPE)
        page.until(lambda: page.js("return document.activeElement.matches('.card[data-index=\"1\"]')"))
        page.press("n")  # about the picture that was shown last, not the one where the zoom was opened
        page.saved()
        assert [said(workspace)[key] for key in page.keys()[:2]] == [["unsure"], ["noise"]]
    assert page.errors() == []


def test_undo_turns_back_to_what_it_took_back(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        page.go(server.url, "queue=labels&limit=12")
        first = page.keys()
        page.press_at_once("d" * 12)
        page.saved()
        page.press("z")
        page.until(lambda: page.keys()[:1] == first[-1:])
        page.saved()
        page.press("k")
        page.saved()
        assert said(workspace)[first[-1]] == ["drop", "", "label"]
    assert page.errors() == []


def test_labels_by_suggestion_picker_selection_and_range(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "labels") as server:
        page.open(server.url)
        first = page.text(".card .caption div")
        page.press("1")
        page.saved()
        ((verdict, label),) = verdicts(workspace)
        assert verdict == "label" and label in COLORS and label != first
        page.press("/")
        page.until(lambda: page.js("return document.activeElement.getAttribute('role') === 'combobox'"))
        page.press("ow", Keys.ENTER)
        page.saved()
        assert ("label", "owl") in verdicts(workspace)
        page.press("x", Keys.ARROW_RIGHT, "x", "n")  # two of them
        page.saved()
        assert verdicts(workspace).count(("noise", "")) == 2
        page.press_shift(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        page.press("d")
        page.saved()
        assert verdicts(workspace).count(("drop", "")) == 3
        page.press("z")  # one action, three pictures
        page.saved()
        assert verdicts(workspace).count(("drop", "")) == 0
        page.press("a", "u")
        page.saved()
        events = DecisionStore(workspace.decisions_path).events()
        assert (events["verdict"] == "unsure").sum() == 20  # the four that were decided stay as they are
        assert len(verdicts(workspace)) == 4
        assert page.text(".group h2") and page.js("return document.querySelectorAll('#panel img').length") >= 9
        page.press("?")
        page.until(lambda: page.js("return document.getElementById('help').open"))
        page.press(Keys.ESCAPE)
        page.press(Keys.ENTER)
        page.until(lambda: page.js("return document.querySelector('#zoom .large')?.naturalWidth > 0"))
        page.press(Keys.ESCAPE)
    assert page.errors() == []


def test_hostile_label_and_file_name_stay_text(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root) as server:
        page.open(server.url)
        seen = set()
        for name in ("noise-seeds", "noise-doubtful", "noise-found", "labels", "conflicts", "low-count"):
            page.go(server.url, f"queue={name}&status=all&limit=60")
            for _ in range(2):
                page.press(Keys.ARROW_RIGHT, Keys.ENTER)
                page.until(lambda: page.js("return document.getElementById('zoom').open"))
                page.press(Keys.ESCAPE)
            seen.add(EVIL_LABEL in page.text("body"))
            assert page.js("return document.querySelectorAll('img[src=x], #grid script, #panel script').length") == 0
        page.go(server.url, "queue=noise-seeds&status=all&search=newline")
        assert page.num_open() == 1
        assert EVIL_NAME in page.js("return document.querySelector('.card .described').textContent")
        assert seen == {True} or seen == {True, False}
        assert page.js("return window.pwned ?? null") is None
    assert page.errors() == []


def test_mouse_classes_and_what_a_screen_reader_hears(page: Page, workspace: Workspace) -> None:
    with Server(workspace.root, "low-count") as server:
        page.open(server.url)
        cards = page.driver.find_elements(By.CSS_SELECTOR, ".card.class")
        assert len(cards) == 4
        assert page.js("return document.getElementById('grid').getAttribute('role')") == "listbox"
        assert all(
            c.get_attribute("role") == "option" and "not decided" in c.get_attribute("textContent") for c in cards
        )
        cards[1].click()
        next(b for b in page.driver.find_elements(By.CSS_SELECTOR, "#actions button") if "Keep class" in b.text).click()
        page.saved()
        frame = DecisionStore(workspace.decisions_path).class_verdicts()
        assert frame["verdict"].tolist() == ["keep"]
        page.until(lambda: page.marks() == ["✓ keep"])
        unnamed = page.js(
            "return [...document.querySelectorAll('button, input, select')].filter((n) => n.offsetParent"
            " && !(n.textContent.trim() || n.getAttribute('aria-label') || n.labels?.length)).length"
        )
        assert unnamed == 0
        for width in (1280, 800):  # nothing sticks out sideways
            page.driver.set_window_size(width, 900)
            assert page.js("return document.documentElement.scrollWidth <= innerWidth")
    assert page.errors() == []


def test_two_hundred_looks_by_keyboard_from_a_bare_scan_to_the_goal(page: Page, sample_copy: Path) -> None:
    """One loop whole: the model learns page by page, the bar falls to the goal, and nothing is decided twice."""
    for stage in STAGES[1:]:
        shutil.rmtree(sample_copy / stage)
    workspace = Workspace(sample_copy)
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        planted = {row["file_name"] for row in csv.DictReader(file) if row["is_noise_image"] == "true"}
    rows = workspace.read("scan", ["file_name", "image_id", "keep"])
    noise = set(rows.loc[rows["file_name"].isin(planted) & rows["keep"], "image_id"])
    with Server(sample_copy, "noise") as server:
        page.open(server.url)
        assert "no estimate yet" in page.text("#left-text") and page.num_open() == 24
        answers = {key: "d" if key in noise else "k" for key in rows["image_id"]}
        for _ in range(8):
            assert page.answer_page(answers) == 24
            assert page.num_open() == 24 and "at most" in page.text("#left-text")
        for key in page.keys()[:8]:
            page.press(answers[key])
        page.saved()
        assert page.text("#count") == "200 looked at"
        assert page.text("#left-text").startswith("goal of 1 % reached: about 0.")
        assert page.js("const bar = document.getElementById('left-share'); return !bar.hidden && bar.value < 0.01")
        assert page.js("return document.getElementById('left').getBoundingClientRect().height >= 14")
        for width in (1280, 800):
            page.driver.set_window_size(width, 900)
            assert page.js("return document.documentElement.scrollWidth <= innerWidth")
    events = DecisionStore(workspace.decisions_path).events()
    assert len(events) == events["key"].nunique() == 200 and set(events["queue"]) == {"noise"}
    said = set(events.loc[events["verdict"] == "noise", "key"])
    assert said <= noise and len(said) >= 0.9 * len(noise)
    assert page.errors() == []
