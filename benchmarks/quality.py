"""Quality of the whole pipeline against planted and human truth: one table.

    python benchmarks/quality.py DATA [--only NAME …] [--seeds 0 1 2] [--work DIR] [--share-embeddings]

DATA is the folder with lay_out.py and the packs (../shared/data). Sets: tiny50 (20 % symmetric noise, 300 off-topic
images in the pack's own size), tail (the same with a long tail of 20), native (off-topic images in their own sizes,
tiny50 upscaled to about 400 x 533 photos, 60 noise seeds), cifar10n (random1, all 50,000). Figures on wrong labels
are of the `test` part of truth.csv; of noise images over all that seeds.csv does not name and, in brackets, over all.
`--share-embeddings` lets sets with equal images share one cache; leave it out to time a run.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scores import precision_recall_f1

SETS = {
    "tiny50": ["tiny50", "--flip", "0.2", "--offtopic", "300"],
    "tail": ["tiny50", "--flip", "0.2", "--offtopic", "300", "--long-tail", "20"],
    "native": [
        "tiny50",
        "--flip",
        "0.2",
        "--offtopic",
        "300",
        "--offtopic-native",
        "--per-class",
        "60",
        "--seeds-noise",
        "60",
    ],
    "cifar10n": ["cifar10n", "--labels", "random1"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-quality"))
    parser.add_argument("--share-embeddings", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.only:
        for seed in args.seeds[: 1 if name == "cifar10n" else None]:
            folder = args.work / f"{name}-{seed}"
            lay_out(args.data, name, seed, folder)
            run = run_pipeline(folder, args.work / "embeddings" if args.share_embeddings else None)
            row = {"set": name, "seed": seed} | score(folder) | run
            rows.append(row)
            print(
                "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
                file=sys.stderr,
            )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f", na_rep=""))
    means = table.drop(columns="seed").groupby("set", sort=False).mean(numeric_only=True)
    print("\nmeans\n" + means.to_string(float_format="%.3f", na_rep=""))


def lay_out(data: Path, name: str, seed: int, folder: Path) -> None:
    """Plant the set once; a folder that is there is used again."""
    if (folder / "truth.csv").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, str(data / "lay_out.py"), *SETS[name], "--seed", str(seed), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    if name == "native":
        truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)
        for file_name in truth.loc[~truth["is_noise_image"].astype(bool), "file_name"]:
            upscale(folder / "train" / file_name)


def upscale(path: Path) -> None:
    """A 64 px picture becomes one of about 400 x 533 px, in its own mode and format."""
    with Image.open(path) as image:
        mode, kind = image.mode, image.format
        big = image.convert("RGBA" if mode in ("P", "RGBA") else mode).resize((533, 400), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    (big.convert("RGB").quantize(128) if mode == "P" else big).save(out, kind, quality=90)
    path.write_bytes(out.getvalue())


def run_pipeline(folder: Path, shared_cache: Path | None) -> dict[str, object]:
    """`cleaner run`, timed, in a fresh workspace."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if shared_cache is not None:
        shared_cache.mkdir(parents=True, exist_ok=True)
        (work / "cache").mkdir()
        (work / "cache" / "embeddings").symlink_to(shared_cache)
    command = [sys.executable, "-m", "cleaner", "run", str(folder / "train"), "-C", str(work), "--quiet"]
    if (folder / "seeds.csv").exists():
        command += ["--seeds", str(folder / "seeds.csv")]
    else:  # no junk was planted, so there is nothing for the noise stage to learn from
        command = [sys.executable, "-c", _WITHOUT_NOISE, str(folder / "train"), str(work)]
    before = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"})
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"seconds": round(time.monotonic() - before), "peak_gb": peak_gb}


_WITHOUT_NOISE = """
import sys
from pathlib import Path
from cleaner.config import LabelsSettings, RunOptions, ScanSettings
from cleaner.dataset.workspace import Workspace
from cleaner.stages.labels.run import run_labels
from cleaner.stages.scan import run_scan
if __name__ == "__main__":
    work = Workspace(Path(sys.argv[2]))
    run_scan(work, Path(sys.argv[1]), ScanSettings(), RunOptions())
    run_labels(work, LabelsSettings(), RunOptions())
"""


def score(folder: Path) -> dict[str, float]:
    """The figures of one set."""
    work = folder / "work"
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str).set_index("file_name")
    labels = pd.read_parquet(work / "labels" / "manifest.parquet").set_index("file_name").loc[truth.index]
    junk = (truth["is_noise_image"] == "True").to_numpy()
    wrong = (truth["given_label"] != truth["clean_label"]).to_numpy() & ~junk
    result: dict[str, float] = {}
    if junk.any():
        seeds = pd.read_csv(folder / "seeds.csv")["file_name"]
        result |= score_noise(folder, junk, ~truth.index.isin(seeds))
    part = (truth["part"] == "test").to_numpy() & ~junk & labels["readable"].to_numpy()
    issue = labels["label_issue"].to_numpy()
    dropped = labels["drop_reason"].str.startswith("label_issue").to_numpy()
    for name, flag in (("dropped", dropped), ("coarse", issue == "coarse")):
        if flag.any():
            precision, recall = precision_recall_f1(flag[part], wrong[part])[:2]
            result[f"{name}_p"], result[f"{name}_r"] = precision, recall
            result[f"{name}_f1"] = 2 * precision * recall / max(precision + recall, 1e-9)
    result |= score_classes(labels, truth, wrong | junk)
    return result


def score_noise(folder: Path, junk: np.ndarray, unseen: np.ndarray) -> dict[str, float]:
    """Precision and recall of noise images; the last round's precision less the second's."""
    noise = pd.read_parquet(folder / "work" / "noise" / "manifest.parquet")
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str)
    noise = noise.set_index("file_name").loc[truth["file_name"]]
    found = noise["is_noise"].to_numpy()
    result = dict(zip(("noise_p", "noise_r"), precision_recall_f1(found, junk)[:2], strict=True))
    result |= dict(zip(("unseeded_p", "unseeded_r"), precision_recall_f1(found[unseen], junk[unseen])[:2], strict=True))
    rounds = pd.read_parquet(folder / "work" / "noise" / "rounds.parquet")
    is_junk = pd.Series(junk, index=truth["file_name"])
    by_round = [is_junk[g.loc[g["found"], "file_name"]].mean() for _, g in rounds.groupby("round")]
    result["rounds"] = float(len(by_round))
    result["drift"] = float(by_round[-1] - by_round[min(1, len(by_round) - 1)])
    return result


def score_classes(labels: pd.DataFrame, truth: pd.DataFrame, bad: np.ndarray) -> dict[str, float]:
    """Rightly labelled images that are removed: over all, in the ten rarest classes, and in the worst class."""
    removed = (labels["drop_stage"].isin(["noise", "labels"])).to_numpy()
    good = pd.DataFrame({"label": truth["given_label"].to_numpy(), "removed": removed})[~bad]
    sizes = truth.loc[truth["is_noise_image"] != "True", "clean_label"].value_counts()
    rare = good["label"].isin(sizes.index[-10:])
    return {
        "good_removed": float(good["removed"].mean()),
        "good_removed_rare": float(good.loc[rare, "removed"].mean()),
        "worst_class_loss": float(good.groupby("label")["removed"].mean().max()),
    }


if __name__ == "__main__":
    main()
