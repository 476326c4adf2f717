"""The trial of the noise stage over unlike sets, each judged by default weights that were learned on the others.

    python benchmarks/noise_decisions.py DATA [--sets NAME …] [--draws 5] [--work DIR] [--weights]

DATA is the folder with lay_out.py and the packs (../shared/data). Sets: tiny50 (junk in the pack's own size, 2 %),
three sets of real photographs with 8 % junk and 10 % wrong labels, a natural crawl of 22 sports judged by eye,
sample_data, and four sets where photographs are not the norm (drawn_sets.py, 20 % junk), which are judged by the
weights as they are in the program: those were learned without them. Embeddings and evidence are computed once for each
set; then seeds are drawn from two thirds of it, by hash of the name, and all figures are of the other third. `half`:
noise seeds from every second source of junk only. Figures, means over draws:

  P, R         precision and recall above 0.9, after the last round, and after the first one
  AP           average precision of noise_prob; of logistic regression on embedding, style and both (C by
               cross-validation on the seeds); of the mean similarity to the three nearest noise seeds, less that to the
               nearest normal ones; of cleanlab's out-of-distribution score
  plain P, R   the recipe's plain loop: logistic regression on both, above 0.9, finds join, until nothing new comes out
  left         noise among the kept, in per cent, over all images, unclear ones aside
  out          right images thrown out, in per cent
  share        estimated and true share of noise
  cold, clean  without seeds: precision and recall; images flagged, in per cent, once all noise is taken out of the set

With --weights the default weights learned on all sets are printed, as cleaner/scoring/noise_evidence.py holds them.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.outlier import OutOfDistribution
from drawn_sets import KINDS as DRAWN
from drawn_sets import lay_out
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from cleaner.config import EmbeddingSettings, RunOptions, ScanSettings
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbones
from cleaner.scoring.noise_evidence import EVIDENCE, rank_evidence
from cleaner.scoring.noise_model import NoiseModel, NoiseSeeds, Sight
from cleaner.scoring.noise_rounds import NoiseResult, run_rounds
from cleaner.stages.inputs import embed_rows
from cleaner.stages.noise_features import gather_sight
from cleaner.stages.scan import run_scan

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data"
JUNK = ["--flip", "0.1", "--offtopic", "120", "--offtopic-from"]
SETS = {
    "grocery+photos": ["realphotos:grocery", *JUNK, "offtopic_photos"],
    "objects+offtopic": ["realphotos:objects", *JUNK, "offtopic"],
    "objects+photos": ["realphotos:objects", *JUNK, "offtopic_photos"],
    "trash+offtopic": ["realphotos:trash", *JUNK, "offtopic"],
    "crawl_sports": ["crawl_sports"],
    "tiny50": ["tiny50", "--flip", "0.2", "--offtopic", "300"],
    "sample_data": [],
    "drawings": [],
    "products": [],
    "xrays": [],
    "pages": [],
}
"""Arguments of lay_out.py; sample_data is there, and the last four are drawn_sets.py's."""
TRIALS = [(60, 7, False), (30, 7, True), (10, 7, False)]
DRAWN_TRIALS = [(20, 7, False), (10, 7, False)]
CRAWL_TRIALS = [(45, 2, False), (20, 2, False), (10, 2, False)]
"""Noise seeds, normal seeds for each, and whether half the sources are known."""
FEWEST_UNSEEN = 30
THRESHOLD = 0.9


@dataclass(frozen=True)
class Set:
    """One set, N images."""

    sight: Sight
    is_noise: np.ndarray
    is_clear: np.ndarray
    """(N,) bool: not called unclear by whoever judged by eye."""
    source: np.ndarray
    is_test: np.ndarray
    odd: np.ndarray
    """(N,) float: cleanlab's out-of-distribution score, higher is more like noise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-noise"))
    parser.add_argument("--weights", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    needed = args.sets if set(args.sets) <= set(DRAWN) else list(SETS)
    sets = {name: load(name, args.data, args.work) for name in needed}
    if args.weights:
        model = fit_weights([s for n, s in sets.items() if n not in DRAWN])
        print(dict(zip(EVIDENCE, model.coef_[0].round(2).tolist(), strict=True)), model.intercept_.round(2).tolist())
    rows = []
    for name in args.sets:
        one = sets[name] if name in DRAWN else leave_out(name, sets)
        cold = cold_start(one)
        trials = CRAWL_TRIALS if name == "crawl_sports" else DRAWN_TRIALS if name in DRAWN else TRIALS
        for num, ratio, half in trials:
            if (one.is_noise & one.is_test).sum() < FEWEST_UNSEEN:
                continue
            drawn = [trial(one, draw(one, num, ratio, half, i), i) for i in range(args.draws)]
            figures = pd.DataFrame(drawn).mean().to_dict()
            row = {"set": name, "seeds": f"{num}+{num * ratio}{' half' if half else ''}"} | figures | cold
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).set_index(["set", "seeds"]).T.to_string(float_format="{:.3f}".format))


def load(name: str, data: Path, work: Path) -> Set:
    """Lay out a set, scan and embed it, or take up what an earlier run left in `work`."""
    folder = work / name.replace("+", "-")
    images = SAMPLE / "images" if name == "sample_data" else folder / "train"
    if not images.exists():
        if name in DRAWN:
            lay_out(data, name, folder, num_junk=120, flip=0.1, seed=0)
        else:
            subprocess.run([sys.executable, data / "lay_out.py", *SETS[name], "--out", folder], check=True)
    truth_file = SAMPLE / "truth.csv" if name == "sample_data" else folder / "truth.csv"
    truth = pd.read_csv(truth_file, keep_default_na=False, dtype=str).set_index("file_name")
    workspace, options = Workspace(folder / "work"), RunOptions(workers=1, device="cpu")
    workspace.root.mkdir(parents=True, exist_ok=True)
    run_scan(workspace, images, ScanSettings(), options)
    manifest = read_manifest(workspace.manifest_path("scan"))
    judged = manifest[manifest["keep"]].reset_index(drop=True)
    backbones = load_backbones(EmbeddingSettings(), "cpu")
    embeddings = embed_rows(workspace, images, judged, backbones, options, with_style=True)
    sight, _ = gather_sight(embeddings, judged, 0)
    truth = truth.reindex(judged["file_name"])
    content = sight.contents[0](np.arange(len(judged)))
    return Set(
        sight,
        (truth["is_noise_image"].str.lower() == "true").to_numpy(),
        (truth["verdict"] != "unclear").to_numpy() if "verdict" in truth else np.ones(len(judged), bool),
        truth["source"].to_numpy() if "source" in truth else np.full(len(judged), ""),
        np.array([hashlib.sha256(n.encode()).digest()[-1] % 3 == 0 for n in judged["file_name"]]),
        -OutOfDistribution().fit_score(features=content, verbose=False),
    )


def fit_weights(sets: list[Set]) -> LogisticRegression:
    """Default weights of the evidence: every set, and both kinds in it, count the same."""
    ranks = np.concatenate([s.sight.ranks[s.is_clear] for s in sets])
    truths = [s.is_noise[s.is_clear] for s in sets]
    weights = [np.where(t, 150 / t.sum(), 150 / (~t).sum()) for t in truths]
    return LogisticRegression(C=1, max_iter=3000).fit(
        ranks, np.concatenate(truths), sample_weight=np.concatenate(weights)
    )


def leave_out(name: str, sets: dict[str, Set]) -> Set:
    """A set with default weights that were learned on the others; sets of the same pictures go out together."""
    family = name.split("+")[0]
    others = [s for n, s in sets.items() if n.split("+")[0] != family and n not in DRAWN]
    return with_weights(sets[name], fit_weights(others))


def with_weights(one: Set, model: LogisticRegression) -> Set:
    return replace(one, sight=replace(one.sight, default_log_odds=model.decision_function(one.sight.ranks)))


def draw(one: Set, num: int, ratio: int, half: bool, seed: int) -> NoiseSeeds:
    rng = np.random.default_rng(seed)
    free = ~one.is_test & one.is_clear
    noise = free & one.is_noise
    if half:
        known = pd.Series(one.source[one.is_noise]).value_counts().index[::2]
        noise &= np.isin(one.source, known)
    picked = [rng.permutation(np.flatnonzero(noise))[:num]]
    picked.append(rng.permutation(np.flatnonzero(free & ~one.is_noise))[: num * ratio])
    is_seed = np.isin(np.arange(len(free)), np.concatenate(picked))
    return NoiseSeeds(is_seed, is_seed & one.is_noise)


def rounds_of(sight: Sight, seeds: NoiseSeeds, draw_number: int) -> NoiseResult:
    rng = np.random.default_rng(draw_number)
    model = NoiseModel(sight, seeds)
    return run_rounds(
        model, seeds, sight.countable, threshold=THRESHOLD, max_rounds=10, rng=rng, on_round=lambda _: None
    )


def trial(one: Set, seeds: NoiseSeeds, draw_number: int) -> dict[str, float]:
    """One draw of seeds: ours, and the plain ways beside it."""
    rounds = rounds_of(one.sight, seeds, draw_number).rounds
    unseen = one.is_test & one.is_clear
    truth = one.is_noise[unseen]

    def ap(score: np.ndarray) -> float:
        return float(average_precision_score(truth, score[unseen]))

    last = rounds[-1].noise_prob
    free = ~seeds.is_seed & one.is_clear
    dropped = np.where(seeds.is_seed, seeds.is_noise, last > THRESHOLD)
    kept = ~dropped & one.is_clear
    figures = dict(zip(("P", "R"), precision_recall((last > THRESHOLD)[unseen], truth), strict=True))
    first = precision_recall((rounds[0].noise_prob > THRESHOLD)[unseen], truth)
    figures |= dict(zip(("P first", "R first"), first, strict=True)) | {"AP": ap(last)}
    embedding, style = (kind(np.arange(len(free))) for kind in one.sight.contents)
    both = np.concatenate([embedding, style], 1)
    for name, x in (("embedding", embedding), ("style", style), ("both", both)):
        figures[f"AP {name}"] = ap(regression(x, seeds))
    figures |= {"AP nearest": ap(nearest(embedding, seeds)), "AP cleanlab": ap(one.odd)}
    plain = precision_recall(plain_loop(both, seeds)[unseen], truth)
    return (
        figures
        | dict(zip(("plain P", "plain R"), plain, strict=True))
        | {
            "left": 100 * one.is_noise[kept].mean(),
            "out": 100 * (dropped & ~one.is_noise & free).sum() / (~one.is_noise & one.is_clear).sum(),
            "share": rounds[-1].prior,
            "true share": one.is_noise.mean(),
            "rounds": len(rounds),
        }
    )


def cold_start(one: Set) -> dict[str, float]:
    none = np.zeros(len(one.is_noise), bool)
    found = rounds_of(one.sight, NoiseSeeds(none, none), 0).rounds[-1].noise_prob > THRESHOLD
    p, r = precision_recall(found[one.is_clear], one.is_noise[one.is_clear])
    clean = np.flatnonzero(~one.is_noise & one.is_clear)
    sight = one.sight
    taken = replace(
        sight,
        contents=[part_of(kind, clean) for kind in sight.contents],
        ranks=rank_evidence(sight.ranks[clean].astype(np.float64).T, sight.ranks[clean].shape),
        default_log_odds=sight.default_log_odds[clean],
        groups=sight.groups[clean],
        countable=sight.countable[clean],
    )
    none = np.zeros(len(clean), bool)
    flagged = rounds_of(taken, NoiseSeeds(none, none), 0).rounds[-1].noise_prob > THRESHOLD
    return {"cold P": p, "cold R": r, "clean flagged": 100 * float(flagged.mean())}


def part_of(kind: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda wanted: kind(rows[wanted])


def regression(x: np.ndarray, seeds: NoiseSeeds) -> np.ndarray:
    head = LogisticRegressionCV(
        Cs=[0.001, 0.01, 0.1, 1.0], cv=3, scoring="average_precision", class_weight="balanced", max_iter=500
    )
    with threadpool_limits(1):
        scores: np.ndarray = head.fit(x[seeds.is_seed], seeds.is_noise[seeds.is_seed]).decision_function(x)
    return scores


def nearest(x: np.ndarray, seeds: NoiseSeeds) -> np.ndarray:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = [
        np.sort(unit @ unit[seeds.is_seed & (seeds.is_noise == kind)].T, 1)[:, -3:].mean(1) for kind in (True, False)
    ]
    difference: np.ndarray = near[0] - near[1]
    return difference


def plain_loop(x: np.ndarray, seeds: NoiseSeeds) -> np.ndarray:
    """recipe.md, section 1, as it stands: (N,) bool of what is found."""
    found = np.zeros(len(x), bool)
    for _ in range(10):
        rows = np.flatnonzero(seeds.is_seed | found)
        with threadpool_limits(1):
            head = LogisticRegression(C=0.01, max_iter=500).fit(x[rows], (seeds.is_noise | found)[rows])
        now = (head.predict_proba(x)[:, 1] > THRESHOLD) & ~seeds.is_seed
        if not (now & ~found).any():
            break
        found |= now
    return found


def precision_recall(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    right = float((found & truth).sum())
    return right / found.sum() if found.any() else float("nan"), right / max(1, truth.sum())


if __name__ == "__main__":
    main()
