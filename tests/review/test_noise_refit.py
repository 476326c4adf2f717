"""The queue `noise`: what is asked next, what is likely left and what is left at most, on a real small set."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cleaner.config import NoiseSettings, RunOptions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import Workspace
from cleaner.review.ledger import Ledger
from cleaner.review.noise_refit import NoiseRefit
from tests.support.backbones import SMALL
from tests.support.places import SAMPLE
from tests.support.program import Program
from tests.support.review_server import Server


@pytest.fixture
def scanned(small_copy: Path) -> Workspace:
    """After the scan alone, with the embeddings cached."""
    for stage in STAGES[1:]:
        shutil.rmtree(small_copy / stage)
    return Workspace(small_copy)


@pytest.fixture
def is_noise(scanned: Workspace) -> dict[str, bool]:
    """The truth by image_id."""
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        noise = {row["file_name"] for row in csv.DictReader(file) if row["is_noise_image"] == "true"}
    rows = scanned.read("scan", ["file_name", "image_id"])
    return {i: name in noise for name, i in zip(rows["file_name"], rows["image_id"], strict=True)}


@pytest.fixture
def refit(scanned: Workspace) -> NoiseRefit:
    return NoiseRefit.open(scanned, NoiseSettings(embedding=SMALL), RunOptions())


Answer = Callable[[int], list[str]]


@pytest.fixture
def answer(scanned: Workspace, refit: NoiseRefit, is_noise: dict[str, bool]) -> Answer:
    """Answer the next page of that many pictures by the truth; returns what was asked."""
    store = DecisionStore(scanned.decisions_path)
    ledger = Ledger(store, "ann")

    def ask(num: int) -> list[str]:
        ledger.refresh()
        asked = [refit.keys[i] for i in refit.choose(refit.follow(ledger), num).rows]
        for key in asked:
            store.add("image", key, "noise" if is_noise[key] else "normal", queue="noise", annotator="ann")
        ledger.refresh()
        refit.follow(ledger)
        return asked

    return ask


def test_noise_is_found_and_counted_down_to_the_goal(
    refit: NoiseRefit, answer: Answer, is_noise: dict[str, bool]
) -> None:
    before = refit.last_fit
    assert before.left is None and not before.is_reached and before.bound == 1
    num_noise = sum(is_noise[key] for key in refit.keys)
    asked = [key for _ in range(6) for key in answer(24)]
    assert len(asked) == len(set(asked)) == 144
    fit = refit.last_fit
    known = set(asked)
    found = {k for k, p in zip(refit.keys, fit.noise_prob, strict=True) if (is_noise[k] if k in known else p > 0.9)}
    left = sum(is_noise[key] for key in refit.keys if key not in found)
    assert fit.is_reached and fit.left is not None and fit.left <= 0.01
    assert left / len(refit.keys) <= 0.01 and num_noise >= 20
    unanswered = sum(is_noise[key] for key in refit.keys if key not in known)
    assert unanswered <= fit.bound * len(refit.keys) and 0 < fit.bound < 0.3 and fit.num_random >= 20
    while answer(60):
        pass
    assert refit.last_fit.bound == refit.last_fit.left == 0  # all is known


def test_a_restart_and_another_process_say_the_same(scanned: Workspace, refit: NoiseRefit, answer: Answer) -> None:
    answer(24)
    answer(24)
    again = NoiseRefit.open(scanned, NoiseSettings(embedding=SMALL), RunOptions())
    assert again.last_fit.bound == refit.last_fit.bound and again.last_fit.num_random == refit.last_fit.num_random > 0
    assert np.array_equal(again.last_fit.noise_prob, refit.last_fit.noise_prob)
    assert np.array_equal(again.choose(again.last_fit, 24).rows, refit.choose(refit.last_fit, 24).rows)


def test_every_answer_counts_once_and_an_undone_one_is_asked_again(scanned: Workspace, refit: NoiseRefit) -> None:
    store, ledger = DecisionStore(scanned.decisions_path), Ledger(DecisionStore(scanned.decisions_path), "ann")
    first, second, third, fourth = (refit.keys[i] for i in refit.choose(refit.last_fit, 4).rows)
    store.add("image", first, "unsure", annotator="ann")
    store.add("image", second, "label", label="harbour", annotator="bob", queue="labels")
    seq = store.add("image", third, "noise", annotator="ann")
    store.add("image", fourth, "drop", annotator="ann")
    ledger.refresh()
    fit = refit.follow(ledger)
    assert fit.is_answered.sum() == 4
    asked = {refit.keys[i] for i in refit.choose(fit, len(refit.keys)).rows}
    assert asked == set(refit.keys) - {first, second, third, fourth}
    store.undo(seq, "ann")
    ledger.refresh()
    assert refit.follow(ledger).is_answered.sum() == 3
    assert refit.follow(ledger) is refit.last_fit  # nothing was decided since


def test_what_nobody_is_sure_of_counts_as_noise_in_the_bound(scanned: Workspace) -> None:
    """Random looks alone, the same ones, called normal, unsure, or once noise and once normal."""
    settings, bounds = NoiseSettings(embedding=SMALL), {}
    first = NoiseRefit.open(scanned, settings, RunOptions())
    asked = [first.keys[i] for i in first.last_fit.open_random[:7]]
    for name, verdicts in (("normal", ["normal"]), ("unsure", ["unsure"]), ("disputed", ["noise", "normal"])):
        scanned.decisions_path.unlink(missing_ok=True)
        store = DecisionStore(scanned.decisions_path)
        for key in asked:
            for number, verdict in enumerate(verdicts):
                store.add("image", key, verdict, annotator=f"person {number}")
        bounds[name] = NoiseRefit.open(scanned, settings, RunOptions()).last_fit
    assert {fit.num_random for fit in bounds.values()} == {7}
    assert bounds["unsure"].bound == bounds["disputed"].bound > bounds["normal"].bound


def test_seeds_of_a_file_are_learned_from_and_not_asked(scanned: Workspace, small_images: Path) -> None:
    settings = NoiseSettings(embedding=SMALL, seeds=str(small_images / "seeds.csv"))
    refit = NoiseRefit.open(scanned, settings, RunOptions())
    with (small_images / "seeds.csv").open(newline="") as file:
        names = [row["file_name"] for row in csv.DictReader(file)]
    rows = scanned.read("scan", ["file_name", "image_id"]).set_index("file_name")["image_id"]
    assert not set(rows[names]) & set(refit.keys) and refit.last_fit.left is None
    assert (refit.last_fit.noise_prob > 0.9).sum() >= 10


def test_pages_over_http_follow_the_answers(scanned: Workspace, is_noise: dict[str, bool]) -> None:
    with Server(scanned.root, "noise", "--annotator", "ann") as server:
        server.enter()
        seen: list[str] = []
        for number in range(4):
            page = server.get("/api/page", queue="noise", limit=24)
            assert page["is_chosen"] and page["next"] is None
            assert {i["reason"] for i in page["items"]} == {"likely", "telling", "random"}
            assert [i["key"] for i in server.get("/api/page", queue="noise", limit=24)["items"]] == [
                i["key"] for i in page["items"]
            ]
            for item in page["items"]:
                assert any(f.startswith("noise ") for f in item["facts"]) == (item["reason"] != "random")
                server.decide("noise", item, "noise" if is_noise[item["key"]] else "normal")
            seen += [i["key"] for i in page["items"]]
            assert len(seen) == len(set(seen)) == 24 * (number + 1)
        page = server.get("/api/page", queue="noise", limit=12)
        assert page["done"] == 96 and page["left"]["share"] is not None and page["left"]["num_random"] >= 10
        queues = {q["name"]: q for q in server.get("/api/state")["queues"]}
        assert queues["noise"]["is_reached"] == page["left"]["is_reached"]
        # the older queues are filters of it, before `cleaner noise` has run
        found = server.get("/api/page", queue="noise-found", status="all", limit=60)["items"]
        assert found and all(item["score"] > 0.9 for item in found)
        assert not queues["noise-found"]["absent"]
        by_class = server.get("/api/page", queue="noise", label=page["items"][0]["given"], limit=60)
        assert not by_class["is_chosen"] and {i["given"] for i in by_class["items"]} == {page["items"][0]["given"]}


def test_a_program_follows_the_queue(scanned: Workspace, is_noise: dict[str, bool], program: Program) -> None:
    ids = scanned.read("scan", ["file_name", "image_id"]).set_index("file_name")["image_id"]
    seen: list[str] = []
    while True:
        asked = program("queue", "noise", "-C", scanned.root, "--limit", 60, "--json").document("queue")
        if not asked:
            break
        assert {item["reason"] for item in asked} <= {"likely", "telling", "random"}
        for verdict in (True, False):
            names = [item["file_name"] for item in asked if is_noise[ids[item["file_name"]]] == verdict]
            if names:
                done = program("decide", *names, "--noise" if verdict else "--normal", "-C", scanned.root)
                assert done.exit_code == 0
            seen += names
    assert len(seen) == len(set(seen)) >= 230
    assert program("noise", "-C", scanned.root).exit_code == 0
    rows = scanned.read("noise")
    assert set(rows.loc[rows["is_noise"], "file_name"]) == {name for name in seen if is_noise[ids[name]]}


def test_without_features_the_queue_says_how_to_get_them(scanned: Workspace) -> None:
    with Server(scanned.root, "noise-seeds") as server:
        state = server.enter().get("/api/state")
        assert "cleaner review noise" in next(q for q in state["queues"] if q["name"] == "noise")["absent"]
