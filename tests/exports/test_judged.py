"""Exports of what the labels stage saw and predicted, of a real run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cleanlab import Datalab
from cleanlab.rank import get_label_quality_scores

from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.exports.cleaned import Cleaned
from cleaner.exports.export import Exported, export
from cleaner.exports.kind import ExportOptions, load_kind


def write(run: Path, kind: str, out: Path, **options: object) -> Exported:
    chosen = load_kind(kind)
    cleaned = Cleaned.open(Workspace(run), columns=chosen.columns)
    return export(cleaned, chosen, out, ExportOptions(**options))  # type: ignore[arg-type]


def test_datalab_reads_it_and_finds_what_cleaner_dropped(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = write(small_run, "datalab", out, dropped=True)
    images = pd.read_csv(out / "images.csv", keep_default_na=False)
    labels, probs = np.load(out / "labels.npy"), np.load(out / "pred_probs.npy", mmap_mode="r")
    assert len(images) == len(labels) == len(probs) == result.num_files + result.num_dropped
    assert [json.loads((out / "classes.json").read_text())[n] for n in labels] == images["clean_label"].tolist()
    assert np.allclose(probs.sum(1), 1, atol=1e-5) and probs.min() >= 0
    manifest = Workspace(small_run).read("balance").set_index("file_name").loc[images["file_name"]]
    given = probs[np.arange(len(labels)), labels]
    is_scored = (manifest["given_rank"] >= 0).to_numpy()
    wrong = manifest["drop_reason"].str.startswith("label_issue").to_numpy() & is_scored
    assert wrong.sum() >= 3 and given[wrong].mean() < given[manifest["keep"].to_numpy() & is_scored].mean() / 2
    lab = Datalab({"label": labels}, label_name="label", verbosity=0)
    features = np.load(out / "features.npy", mmap_mode="r")
    lab.find_issues(features=features, pred_probs=probs, issue_types={"label": {}, "outlier": {}})
    scores = lab.get_issues("label")["label_score"].to_numpy()
    assert np.allclose(scores, get_label_quality_scores(labels, np.asarray(probs)), atol=1e-5)
    assert lab.get_issues("label")["is_label_issue"][wrong].mean() > 0.5


def test_probabilities_as_parquet(small_run: Path, tmp_path: Path) -> None:
    result = write(small_run, "pred-probs", tmp_path / "probs.parquet")
    table = pq.read_table(tmp_path / "probs.parquet")
    probs = np.stack(table["pred_probs"].to_numpy())
    assert json.loads(table.schema.metadata[b"classes"]) == result.classes
    assert probs.shape == (result.num_files, len(result.classes)) and np.allclose(probs.sum(1), 1, atol=1e-5)
    manifest = Workspace(small_run).read("balance").set_index("file_name").loc[table["file_name"].to_pylist()]
    assert manifest["keep"].all() and (manifest["clean_label"] == table["clean_label"].to_pylist()).all()
    best = np.array(result.classes)[probs.argmax(1)]
    assert (best == manifest["predicted_label"]).mean() > 0.8, (
        "those of the last round, the column has those of the first"
    )


def test_embeddings_are_those_of_the_run(small_run: Path, tmp_path: Path) -> None:
    result = write(small_run, "embeddings", tmp_path / "seen.parquet")
    table = pd.read_parquet(tmp_path / "seen.parquet")
    seen = np.stack(table["embedding"].to_list())
    assert len(table) == result.num_files and seen.dtype == np.float32 and np.isfinite(seen).all()
    unit = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    near = unit @ unit.T - 2 * np.eye(len(unit))
    same = table["clean_label"].to_numpy()[near.argmax(1)] == table["clean_label"].to_numpy()
    assert same.mean() > 0.8


def test_without_a_labels_stage_the_next_step_is_named(small_copy: Path, tmp_path: Path) -> None:
    for stage in ("labels", "balance"):
        (small_copy / stage / "stage.json").unlink()
        (small_copy / stage).rename(small_copy / f"no_{stage}")
    with pytest.raises(BadInputError, match="cleaner labels"):
        write(small_copy, "datalab", tmp_path / "out")
    assert not (tmp_path / "out").exists()
