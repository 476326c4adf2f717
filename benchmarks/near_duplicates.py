"""Near duplicates: precision and recall by kind of copy, on unlike sets, against peers.

    python benchmarks/near_duplicates.py DATA [--sets objects xrays …] [--each 30] [--plain 200] [--seed 0] [--peers]
    python benchmarks/near_duplicates.py DATA --limits [--missed]

DATA is the folder with the packs (../shared/data). Of each set, `--each` pictures get one copy of each kind (each
picture one copy), and `--plain` pictures get none; files are named at random, so that either of a pair may come first.
`precision` is the share of group members, the first of each group aside, that are copies of the same picture as the
first, by pairs for peers, which have no groups; `false` counts those that are not; the photographs hold a few true
copies of their own, which count as false. `--peers` runs imagededup's hashes and cleanvision on the same files
(imagededup's CNN needs weights from the network). `--limits` leaves out one set at a time: it shows the limits of the
second look that have the best mean F1 of pairs on the others, and how they do on the one left out; beside it the same
for one limit of two baselines, imagededup's pHash and the cosine of embeddings, whose `best F1` is that of the limit
which suits the set itself best. `--missed` counts what refuses the planted copies that are not found. `--keep FOLDER`
keeps both, so that sets can be run one at a time; empty it when code, sizes or seed change.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from near_limits import BASELINES, choose_baselines, choose_limits, look_at_all, why_missed
from near_sets import KINDS, MADE, PHOTOS, load

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan

Truth = pd.DataFrame
"""Index file name; `picture`, the number of what it shows; `kind`, how it was altered, or ''."""
Pairs = set[tuple[str, str]]
Measure = Callable[[Path, Truth], pd.DataFrame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=[*PHOTOS, *MADE])
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--plain", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for what --limits and --missed find of each set")
    args = parser.parse_args()
    finders: dict[str, Callable[[Path, Path], Pairs]] = {} if args.limits or args.missed else {"cleaner": find_ours}
    if args.peers:
        finders |= {"imagededup PHash": find_imagededup, "cleanvision": find_cleanvision}
    rows, looks, baselines = [], {}, {name: {} for name in BASELINES}
    for name in args.sets:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "images"
            truth = lay_out(name, args.data, root, args.each, args.plain, args.seed)
            for finder, find in finders.items():
                rows.append({"set": name, "finder": finder, **score(find(root, Path(scratch)), truth)})
                print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
            if args.limits or args.missed:
                looks[name] = kept(args.keep, f"{name}-looks", look_at_all, root, truth)
            if args.limits:
                for baseline, measure in BASELINES.items():
                    baselines[baseline][name] = kept(args.keep, f"{name}-{baseline}", measure, root, truth)
            if args.missed:
                print(f"\n{name}\n{why_missed(looks[name]).to_string()}", flush=True)
    if rows:
        print(pd.DataFrame(rows).to_string(index=False, float_format="%.2f"))
    if args.limits:
        for title, chosen in {"second look": choose_limits(looks), **choose_baselines(baselines)}.items():
            print(f"\n{title}\n{chosen.to_string(index=False, float_format='%.3f')}")


def kept(folder: Path | None, name: str, measure: Measure, root: Path, truth: Truth) -> pd.DataFrame:
    """What `measure` finds of a set, or found in an earlier run."""
    path = folder / f"{name}.parquet" if folder else None
    if path and path.exists():
        return pd.read_parquet(path)
    table = measure(root, truth)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)
    return table


def lay_out(name: str, data: Path, root: Path, each: int, plain: int, seed: int) -> Truth:
    """Write a set with planted copies, in one class folder."""
    images = load(name, data, each * len(KINDS) + plain, seed)
    rng = np.random.default_rng(seed)
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


if __name__ == "__main__":
    main()
