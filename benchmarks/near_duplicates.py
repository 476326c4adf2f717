"""Near duplicates: precision and recall by kind of copy, on unlike sets, against peers.

    python benchmarks/near_duplicates.py DATA [--sets objects xrays …] [--each 30] [--plain 200] [--peers] [--limits]

DATA is the folder with the packs (../shared/data). Of each set, `--each` pictures get one copy of each kind (each
picture one copy), and `--plain` pictures get none; files are named at random, so that either of a pair may come first.
`precision` is the share of group members, the first of each group aside, that are copies of the same picture as the
first, by pairs for peers, which have no groups; `false` counts those that are not; the photographs hold a few true
copies of their own, which count as false. `--peers` runs imagededup's hashes and cleanvision on the same files
(imagededup's CNN needs weights from the network). `--limits` chooses the two limits of the second look on all sets but
one, in turn, and shows how they do on the one left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from near_sets import KINDS, MADE, PHOTOS, load

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.files import list_files
from cleaner.dataset.inspection import Limits
from cleaner.dataset.workspace import Workspace
from cleaner.scoring import second_look
from cleaner.stages.inputs import inspect_with_engine
from cleaner.stages.near_copies import propose_pairs
from cleaner.stages.near_looks import look_at_batch
from cleaner.stages.scan import run_scan
from cleaner.stages.scan_copies import pictures_of

Truth = pd.DataFrame
"""Index file name; `picture`, the number of what it shows; `kind`, how it was altered, or ''."""
Pairs = set[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=[*PHOTOS, *MADE])
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--plain", type=int, default=200)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--limits", action="store_true")
    args = parser.parse_args()
    finders: dict[str, Callable[[Path, Path], Pairs]] = {"cleaner": find_ours}
    if args.peers:
        finders |= {"imagededup PHash": find_imagededup, "cleanvision": find_cleanvision}
    rows, looks = [], []
    for name in args.sets:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "images"
            truth = lay_out(name, args.data, root, args.each, args.plain)
            for finder, find in finders.items():
                before = time.process_time() + os.times().children_user
                found = find(root, Path(scratch))
                seconds = time.process_time() + os.times().children_user - before
                rows.append({"set": name, "finder": finder, **score(found, truth), "cpu_s": seconds})
                print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
            if args.limits:
                looks.append(all_looks(name, root, truth))
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.2f"))
    if args.limits:
        choose_limits(pd.concat(looks))


def lay_out(name: str, data: Path, root: Path, each: int, plain: int) -> Truth:
    """Write a set with planted copies, in one class folder."""
    images = load(name, data, each * len(KINDS) + plain)
    rng = np.random.default_rng(0)
    kinds = [kind for kind in KINDS for _ in range(each)]
    names = iter(rng.permutation(10 * len(images)).tolist())
    rows = []
    (root / "all").mkdir(parents=True)
    for picture, image in enumerate(images):
        shown = [("", image)]
        if picture < len(kinds):
            shown.append((kinds[picture], KINDS[kinds[picture]](image, rng)))
        for kind, one in shown:
            file = f"all/{next(names):06d}.png"
            one.save(root / file, compress_level=1)
            rows.append((file, picture, kind))
    return pd.DataFrame(rows, columns=["file_name", "picture", "kind"]).set_index("file_name")


def find_ours(root: Path, scratch: Path) -> Pairs:
    run_scan(Workspace(scratch / "work"), root, ScanSettings(), RunOptions(workers=1))
    rows = Workspace(scratch / "work").read("scan")
    rows = rows[rows["duplicate_group"] >= 0]
    first = rows[rows["duplicate_relation"] == "first"].set_index("duplicate_group")["file_name"]
    members = rows[rows["duplicate_relation"] != "first"]
    return {(first[group], name) for group, name in zip(members["duplicate_group"], members["file_name"], strict=True)}


def find_imagededup(root: Path, scratch: Path) -> Pairs:
    from imagededup.methods import PHash

    with contextlib.redirect_stdout(io.StringIO()):
        finder = PHash(verbose=False)
        found = finder.find_duplicates(image_dir=str(root / "all"), num_enc_workers=0, num_dist_workers=0)
    return {tuple(sorted((f"all/{a}", f"all/{b}"))) for a, others in found.items() for b in others}  # type: ignore[misc]


def find_cleanvision(root: Path, scratch: Path) -> Pairs:
    from cleanvision import Imagelab

    with contextlib.redirect_stdout(io.StringIO()):
        lab = Imagelab(data_path=str(root))
        lab.find_issues({"near_duplicates": {}, "exact_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [s for kind in ("near_duplicates", "exact_duplicates") for s in lab.info[kind]["sets"]]
    names = [sorted(str(Path(path).relative_to(root)) for path in group) for group in sets]
    return {(a, b) for group in names for i, a in enumerate(group) for b in group[i + 1 :]}


def score(found: Pairs, truth: Truth) -> dict[str, object]:
    """Precision of the pairs, false pairs, and recall of planted copies by kind in per cent."""
    picture = truth["picture"].to_dict()
    right = [picture[a] == picture[b] for a, b in found]
    together = {picture[a] for a, b in found if picture[a] == picture[b]}
    planted = truth[truth["kind"] != ""]
    recalls = planted["picture"].isin(together).groupby(planted["kind"], sort=False).mean() * 100
    return {"precision": np.mean(right) if right else np.nan, "false": right.count(False), **recalls.round().to_dict()}


def all_looks(name: str, root: Path, truth: Truth) -> pd.DataFrame:
    """What the second look finds of each pair that is proposed: agreement, other_colour and whether it is a copy."""
    files = list_files(root, follow_symlinks=False)
    limits = Limits(ScanSettings.max_pixels, ScanSettings.file_timeout)
    with tempfile.TemporaryDirectory() as scratch:
        work = Workspace(Path(scratch))
        facts = inspect_with_engine(work, files, "looks", "scan", limits, RunOptions(workers=1))
        pictures = pictures_of(files, facts, np.arange(len(files)), work)
    pairs, sides = propose_pairs(pictures, ScanSettings.near_radius), pictures.sides
    found = look_at_batch(tuple((sides[i], sides[j], placing) for i, j, placing in pairs))["found"]
    found[found[:, 6] > second_look.MOST_STRETCH, 0] = 0
    shows = truth.loc[[file.name for file in files], "picture"].to_numpy()
    right = np.array([shows[i] == shows[j] for i, j, _ in pairs])
    return pd.DataFrame({"set": name, "agreement": found[:, 0], "other_colour": found[:, 1], "is_copy": right})


def choose_limits(looks: pd.DataFrame) -> None:
    """The limits with the best mean F1 over all sets but one, and how they do on that one."""
    agreements, colours = np.arange(0.85, 0.99, 0.005), np.arange(0.05, 0.4, 0.05)
    names = list(dict.fromkeys(looks["set"]))
    f1 = {
        name: np.array([[f1_at(looks[looks["set"] == name], a, c) for c in colours] for a in agreements])
        for name in names
    }
    for name in [*names, ""]:
        mean = np.nanmean([f1[other] for other in names if other != name], axis=0)
        row, column = np.unravel_index(int(np.nanargmax(mean)), mean.shape)
        own = f1[name][row, column] if name else mean[row, column]
        limits = f"agreement {agreements[row]:.3f} other_colour {colours[column]:.2f}"
        print(f"without {name or 'none':12} {limits} F1 {own:.3f}")
    fixed = second_look.LEAST_AGREEMENT, second_look.MOST_OTHER_COLOUR
    print("as set", fixed, {name: round(f1_at(looks[looks["set"] == name], *fixed), 3) for name in names})


def f1_at(looks: pd.DataFrame, agreement: float, colour: float) -> float:
    found = (looks["agreement"] >= agreement) & (looks["other_colour"] <= colour)
    right = (found & looks["is_copy"]).sum()
    total = found.sum() + looks["is_copy"].sum()
    return float(2 * right / total) if total else np.nan


if __name__ == "__main__":
    main()
