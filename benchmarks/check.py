"""`cleaner check` against a full run: does it find the same noise images and wrong labels, and how long does it take?

    python benchmarks/check.py DATA [--work DIR] [--seeds 0 1] [--backbone NAME] [--held-out 1000] [--timed 200]

DATA is the folder with lay_out.py and the packs (../shared/data). tiny50 with 20 % wrong labels and 5 % noise images
in the pack's own size. Of the laid-out images `--held-out` are taken away at random; the rest is run, and the ones
taken away are checked against that. Beside it a full run over all, whose verdicts on the very same images are scored.
Then `--timed` of the held-out ones are checked by the program, from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scores import precision_recall_f1

OFFTOPIC = ("--offtopic", "317", "--offtopic-from", "both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-check"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--per-class", type=int, default=130)
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=200)
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        folder = args.work / str(seed)
        truth = lay_out(args, seed, folder)
        names = hold_out(truth, args.held_out, seed, folder)
        for name, images in (("part", folder / "known"), ("full", folder / "train")):
            cleaner("run", images, "--seeds", folder / f"seeds_{name}.csv", "-C", folder / name, *backbone(args))
            share_embeddings(folder)
        cleaner("check", folder / "new", "--against", folder / "part", "--out", folder / "found.csv")
        found = pd.read_csv(folder / "found.csv", keep_default_na=False).set_index("file_name")
        full = pd.read_parquet(folder / "full" / "balance" / "manifest.parquet").set_index("file_name")
        rows += [{"seed": seed} | row for row in score(truth.loc[names], found.loc[names], full.loc[names])]
        rows[-1]["seconds"] = time_check(folder, names[: args.timed])
        rows[-1]["known"] = len(full) - len(names)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f", na_rep=""))


def backbone(args: argparse.Namespace) -> list[str]:
    return ["--backbone", args.backbone]


def cleaner(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "cleaner", *map(str, arguments)], check=True, stdout=sys.stderr)


def lay_out(args: argparse.Namespace, seed: int, folder: Path) -> pd.DataFrame:
    """Plant the set once; a folder that is there is used again."""
    if not (folder / "truth.csv").exists():
        shutil.rmtree(folder, ignore_errors=True)
        options = ["--flip", "0.2", *OFFTOPIC, "--seeds-noise", "60", "--per-class", str(args.per_class)]
        command = [sys.executable, str(args.data / "lay_out.py"), "tiny50", *options, "--seed", str(seed)]
        subprocess.run([*command, "--out", str(folder)], check=True, stdout=sys.stderr)
    return pd.read_csv(folder / "truth.csv", keep_default_na=False).set_index("file_name")


def hold_out(truth: pd.DataFrame, num: int, seed: int, folder: Path) -> list[str]:
    """Link the images into `known` and `new`; those that the noise seeds name are never held out."""
    seeds = pd.read_csv(folder / "seeds.csv", keep_default_na=False)
    seeds.to_csv(folder / "seeds_part.csv", index=False)
    seeds.to_csv(folder / "seeds_full.csv", index=False)
    free = sorted(set(truth.index) - set(seeds["file_name"]))
    names = sorted(np.random.default_rng(seed).permutation(free)[:num].tolist())
    if not (folder / "known").exists():
        for name in truth.index:
            place = folder / ("new" if name in set(names) else "known") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / "train" / name, place)
    return names


def share_embeddings(folder: Path) -> None:
    """The full run takes up what the run of a part has embedded."""
    if not (folder / "full").exists():
        shutil.copytree(folder / "part" / "cache" / "embeddings", folder / "full" / "cache" / "embeddings")


def score(truth: pd.DataFrame, found: pd.DataFrame, full: pd.DataFrame) -> list[dict[str, object]]:
    is_noise = (truth["is_noise_image"].astype(str).str.lower() == "true").to_numpy()
    is_wrong = (truth["given_label"] != truth["clean_label"]).to_numpy() & ~is_noise
    problems = found["problems"].str.split(",")
    rows = []
    for what, planted, name, theirs in (
        ("noise", is_noise, "noise", full["is_noise"].to_numpy()),
        ("wrong labels", is_wrong, "wrong_label", (full["label_issue"] != "").to_numpy() & is_flagged(full)),
    ):
        mine = problems.map(lambda names, name=name: name in names).to_numpy()
        judged = np.ones(len(truth), bool) if what == "noise" else ~is_noise
        for who, said in (("check", mine), ("full run", theirs)):
            precision, recall, f1 = precision_recall_f1(said[judged], planted[judged])
            rows.append(
                {"what": what, "by": who, "planted": int(planted.sum())}
                | {"precision": precision, "recall": recall, "f1": f1}
            )
    return rows


def is_flagged(full: pd.DataFrame) -> np.ndarray:
    """What the full run drops for its label."""
    return full["drop_reason"].str.startswith("label_issue").to_numpy()


def time_check(folder: Path, names: list[str]) -> float:
    """Seconds that the program takes for some of the new images."""
    some = folder / "some"
    shutil.rmtree(some, ignore_errors=True)
    for name in names:
        (some / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / "train" / name, some / name)
    begun = time.monotonic()
    command = [sys.executable, "-m", "cleaner", "check", str(some), "--against", str(folder / "part"), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["checked"] == len(names)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
