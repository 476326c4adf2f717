"""An audit from beginning to end over real photographs, with the planted truth in the place of a person.

    python benchmarks/audit_walk.py DATA [--sets grocery objects trash] [--goal 0.02] [--backbone embedded-small]

Each set of realphotos gets 20 % wrong labels (symmetric) and junk, and goes through the four stages. Then the sample is
drawn, each of its images judged by truth.csv, and the advice followed: as many more as the program says, until the goal
is shown or more looks would not help. Columns: kept images, looks at them, noise seen among them, the bound at 95 %
however often one looks, the share that is truly left, and whether it lies below the bound; of all wrongly dropped
images the bound on their share, and the true one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner.dataset.audits import AUDIT_QUEUE, find_open_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace

OFFTOPIC = ("--offtopic", "150", "--offtopic-from", "both", "--seeds-noise", "30")
MOST_ROUNDS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["grocery", "objects", "trash"])
    parser.add_argument("--goal", type=float, default=0.02)
    parser.add_argument("--backbone", default="embedded-small")
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-audit-walk"))
    args = parser.parse_args()
    rows = [{"set": name} | walk(args, name) for name in args.sets]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format))


def walk(args: argparse.Namespace, name: str) -> dict[str, object]:
    folder = args.work / name
    shutil.rmtree(folder, ignore_errors=True)
    laid = [sys.executable, str(args.data / "lay_out.py"), f"realphotos:{name}", "--flip", "0.2", *OFFTOPIC]
    subprocess.run([*laid, "--out", str(folder)], check=True, stdout=sys.stderr)
    work = folder / "work"
    cleaner("run", folder / "train", "--seeds", folder / "seeds.csv", "-C", work, "--backbone", args.backbone)
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False).set_index("file_name")
    is_noise = truth["is_noise_image"].astype(str).str.lower() == "true"
    workspace = Workspace(work)
    rounds, more = 0, []
    while True:
        result = audit(work, args.goal, *more)
        judge(workspace, truth["clean_label"], is_noise)
        result = audit(work, args.goal)
        rounds += 1
        advice = result["next"].partition("--sample ")[2]
        if not advice or rounds == MOST_ROUNDS:
            break
        more = ["--sample", advice]
    return {"rounds": rounds} | outcome(workspace, result, truth, is_noise)


def outcome(
    workspace: Workspace, result: dict[str, Any], truth: pd.DataFrame, is_noise: pd.Series
) -> dict[str, object]:
    rows = workspace.manifest(columns=["file_name", "keep", "drop_reason", "label", "clean_label"]).set_index(
        "file_name"
    )
    kept, left = rows[rows["keep"]], result["kept"]["noise"]
    true_left = float(is_noise.reindex(kept.index).mean())
    judged = rows[rows["drop_reason"].isin(list(result["dropped"]))]
    stratum = next(s for s in result["strata"] if s["name"] == "kept")
    good = (truth["clean_label"].reindex(judged.index) == judged["label"]) & ~is_noise.reindex(judged.index)
    total = result["dropped"].get("all", {})
    return {
        "kept": len(kept),
        "looks": stratum["num_counted"] + stratum["num_unsure"],
        "noise seen": stratum["outcomes"].get("noise", 0),
        "bound": left["upper"],
        "noise left": true_left,
        "holds": true_left <= left["upper"],
        "wrongly dropped, at most": total.get("upper"),
        "truly": float(good.mean()) if len(judged) else 0.0,
    }


def judge(workspace: Workspace, clean: pd.Series, is_noise: pd.Series) -> None:
    """Say of each image of the sample what the truth says, as a person would on the page."""
    sample = find_open_sample(workspace)
    assert sample is not None
    store = DecisionStore(workspace.decisions_path)
    known = store.events()
    done = set(known.loc[known["queue"] == AUDIT_QUEUE, "key"])
    rows = sample.rows[~sample.rows["image_id"].isin(done)].drop_duplicates("image_id")
    names = workspace.read("scan", ["file_name", "image_id"]).drop_duplicates("image_id").set_index("image_id")
    for image_id in rows["image_id"]:
        name = names.loc[image_id, "file_name"]
        verdict, label = ("noise", "") if is_noise[name] else ("label", clean[name])
        store.add("image", image_id, verdict, label=label, queue=AUDIT_QUEUE, annotator="truth")


def audit(work: Path, goal: float, *more: str) -> dict[str, Any]:
    """What `cleaner audit` says; exit code 4 only says that the goal is not shown yet."""
    command = [sys.executable, "-m", "cleaner", "audit", "-C", str(work), "--fail-over", str(goal), "--json", *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode in (0, 4), done.returncode
    return json.loads(done.stdout)


def cleaner(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "cleaner", *map(str, arguments)], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
