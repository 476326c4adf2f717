"""What people say on the page is in the next run, on exactly the rows that they spoke of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.review.catalogue import Catalogue, load_catalogue
from cleaner.review.ledger import Ledger
from cleaner.review.queue import Queue, Sources
from cleaner.review.queues import find_kind
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from tests.support.backbones import SMALL
from tests.support.review_server import Server, make_workspace


def say_all(server: Server, queue: str, verdicts: list[tuple[str, str]], num: int) -> dict[str, tuple[str, str]]:
    """Give the first `num` items of a queue the verdicts (verdict, label) in turn; by key what was said."""
    items = server.get("/api/page", queue=queue, limit=60)["items"][:num]
    assert len(items) == num, f"{queue} has only {len(items)} items"
    spoken = {}
    for i, item in enumerate(items):
        verdict, label = verdicts[i % len(verdicts)]
        server.decide(queue, item, verdict, label)
        spoken[item["key"]] = (verdict, item["given"] if label == "=" else label)
    return spoken


def of_person(rows: pd.DataFrame, column: str, key: str = "image_id") -> set[str]:
    return set(rows.loc[rows[column] == "person", key])


def test_fifty_images_and_ten_classes_become_evidence_person_and_nothing_else(
    small_images: Path, small_copy: Path
) -> None:
    workspace = Workspace(small_copy)
    classes = sorted(set(workspace.read("scan")["label"]))
    with Server(small_copy) as server:
        server.enter()
        about_noise = say_all(server, "noise-seeds", [("noise", ""), ("normal", ""), ("normal", "")], 20)
        about_labels = say_all(server, "labels", [("label", "="), ("label", classes[0]), ("drop", "")], 15)
        found = say_all(server, "noise-found", [("label", "="), ("normal", ""), ("noise", "")], 15)
        of_classes = say_all(server, "low-count", [("keep", ""), ("keep", ""), ("drop", "")], 10)
    said = {**about_noise, **about_labels, **found}  # an image's last verdict is the one in force
    seeds = str(small_images / "seeds.csv")
    run_noise(workspace, NoiseSettings(embedding=SMALL, seeds=seeds), RunOptions())
    run_labels(workspace, LabelsSettings(embedding=SMALL), RunOptions())
    run_balance(workspace, BalanceSettings(embedding=SMALL), RunOptions())
    rows = workspace.read("balance")
    assert len(said) == 50
    by_noise, by_labels = of_person(rows, "noise_evidence"), of_person(rows, "label_evidence")
    assert by_noise | by_labels == set(said)
    assert {key for key, (verdict, _) in said.items() if verdict in ("noise", "normal")} <= by_noise
    assert {key for key, (verdict, _) in said.items() if verdict in ("label", "drop")} == by_labels
    dropped = rows[(rows["drop_stage"] == "labels") & (rows["drop_reason"] == "person")]
    assert set(dropped["image_id"]) == {key for key, (verdict, _) in said.items() if verdict == "drop"}
    labelled = rows[rows["image_id"].isin([k for k, (v, _) in said.items() if v == "label"])]
    assert labelled["clean_label"].tolist() == [said[key][1] for key in labelled["image_id"]]
    table = pd.read_parquet(small_copy / "balance" / "classes.parquet")
    assert of_person(table, "evidence", "label") == set(of_classes)
    action = table.set_index("label")["action"]
    assert {key: action[key] for key in of_classes} == {key: verdict for key, (verdict, _) in of_classes.items()}


def make_queue(name: str, workspace: Workspace, catalogue: Catalogue) -> Queue:
    kind, ledger = find_kind(name), Ledger(DecisionStore(workspace.decisions_path), "ann")
    return kind.find(kind, Sources(workspace, catalogue, ledger))


def test_label_issues_come_by_what_a_look_mends_where_the_manifest_has_probabilities(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, per_class=6)
    catalogue = load_catalogue(workspace)
    issue = (catalogue.rows["label_issue"] != "").to_numpy()
    probs = np.where(issue, np.linspace(0.3, 1, len(issue)), np.nan).astype(np.float32)
    first = np.flatnonzero(issue)[0]
    probs[first] = np.nan
    dropped = issue & (np.cumsum(issue) % 2 == 0)
    catalogue.rows["keep"] &= ~dropped
    reason = np.where(dropped, "label_issue_fine", catalogue.rows["drop_reason"])
    catalogue = replace(catalogue, rows=catalogue.rows.assign(label_issue_prob=probs, drop_reason=reason))
    queue = make_queue("labels", workspace, catalogue)
    assert queue.score_name == "probability of a wrong label"
    kept = catalogue.rows["keep"].to_numpy()[queue.items["row"]]
    is_wrong = np.where(kept, queue.items["score"], 1 - queue.items["score"])[:-1].astype(float)
    odds = np.log2(is_wrong.clip(0.001, 0.999) / (1 - is_wrong.clip(0.001, 0.999)))
    assert len(odds) > 5 and kept[:-1].any() and not kept[:-1].all()
    assert (np.diff(np.floor(odds)) <= 0).all()
    assert queue.items["score"].isna().tolist() == [False] * len(odds) + [True]
    assert "wrong label: " in " ".join(queue.facts(0))


def test_the_calibration_queue_is_a_blind_sample_of_every_tenth(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, per_class=40)
    catalogue = load_catalogue(workspace)
    absent = make_queue("calibration", workspace, catalogue)
    assert "cleaner labels" in absent.absent and not len(absent.items)
    num = len(catalogue.rows)
    probs = np.random.default_rng(0).beta(0.3, 1, num).astype(np.float32)
    probs[::7] = np.nan
    with_probs = replace(catalogue, rows=catalogue.rows.assign(label_issue_prob=probs))
    queue = make_queue("calibration", workspace, with_probs)
    assert queue.items["score"].isna().all() and not queue.facts(0)
    drawn = probs[queue.items["row"]]
    assert not np.isnan(drawn).any()
    tenths, there = ([int((p * 10).clip(0, 9)) for p in values if p == p] for values in (drawn, probs))
    assert all(tenths.count(t) <= min(30, there.count(t)) for t in range(10)) and tenths.count(0) == 30
    assert abs(np.corrcoef(np.arange(len(drawn)), drawn)[0, 1]) < 0.4  # not in the order of the probability
    again = make_queue("calibration", workspace, with_probs)
    assert again.items.equals(queue.items)
