"""How long the report of a large workspace takes: `python benchmarks/report_scale.py [--images 500000]`.

Makes a workspace of so many rows over 5,000 classes with a long tail, with stage records, rounds, decisions and an
answered audit; the images behind it are 100 photograph-like JPEGs of 1600 x 1200, reached under many names through
linked folders, and decoded anew each time. One table: seconds and peak memory (RssAnon, sampled) of `report`, `status`
and `queue`, each in a process of its own (of `export`: table_scale.py).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.audit.draw import open_audit
from cleaner.dataset.audits import load_open_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.manifest import drop_rows, with_stage_columns, write_manifest, write_table
from cleaner.dataset.stage_tables import CLASSES
from cleaner.dataset.workspace import Input, StageRecord, Workspace
from cleaner.stages.stage_run import row_counts

POOL = 100


def make_images(root: Path, num_classes: int, size: tuple[int, int]) -> list[str]:
    """Folders of all classes, each a link to one pool of images; returns the image_ids of the pool."""
    rng = np.random.default_rng(0)
    pool = root.parent / "pool"
    pool.mkdir(parents=True)
    root.mkdir(parents=True)
    ids = []
    for i in range(POOL):
        small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        grain = rng.normal(0, 9, (size[1], size[0], 1))
        picture = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)) + grain
        path = pool / f"{i:03d}.jpg"
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=88)
        ids.append(hashlib.sha256(path.read_bytes()).hexdigest())
    for c in range(num_classes):
        (root / f"class_{c:05d}").symlink_to(pool, target_is_directory=True)
    return ids


def make_manifest(num: int, num_classes: int, ids: list[str]) -> pd.DataFrame:
    """Rows as all four stages would leave them, with all reasons."""
    rng = np.random.default_rng(1)
    weights = 1 / (np.arange(num_classes) + 50)
    label = np.sort(rng.choice(num_classes, num, p=weights / weights.sum()))
    order = np.arange(num)
    names = np.array([f"class_{c:05d}" for c in range(num_classes)], dtype=object)
    picture = order % POOL
    # the same picture under several names of the folder: `a/../a/` would not do, `a/./././007.jpg` does
    first = np.searchsorted(label, label)
    turn = (order - first) // POOL
    file_name = np.array(
        [f"{names[c]}/{'./' * t}{p:03d}.jpg" for c, t, p in zip(label, turn, picture, strict=True)], dtype=object
    )
    frame = pd.DataFrame({"file_name": file_name, "image_id": np.array(ids, dtype=object)[picture]})
    frame["keep"], frame["drop_stage"], frame["drop_reason"] = True, "", ""
    frame["clean_label"] = frame["label"] = names[label]
    frame["split"], frame["width"], frame["height"] = "train", np.int32(1600), np.int32(1200)
    frame["mode"], frame["format"], frame["file_bytes"] = "RGB", "JPEG", np.int64(400_000)
    frame["readable"], frame["fault"] = rng.random(num) > 0.002, ""
    frame.loc[~frame["readable"], "fault"] = "truncated"
    group = np.where(rng.random(num) < 0.06, rng.integers(0, max(1, num // 40), num), -1)
    frame["duplicate_group"] = group.astype(np.int64)
    frame["duplicate_kind"] = np.where(group < 0, "", np.where(group % 2 == 0, "near", "exact")).astype(object)
    frame["label_conflict"] = (group >= 0) & (group % 7 == 1)
    drop_rows(frame, ~frame["readable"].to_numpy(), "scan", "unreadable")
    drop_rows(frame, (group % 14 == 3) & (rng.random(num) < 0.5), "scan", "exact_duplicate")
    return _balance(_labels(_noise(frame, rng), names, rng), rng)


def _noise(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    num = len(frame)
    frame = with_stage_columns(frame, "noise")
    is_noise = rng.random(num) < 0.08
    frame["noise_prob"] = np.where(is_noise, rng.beta(9, 0.6, num), rng.beta(0.3, 12, num)).astype(np.float32)
    seed = rng.random(num) < 0.02
    frame["is_noise"] = np.where(seed, is_noise, frame["noise_prob"] > 0.9)
    frame["noise_evidence"] = np.where(seed, "seed", "model").astype(object)
    frame["noise_round"] = np.where(seed, 0, np.where(frame["is_noise"], 1, -1)).astype(np.int16)
    drop_rows(frame, frame["is_noise"].to_numpy(), "noise", "noise_image")
    return frame


def _labels(frame: pd.DataFrame, names: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    num = len(frame)
    judged = frame["keep"].to_numpy()
    frame = with_stage_columns(frame, "labels")
    issue = rng.random(num)
    kind = np.where(issue < 0.08, "coarse", np.where(issue < 0.2, "fine", "")).astype(object)
    frame["label_issue"] = np.where(judged, kind, "")
    frame["predicted_label"] = np.where(
        judged, np.where(kind == "", frame["label"], names[rng.integers(0, len(names), num)]), ""
    )
    frame["given_rank"] = np.where(judged, np.where(kind == "", 0, rng.integers(1, 400, num)), -1).astype(np.int32)
    for name in ("self_confidence", "predicted_confidence"):
        frame[name] = np.where(judged, rng.random(num), np.nan).astype(np.float32)
    frame["pulled_back_round"] = np.where(judged & (kind == "") & (rng.random(num) < 0.02), 1, 0).astype(np.int16)
    drop_rows(frame, (frame["label_issue"] == "coarse").to_numpy(), "labels", "label_issue_coarse")
    drop_rows(frame, frame["label_conflict"].to_numpy() & (rng.random(num) < 0.5), "labels", "label_conflict")
    return frame


def _balance(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    frame = with_stage_columns(frame, "balance")
    jumbled = frame["clean_label"].isin(sorted(set(frame["clean_label"]))[::97])
    drop_rows(frame, jumbled.to_numpy() & (rng.random(len(frame)) < 2), "balance", "jumbled_class")
    frame["class_action"] = np.where(jumbled, "drop", "keep").astype(object)
    frame["repeats"] = np.where(frame["keep"], rng.integers(1, 4, len(frame)), 0).astype(np.int32)
    return frame


def make_workspace(
    root: Path, num: int = 500_000, num_classes: int = 5_000, *, size: tuple[int, int] = (1600, 1200)
) -> Workspace:
    """A workspace with all stages complete over made-up rows, an open audit, and decisions."""
    workspace = Workspace(root / "work")
    images = root / "images"
    manifest = make_manifest(num, num_classes, make_images(images, num_classes, size))
    parent = ""
    for stage in ("scan", "noise", "labels", "balance"):
        folder = workspace.begin(stage)
        rows = manifest if stage == "balance" else manifest.head(1000)  # only the last one is read
        write_manifest(folder / "manifest.parquet", rows, stage=stage, parent_sha256=parent)
        files = ["manifest.parquet"]
        if stage == "balance":
            write_table(folder / "classes.parquet", _classes(manifest), CLASSES["balance"].schema)
            files.append("classes.parquet")
        inputs = [Input("parent", f"{_before(stage)}/manifest.parquet", parent)] if parent else []
        record = StageRecord(
            stage=stage,
            settings=_settings(stage),
            seed=0,
            images_root=str(images),
            inputs=inputs,
            outputs={},
            counts=row_counts(rows, stage),
            backbone={},
            device="cpu",
            threads=2,
            seconds=1.0,
            notes=_notes(stage),
        )
        parent = workspace.write_record(record, files).outputs["manifest.parquet"]
    return workspace


def answer_audit(workspace: Workspace, rng: np.random.Generator) -> None:
    """Draw an audit, and let somebody answer it."""
    open_audit(workspace, None, num_kept=300, num_dropped=50, goal=0.01, seed=0)
    events = [
        Event(kind="image", key=i, verdict="label", label=label if rng.random() > 0.1 else "other", queue="audit")
        for i, label in load_open_sample(workspace)[["image_id", "label"]].drop_duplicates("image_id").to_numpy()
    ]
    DecisionStore(workspace.decisions_path).merge(events)


def _before(stage: str) -> str:
    return {"noise": "scan", "labels": "noise", "balance": "labels"}[stage]


def _settings(stage: str) -> dict[str, object]:
    return {"noise": {"threshold": 0.9, "doubtful": 0.5}, "labels": {"folds": 5, "top_k": [5, 1]}}.get(stage, {})


def _notes(stage: str) -> dict[str, object]:
    rounds = [
        {"round": i + 1, "found": 9, "new": n, "left": 0, "prior": 0.08} for i, n in enumerate((9000, 800, 60, 0))
    ]
    positives = [{"round": i, "recipe": "plain", "judged": 9, "positive": n} for i, n in enumerate((9000, 800, 60, 0))]
    passes = [{"pass": "coarse", "top_k": 5, "judged": 9999, "stable": True, "rounds": positives}]
    seeds = {"source": "file", "noise": 900, "normal": 9000}
    return {"noise": {"rounds": rounds, "seeds": seeds, "stopped": "stable"}, "labels": {"passes": passes}}.get(
        stage, {}
    )


def _classes(manifest: pd.DataFrame) -> pd.DataFrame:
    sizes = manifest["label"].value_counts().sort_index()
    dropped = manifest.loc[manifest["class_action"] == "drop", "clean_label"].unique()
    frame = pd.DataFrame({"label": sizes.index.astype(object), "size_raw": sizes.to_numpy()})
    frame["size_clean"] = frame["size_raw"] // 2
    for field in CLASSES["balance"].schema:
        if field.name not in frame:
            frame[field.name] = np.nan if str(field.type) == "float" else ""
    for name, value in (("oof_accuracy", 0.8), ("share_kept", 0.5), ("coherence_p", 0.4), ("rank_p", 0.001)):
        frame[name] = value
    frame["action"] = np.where(frame["label"].isin(dropped), "drop", "keep").astype(object)
    frame["evidence"], frame["sum_repeats"] = "model", frame["size_clean"]
    return frame


def main() -> None:
    from memory_watch import apart, run_watched  # beside this file; tests load the file alone

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=5_000)
    parser.add_argument("--keep", type=Path, help="make the workspace here and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        started = time.monotonic()
        root = options.keep or Path(folder)
        apart(make_workspace, root, options.images, options.classes)
        apart(answer_audit, Workspace(root / "work"), np.random.default_rng(2))
        print(f"made {options.images:,} rows in {time.monotonic() - started:.0f} s", file=sys.stderr)
        rows = []
        for command in ("report", "status --no-images", "queue labels --limit 20"):
            name, *options_of = command.split()
            usage, _ = run_watched(root / "work", name, *options_of)
            rows.append({"images": options.images, "command": name} | usage)
            print(rows[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f"))


if __name__ == "__main__":
    main()
