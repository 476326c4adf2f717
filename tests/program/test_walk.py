"""A new user's way by the README: looks at noise, from nothing; all stages, a review, an audit and its bound.

The program runs by its entry point and the page in a real Chromium, by keyboard; the person answers from truth.csv.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import Workspace
from tests.support.browser import Keys, Page, browser, page
from tests.support.places import SAMPLE
from tests.support.program import Program
from tests.support.review_server import Server

__all__ = ["browser", "page"]

Card = dict[str, str]
Truth = dict[str, dict[str, str]]


def read_truth(workspace: Workspace) -> Truth:
    """What is true of each content, by image_id."""
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["file_name"]: row for row in csv.DictReader(file)}
    scan = workspace.read("scan")
    pairs = zip(scan["image_id"], scan["file_name"], strict=True)
    return {key: rows[name] for key, name in pairs if key and name in rows}


def focused(page: Page) -> Card | None:
    """The card that the keys are about: image_id, given label and what the key 1 takes; None if all are decided."""
    card: Card | None = page.js(
        "const card = document.querySelector('.card[tabindex=\"0\"]:not(.decided)');"
        "return card && {key: card.querySelector('img').src.split('/').at(-2),"
        " given: card.querySelector('.caption div').textContent,"
        " first: card.querySelector('.second').textContent}"
    )
    return card


def is_open(page: Page, key: str) -> bool:
    """The page shows this picture, and nothing has been decided about it."""
    cards = "document.querySelectorAll('.card:not(.decided) .picture')"
    return bool(page.js(f"return [...{cards}].some((i) => i.src.split('/').at(-2) === arguments[0])", key))


def decide(page: Page, num: int, answer: Callable[[Card], None]) -> int:
    """Answer `num` items, or all if there are fewer, page by page, each key once it is seen; returns how many."""
    for done in range(num):
        page.ready()
        card = focused(page)
        if card is None:
            page.saved()  # it turns by itself
            if page.text(".empty"):
                return done
            card = focused(page)
        assert card is not None
        answer(card)
        page.until(lambda key=card["key"]: not is_open(page, key))
    page.saved()
    return num


def judge_label(page: Page, truth: Truth, card: Card) -> None:
    true = truth[card["key"]]
    classes = {row["given_label"] for row in truth.values()}
    if true["is_noise_image"] == "true":
        page.press("n")
    elif true["clean_label"] == card["given"]:
        page.press("k")
    elif true["clean_label"] not in classes:
        page.press("d")  # its class is not among those of this set
    elif f" {true['clean_label']} " in f" {card['first'].removeprefix('1')} ":
        page.press("1")
    else:
        page.press("/")
        page.until(lambda: page.js("return document.activeElement.getAttribute('role') === 'combobox'"))
        page.press(true["clean_label"], Keys.ENTER)


def said(workspace: Workspace, queue: str) -> pd.DataFrame:
    events = DecisionStore(workspace.decisions_path).events()
    return events[events["queue"] == queue]


def test_from_a_folder_to_an_audited_bound(page: Page, program: Program, small_images: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert program("scan", small_images / "images").exit_code == 0
    truth = read_truth(workspace)

    with Server(tmp_path, "noise") as server:
        page.open(server.url)
        assert "no estimate yet" in page.text("#left-text")
        answers = {key: "d" if row["is_noise_image"] == "true" else "k" for key, row in truth.items()}
        num = decide(page, 24, lambda c: page.press(answers[c["key"]]))
        num += sum(page.answer_page(answers) for _ in range(5))
        assert page.text("#count") == "144 looked at" and "goal of 1 % reached" in page.text("#left-text")
    seeds = said(workspace, "noise")
    assert len(seeds) == seeds["key"].nunique() == num == 144 and set(seeds["verdict"]) == {"noise", "normal"}

    assert program("noise").exit_code == 0
    noise = workspace.read("noise")
    asked = noise[noise["drop_stage"] != "scan"]  # an exact copy takes over what was said of the one that stayed
    assert set(asked.loc[asked["noise_evidence"] == "person", "image_id"]) == set(seeds["key"])
    planted = {key for key, row in truth.items() if row["is_noise_image"] == "true"}
    found = set(noise.loc[noise["is_noise"], "image_id"])
    assert len(planted & found) >= 0.9 * len(planted) and len(found - planted) <= 0.1 * len(found)

    assert program("labels", "--folds", "5").exit_code == 0
    with Server(tmp_path, "labels") as server:
        page.open(server.url)
        num = decide(page, 20, lambda c: judge_label(page, truth, c))
    assert num == len(said(workspace, "labels")) == 20
    stale = program("balance")
    assert stale.exit_code == 3 and "cleaner noise" in stale.err
    assert "cleaner noise" in program("status").out
    for stage in STAGES[1:]:
        assert program(stage).exit_code == 0
    labels, verdicts = workspace.read("labels"), DecisionStore(workspace.decisions_path).image_verdicts()
    right = verdicts.index[verdicts["verdict"] == "label"]
    by_person = set(labels.loc[labels["label_evidence"] == "person", "image_id"])
    assert set(right) <= by_person <= set(right) | set(verdicts.index[verdicts["verdict"].isin(["noise", "drop"])])

    audit = ("audit", "--sample", "40", "--sample-dropped", "5")
    assert program(*audit, "--fail-over", "0.12").exit_code == 4  # nobody has looked yet
    with Server(tmp_path, "audit") as server:
        page.open(server.url)
        num = decide(page, 200, lambda c: judge_label(page, truth, c))
        assert "All decided" in page.text(".empty") and "cleaner audit next" in page.text(".empty")
    assert num == len(said(workspace, "audit")) >= 40
    passed = program(*audit, "--fail-over", "0.12")
    assert passed.exit_code == 0 and "goal of at most 12.00% noise images: reached" in passed.out
    assert program(*audit, "--fail-over", "0.01").exit_code == 4  # 40 looks cannot show that

    assert program("report").exit_code == 0
    audited = json.loads((tmp_path / "report.json").read_text())["audit"]
    bound = audited["kept"]["noise"]["upper"]
    assert 0.04 < bound <= 0.12
    assert f"{100 * bound:.2f}\u00a0%" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.errors() == []
