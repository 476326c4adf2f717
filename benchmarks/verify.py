"""What `cleaner verify` says of sets whose truth is planted: one table.

    python benchmarks/verify.py DATA [--only NAME …] [--seeds 0] [--work DIR]

DATA is the folder with lay_out.py and the packs (../shared/data); the held-out images are the pack's own clean test
set. Sets, all of tiny50 with a long tail of 20: cleaned (40 % symmetric noise, 300 off-topic images; `cleaner run`
as it stands), labels (the same, before balance drops classes), random (perfectly clean; 30 % removed at random),
emptied (perfectly clean, without its five rarest classes), mixed (the noisy one, all noise removed by the truth, and
its five rarest classes with it). Expected: helped, helped, not helped, hurt; in the last two the five are named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.manifest import drop_rows, read_manifest, write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan

NOISY = ["tiny50", "--long-tail", "20", "--flip", "0.4", "--offtopic", "300"]
CLEAN = ["tiny50", "--long-tail", "20", "--flip", "0", "--offtopic", "0"]
NAMES = ("cleaned", "labels", "random", "emptied", "mixed")
ON_CLEAN = ("random", "emptied")
NUM_EMPTIED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-quality"))
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        for name in args.only:
            arguments = CLEAN if name in ON_CLEAN else NOISY
            folder = args.work / f"verify-{'clean' if name in ON_CLEAN else 'noisy'}-{seed}"
            lay_out(args.data, arguments, seed, folder)
            from_file = prepare(name, folder, args.work / "embeddings", seed)
            row = {"set": name, "seed": seed} | verify(folder, from_file)
            print(row, file=sys.stderr)
            rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"))


def lay_out(data: Path, arguments: list[str], seed: int, folder: Path) -> None:
    """Plant the set once; a folder that is there is used again."""
    if (folder / "truth.csv").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(data / "lay_out.py"), *arguments, "--seed", str(seed), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def prepare(name: str, folder: Path, embeddings: Path, seed: int) -> Path:
    """The manifest to verify; what the pipeline needs is run, and what is there is up to date."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    embeddings.mkdir(parents=True, exist_ok=True)
    cache = work / "cache" / "embeddings"
    cache.parent.mkdir(exist_ok=True)
    if not cache.is_symlink():
        cache.symlink_to(embeddings)
    if name in ("cleaned", "labels"):
        cleaner("run", folder / "train", "-C", work, "--seeds", folder / "seeds.csv")
        return work / ("balance" if name == "cleaned" else "labels") / "manifest.parquet"
    run_scan(Workspace(work), folder / "train", ScanSettings(), RunOptions())
    manifest = read_manifest(work / "scan" / "manifest.parquet")
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str).set_index("file_name")
    truth = truth.loc[manifest["file_name"]]
    path = work / f"{name}.parquet"
    if name == "random":
        drop = np.random.default_rng(seed).random(len(manifest)) < 0.3
    else:
        wrong = (truth["given_label"] != truth["clean_label"]).to_numpy()
        drop = wrong | truth["clean_label"].isin(rarest(folder)).to_numpy()
    drop_rows(manifest, drop, "labels", "label_issue_fine")
    write_manifest(path, manifest, stage="labels", parent_sha256="")
    return path


def rarest(folder: Path) -> list[str]:
    """The classes with the fewest images of their own, by the truth."""
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str)
    return sorted(truth.loc[truth["clean_label"] != "", "clean_label"].value_counts().index[-NUM_EMPTIED:])


def verify(folder: Path, from_file: Path) -> dict[str, object]:
    """The figures of one comparison."""
    cleaner("verify", "-C", folder / "work", "--val", folder / "test", "--from", from_file)
    document = json.loads((folder / "work" / "verify" / "verify.json").read_text())
    raw, cleaned = document["sets"]
    result = document["comparisons"][0]
    hurt = set(document["classes_hurt"])
    return {
        "images": raw["images"],
        "left": cleaned["images"],
        "raw": raw["accuracy"],
        "cleaned": cleaned["accuracy"],
        "difference": result["mean"],
        "low": result["low"],
        "high": result["high"],
        "verdict": result["verdict"],
        "hurt": len(hurt),
        "helped": len(document["classes_helped"]),
        "emptied": len(document["classes_emptied"]),
        "rarest_hurt": len(hurt & set(rarest(folder))),
    }


def cleaner(*arguments: object) -> None:
    """Run the program as a user would."""
    command = [sys.executable, "-m", "cleaner", *map(str, arguments), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"})


if __name__ == "__main__":
    main()
