"""The queue `labels` follows the verdicts: on a real small set, without a new run and without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.review.catalogue import load_catalogue
from cleaner.review.label_refit import LabelRefit
from cleaner.review.ledger import Ledger
from cleaner.review.listing import list_open
from tests.support.review_server import Server


@pytest.fixture
def labelled(small_copy: Path) -> Workspace:
    """After the labels stage."""
    shutil.rmtree(small_copy / "balance")
    return Workspace(small_copy)


def open_refit(workspace: Workspace) -> LabelRefit:
    refit = LabelRefit.open(workspace, load_catalogue(workspace))
    assert refit is not None
    return refit


def read(workspace: Workspace) -> Ledger:
    ledger = Ledger(DecisionStore(workspace.decisions_path), "ann")
    ledger.refresh()
    return ledger


def test_without_a_verdict_it_says_what_the_run_said(labelled: Workspace) -> None:
    rows = labelled.read("labels")
    fit = open_refit(labelled).follow(read(labelled))
    assert np.allclose(fit.issue_prob, rows["label_issue_prob"], atol=1e-4, equal_nan=True)
    judged = rows["label_issue_prob"].notna().to_numpy()
    assert (fit.suggested[judged] == rows["suggested_label"].to_numpy()[judged]).all()
    dropped = (rows["drop_stage"] == "labels") & rows["drop_reason"].str.startswith("label_issue")
    conflict = (rows["drop_reason"] == "label_conflict").to_numpy()  # another copy was the better one
    assert (fit.would_drop == dropped.to_numpy())[~conflict].all() and dropped.any()


def test_verdicts_teach_it_and_an_undone_one_is_forgotten(labelled: Workspace) -> None:
    refit, store = open_refit(labelled), DecisionStore(labelled.decisions_path)
    first = refit.follow(read(labelled))
    rows = labelled.read("labels")
    seen = np.flatnonzero(first.would_drop)[:12]
    assert len(seen) == 12
    seqs = [store.add("image", rows["image_id"][row], "label", label=rows["label"][row]) for row in seen]
    fit = refit.follow(read(labelled))
    assert not fit.would_drop[seen].any(), "what a person called right stays"
    rest = np.setdiff1d(np.flatnonzero(first.would_drop), seen)
    assert fit.issue_prob[rest].mean() < first.issue_prob[rest].mean(), "twelve of twelve were right"
    assert refit.follow(read(labelled)) is fit  # nothing was decided since
    for seq in seqs:
        store.undo(seq)
    assert np.allclose(refit.follow(read(labelled)).issue_prob, first.issue_prob, equal_nan=True)


def test_a_class_that_the_run_did_not_know_says_that_the_label_is_wrong(labelled: Workspace) -> None:
    rows, refit = labelled.read("labels"), open_refit(labelled)
    sound = np.flatnonzero(rows["label_issue_prob"] < 0.01)[:40]
    before = refit.follow(read(labelled)).issue_prob
    store = DecisionStore(labelled.decisions_path)
    for row, (verdict, label) in zip(sound, [("label", "a new class"), ("noise", ""), ("drop", "")] * 13, strict=False):
        store.add("image", rows["image_id"][row], verdict, label=label)
    after = refit.follow(read(labelled)).issue_prob
    rest = np.setdiff1d(np.flatnonzero(~np.isnan(before)), sound)
    assert after[rest].mean() > before[rest].mean() + 0.02


def test_the_queue_is_ordered_anew_after_each_page(labelled: Workspace) -> None:
    with Server(labelled.root, "labels") as server:
        server.enter()
        before = server.get("/api/page", queue="labels", limit=12)
        assert before["learns"] and not before["is_chosen"] and before["next"] == 12
        following = [i["key"] for i in server.get("/api/page", queue="labels", start=12, limit=12)["items"]]
        for item in before["items"]:
            server.decide("labels", item, "label", "=")
        after = server.get("/api/page", queue="labels", limit=12)
        assert not {i["key"] for i in after["items"]} & {i["key"] for i in before["items"]}
        assert [i["key"] for i in after["items"]] != following, "the probabilities are new"
        assert not server.get("/api/page", queue="labels", status="mine", limit=12)["learns"]
    listed = list_open(labelled, "labels", 12).items
    rows = labelled.read("labels", ["file_name", "image_id"]).drop_duplicates("image_id").set_index("image_id")
    assert [i.file_name for i in listed] == [rows.loc[i["key"], "file_name"] for i in after["items"]]
    assert [i.probability for i in listed] == [i["score"] for i in after["items"]]


def test_listing_it_loads_no_torch(labelled: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from cleaner.dataset.workspace import Workspace\n"
        "from cleaner.review.listing import list_open\n"
        "assert list_open(Workspace(Path(sys.argv[1])), 'labels', 5).items\n"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(labelled.root)], check=True)
