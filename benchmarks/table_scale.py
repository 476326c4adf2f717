"""Time and peak memory of `status`, `balance` and `export` by rows of the manifests.

    python benchmarks/table_scale.py [--rows 10000 100000 1000000] [--decisions 10000] [--csv FILE]

Synthesises a workspace for each size (all four stages, random content, 2,000 images a class but at least ten classes,
decisions by two people on a hundredth of the images at most), then runs the real program, each command in a process of
its own. One table; --csv writes it for plot_growth.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from memory_watch import apart, run_watched

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.manifest import NOT_JUDGED, STAGES, drop_rows, stage_fields, write_manifest
from cleaner.dataset.store import sha256_file
from cleaner.dataset.verdicts import read_verdicts, used_digest
from cleaner.dataset.workspace import Input, StageRecord, Workspace
from cleaner.stages.stage_run import row_counts

ROWS_PER_CLASS = 2000  # above `--min-count`: below it, balance would look at images, and there are none
SETTINGS = {
    "scan": ScanSettings(),
    "noise": NoiseSettings(),
    "labels": LabelsSettings(),
    "balance": BalanceSettings(),
}


def synthesise(root: Path, num_rows: int, num_decisions: int) -> None:
    """Write a workspace of `num_rows` rows in which all stages are complete and current."""
    workspace, rng = Workspace(root), np.random.default_rng(0)
    frame = _scan_frame(rng, num_rows)
    write_stage(workspace, frame, "scan", {"label_conflicts": int(frame["label_conflict"].sum())})
    store = DecisionStore(workspace.decisions_path)
    keys = rng.choice(frame["image_id"].to_numpy(), num_decisions, replace=False)
    events = [Event(kind="image", key=k, verdict="noise", annotator=("ann", "bob")[i % 2]) for i, k in enumerate(keys)]
    store.merge([*events, *(Event(kind="image", key=k, verdict="normal", annotator="cem") for k in keys[:20])])
    frame["noise_prob"] = rng.beta(0.3, 4, num_rows).astype(np.float32)
    frame["is_noise"] = frame["noise_prob"] > 0.9
    frame["noise_evidence"] = np.full(num_rows, "model", dtype=object)
    drop_rows(frame, frame["is_noise"].to_numpy(), "noise", "noise_image")
    doubtful = (frame["noise_prob"] > 0.5) & ~frame["is_noise"] & frame["keep"]
    write_stage(workspace, frame, "noise", {"doubtful": int(doubtful.sum())})
    issue = rng.choice(np.array(["", "coarse", "fine"], dtype=object), num_rows, p=[0.85, 0.05, 0.1])
    frame["label_issue"] = np.where(frame["keep"], issue, "").astype(object)
    frame["predicted_label"] = rng.permutation(frame["label"].to_numpy())
    drop_rows(frame, (frame["label_issue"] == "coarse").to_numpy(), "labels", "label_issue_coarse")
    kept = int((frame["keep"] & (frame["label_issue"] != "")).sum())
    write_stage(workspace, frame, "labels", {"for_people": kept, "classes": frame["label"].nunique()})
    write_stage(workspace, frame, "balance", {"classes_for_people": ["class_0001", "class_0002"]})


def write_stage(workspace: Workspace, frame: pd.DataFrame, stage: str, counts: dict[str, object]) -> None:
    """Write a manifest with what columns of `stage` are not in `frame` yet, and its record."""
    for f in stage_fields(stage):
        if f.name not in frame:
            kind = object if str(f.type) == "string" else f.type.to_pandas_dtype()
            frame[f.name] = np.full(len(frame), NOT_JUDGED[str(f.type)], dtype=kind)
    workspace.begin(stage)
    write_manifest(workspace.manifest_path(stage), frame, stage=stage, parent_sha256="")
    inputs = []
    if stage != "scan":
        above = workspace.manifest_path(STAGES[STAGES.index(stage) - 1])
        decisions = used_digest(workspace, stage, read_verdicts(workspace))
        inputs = [Input("parent", workspace.relative(above), sha256_file(above)), Input("decisions", "", decisions)]
    record = StageRecord(
        stage=stage,
        settings=SETTINGS[stage].as_record(),
        seed=0,
        images_root="/absent",
        inputs=inputs,
        outputs={},
        counts=row_counts(frame, stage) | counts,
        backbone={},
        device="cpu",
        threads=1,
        seconds=1.0,
    )
    workspace.write_record(record, ["manifest.parquet"])


def _scan_frame(rng: np.random.Generator, num: int) -> pd.DataFrame:
    num_classes = max(10, num // ROWS_PER_CLASS)
    labels = np.array([f"class_{i:04d}" for i in range(num_classes)], dtype=object)[
        np.sort(rng.integers(0, num_classes, num))
    ]
    digits = rng.bytes(32 * num).hex()
    text = {
        "file_name": [f"{label}/{i:07d}.jpg" for i, label in enumerate(labels)],
        "image_id": [digits[64 * i : 64 * i + 64] for i in range(num)],
        "drop_stage": "",
        "drop_reason": "",
        "clean_label": labels,
        "label": labels,
        "split": "train",
        "mode": "RGB",
        "format": "JPEG",
        "fault": "",
        "duplicate_kind": "",
        "pixel_id": [digits[64 * i : 64 * i + 32] for i in range(num)],
    }
    frame = pd.DataFrame({k: pd.Series(v, dtype=object, index=range(num)) for k, v in text.items()})
    frame["keep"] = True
    frame["readable"] = True
    frame["label_conflict"] = rng.random(num) < 0.01
    frame["width"] = rng.integers(200, 2000, num).astype(np.int32)
    frame["height"] = rng.integers(200, 2000, num).astype(np.int32)
    frame["file_bytes"] = rng.integers(10_000, 1_000_000, num)
    frame["pixel_std"] = rng.random(num, dtype=np.float32)
    return frame


def run_all(root: Path, num_rows: int) -> list[dict[str, object]]:
    """A row of the table for each command on one workspace."""
    table = str(root / "cleaned.csv")
    commands = {
        "status": ("status", "--no-images"),
        "status --limit 5": ("status", "--no-images", "--limit", "5"),
        "balance": ("balance", "--force", "--quiet"),
        "export --to csv": ("export", table, "--to", "csv", "--quiet"),
        "status, digests anew": ("status", "--no-images"),
    }
    rows: list[dict[str, object]] = []
    for name, command in commands.items():
        if name.endswith("anew"):
            (root / "cache" / "digests.json").unlink()
        usage, said = run_watched(root, *command)
        rows.append({"rows": num_rows, "command": name} | usage)
        print(rows[-1], file=sys.stderr, flush=True)
        if command == commands["status"]:
            print({s["stage"]: s["state"] for s in said["stages"]}, file=sys.stderr)
    return rows


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows = []
    for num_rows in options.rows:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
            apart(synthesise, Path(folder), num_rows, min(options.decisions, num_rows // 100))
            rows += run_all(Path(folder), num_rows)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.2f"))
    if options.csv:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
