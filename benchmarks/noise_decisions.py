"""The trial of the noise stage: precision and recall by round, from few seeds to many and from none.

    python benchmarks/noise_decisions.py DATA [--sets own native] [--seeds 0 1 2] [--noise-seeds 0 10 30 100]
                                            [--work DIR] [--rows FILE]

DATA is the folder with lay_out.py and the packs (../shared/data). Sets, both tiny50 with 20 % wrong labels and 300
off-topic images from seven sources: `own` (junk in the pack's own size, 2 %) and `native` (junk in its own sizes, 9 %,
among photos upscaled to 400 x 533). Seeds are drawn as lay_out.py draws them: noise from every second source, seven
normal ones for each; 0: `auto`, the cold start. Every run is the stage itself with its default settings, on embeddings
computed once. With --rows each result is appended to FILE and what it holds is not run again, so that the trial can be
run in pieces; the table is of all rows in it (a new version of the stage needs a new file). All figures are of images
that no seed names, means of the layout seeds ± their standard deviation:

  P1/R1, P2/R2, P/R  precision and recall of the first round (a one-shot classifier), the second and the last
  with seeds         P/R of the last round over all images, seeds counted as found
  drift              the last round's precision less the second's
  seen, unseen       recall among sources that the seeds showed, and that they did not
  doubt, people      unseen sources in the band of doubt (doubtful .. threshold); all images in it
  AUROC              of noise_prob, and of cleanlab's out-of-distribution score on the same embeddings
  cleanlab P         precision of as many images as we found, taken from the top of cleanlab's score
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.outlier import OutOfDistribution
from quality import lay_out
from scores import precision_recall_f1
from sklearn.metrics import roc_auc_score

from cleaner.config import EmbeddingSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbone
from cleaner.stages.inputs import embed_rows
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan

LAYOUTS = {"own": "tiny50", "native": "native"}
NORMAL_FOR_EACH = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--noise-seeds", nargs="+", type=int, default=[0, 10, 30, 100])
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-quality"))
    parser.add_argument("--rows", type=Path)
    args = parser.parse_args()
    kept = args.rows.read_text().splitlines() if args.rows and args.rows.exists() else []
    rows = [json.loads(line) for line in kept]
    done = {(row["set"], row["layout"], row["noise seeds"]) for row in rows}
    for name in args.sets:
        for seed in args.seeds:
            missing = [count for count in args.noise_seeds if (name, seed, count or "auto") not in done]
            for row in trial(args.data, name, seed, missing, args.work) if missing else ():
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
                if args.rows:
                    with args.rows.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    print(shown(pd.DataFrame(rows)).to_string())


def trial(data: Path, name: str, seed: int, counts: list[int], work: Path) -> Iterator[dict[str, object]]:
    """One layout under each number of noise seeds."""
    folder = work / f"{LAYOUTS[name]}-{seed}"
    lay_out(data, LAYOUTS[name], seed, folder)
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str).set_index("file_name")
    place = folder / "noise-trial"
    (place / "cache").mkdir(parents=True, exist_ok=True)
    shared = work / "embeddings"
    shared.mkdir(exist_ok=True)
    if not (place / "cache" / "embeddings").exists():
        (place / "cache" / "embeddings").symlink_to(shared.resolve())
    workspace, options = Workspace(place), RunOptions(workers=1, device="cpu")
    run_scan(workspace, folder / "train", ScanSettings(), options)
    theirs = cleanlab_scores(workspace, folder / "train", options)
    for count in counts:
        yield {"set": name, "noise seeds": count or "auto", "layout": seed} | score(
            workspace, truth, draw_seeds(truth, count, seed), theirs
        )


def cleanlab_scores(workspace: Workspace, images: Path, options: RunOptions) -> pd.Series:
    """Cleanlab's out-of-distribution score (nearest neighbours), turned: higher is more like noise."""
    manifest = read_manifest(workspace.manifest_path("scan"))
    judged = manifest[manifest["keep"]]
    views = embed_rows(workspace, images, judged, load_backbone(EmbeddingSettings(), "cpu"), options)
    features = (views.plain.astype(np.float32) + views.mirrored.astype(np.float32)) / 2
    scores = OutOfDistribution().fit_score(features=features, verbose=False)
    return pd.Series(-scores, index=judged["file_name"])


def draw_seeds(truth: pd.DataFrame, count: int, seed: int) -> pd.Series:
    """What lay_out.py writes into seeds.csv with --seeds-noise `count`: is_noise by file name."""
    is_noise = truth["is_noise_image"] == "True"
    junk, good = truth[is_noise], truth[~is_noise]
    known = junk[junk["source"].isin(junk["source"].value_counts().index[::2])]
    noise = known.sample(min(count, len(known)), random_state=seed)
    normal = good.sample(NORMAL_FOR_EACH * count, random_state=seed)
    return is_noise[[*noise.index, *normal.index]].rename("is_noise")


def score(workspace: Workspace, truth: pd.DataFrame, seeds: pd.Series, theirs: pd.Series) -> dict[str, object]:
    """Run the stage with `seeds` and compare with the truth."""
    path = ""
    if len(seeds):
        path = str(workspace.root / "seeds.csv")
        seeds.to_csv(path)
    settings = NoiseSettings(seeds=path)
    run_noise(workspace, settings, RunOptions(workers=1, device="cpu", force=True))
    noise = read_manifest(workspace.manifest_path("noise")).set_index("file_name")
    noise = noise[noise["keep"] | (noise["drop_stage"] == "noise")]
    junk = (truth.loc[noise.index, "is_noise_image"] == "True").to_numpy()
    source = truth.loc[noise.index, "source"]
    showed = set(truth.loc[seeds.index[seeds.to_numpy()], "source"])
    free = ~noise.index.isin(seeds.index)
    found, prob = noise["is_noise"].to_numpy(), noise["noise_prob"].to_numpy()
    rounds = pd.read_parquet(workspace.root / "noise" / "rounds.parquet")
    by_round = [
        precision_recall_f1(noise.index.isin(r.loc[r["found"], "file_name"])[free], junk[free])[:2]
        for _, r in rounds.groupby("round")
    ]
    seen = (junk & source.isin(showed).to_numpy())[free]
    unseen = (junk & ~source.isin(showed).to_numpy())[free]
    doubtful = (prob > settings.doubtful) & (prob <= settings.threshold)
    all_p, all_r, _ = precision_recall_f1(found, junk)
    second = by_round[min(1, len(by_round) - 1)]
    top = np.argsort(-theirs[noise.index].to_numpy()[free], kind="stable")[: int(found[free].sum())]
    return {
        "P1": by_round[0][0], "R1": by_round[0][1], "P2": second[0], "R2": second[1],
        "P": by_round[-1][0], "R": by_round[-1][1], "P with seeds": all_p, "R with seeds": all_r,
        "drift": by_round[-1][0] - second[0], "rounds": len(by_round),
        "seen": mean(found[free][seen]), "unseen": mean(found[free][unseen]),
        "doubt": mean(doubtful[free][unseen]), "people": int(doubtful[free].sum()),
        "AUROC": roc_auc_score(junk[free], prob[free]),
        "cleanlab AUROC": roc_auc_score(junk[free], theirs[noise.index].to_numpy()[free]),
        "cleanlab P": float(junk[free][top].mean()),
        "by round": " ".join(f"{p:.3f}/{r:.3f}" for p, r in by_round),
    }  # fmt: skip


def mean(flags: np.ndarray) -> float:
    """Share of true flags; NaN of none."""
    return float(flags.mean()) if len(flags) else float("nan")


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations over the layout seeds, a column for each set and number of seeds."""
    groups = table.drop(columns=["layout", "by round"]).groupby(["set", "noise seeds"], sort=False)
    means, spreads = groups.mean(), groups.std(ddof=1).fillna(0)
    result: pd.DataFrame = (means.map("{:.3f}".format) + spreads.map(" ±{:.3f}".format)).T
    return result


if __name__ == "__main__":
    main()
