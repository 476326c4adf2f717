"""How long the review page's queue `noise` takes from page to page: the model fitted anew, the next pictures chosen.

A workspace of images that are all different, with drawn features in the cache (1,280 of content, 352 of style, as the
embedded network has): 8 % noise, half of it far from the rest. The page is asked over HTTP, a program decides on it by
the truth, and the time until the JSON of the next page has come is measured.

    python benchmarks/noise_refit.py [--images 10000] [--folder /tmp/looks] [--pages 15]

With a tree of `lay_out.py` (train/, truth.csv) instead, truth plays the person on it; each page's line sets what the
page says is left beside what is: noise among the images that neither the person nor the model, above 0.9, takes out.

    python benchmarks/noise_refit.py --tree TREE [--pages 15]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.review_scale import make_big, memory_mb
from cleaner.config import EmbeddingSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.store import ArrayStore
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbones
from cleaner.modeling.embeddings import SHARD_SIZE, STYLE, VIEWS
from cleaner.review.ledger import Ledger
from cleaner.review.noise_refit import NoiseRefit
from cleaner.stages.scan import run_scan
from tests.support.review_server import Server

NOISE_SHARE = 0.08
_DIMS = {**dict.fromkeys(VIEWS, 1280), STYLE: 352}


def put_features(workspace: Workspace, is_noise: np.ndarray, image_ids: list[str]) -> None:
    """Drawn features of all images, where the embeddings of the embedded networks are looked for."""
    rng = np.random.default_rng(0)
    far = {name: rng.normal(size=dim) for name, dim in _DIMS.items()}
    centres = {name: rng.normal(size=(500, dim)) for name, dim in _DIMS.items()}
    raw = np.array([list(bytes.fromhex(i)) for i in image_ids], np.uint8)
    shift = is_noise * rng.choice([0.3, 0.9], len(is_noise))
    stores = [
        ArrayStore(workspace.cache / "embeddings" / backbone.key[:20])
        for backbone in load_backbones(EmbeddingSettings(), "cpu")
    ]
    for start, store in itertools.product(range(0, len(raw), SHARD_SIZE), stores):
        part = slice(start, start + SHARD_SIZE)
        arrays = {"image_id": raw[part]}
        for name, dim in _DIMS.items():
            about = centres[name][np.arange(start, start + len(raw[part])) % 500]
            drawn = about + rng.normal(size=(len(raw[part]), dim)) + shift[part, None] * far[name]
            arrays[name] = np.abs(drawn).astype(np.float16)
        store.put(f"drawn{start:08d}", arrays)


def walk(work: Path, noise: set[str], num_pages: int) -> None:
    """Print what pages of looks take."""
    started = time.perf_counter()
    with Server(work, "noise") as server:
        server.enter()
        print(f"start {time.perf_counter() - started:.1f} s")
        seconds = []
        for number in range(num_pages):
            at = time.perf_counter()
            page = server.get("/api/page", queue="noise", limit=24)
            seconds.append(time.perf_counter() - at)
            keys = [item["key"] for item in page["items"]]
            said = [{"kind": "image", "key": k, "verdict": "noise" if k in noise else "normal"} for k in keys]
            body = {"queue": "noise", "request_id": uuid.uuid4().hex, "decisions": said}
            assert server.post("/api/decide", body)[0] == 200
            if number % 5 == 0:
                print(f"page {number + 1}: {seconds[-1]:.2f} s, {sum(k in noise for k in keys)} noise, {page['left']}")
        print(
            f"{num_pages} pages of 24: first {seconds[0]:.2f} s, next {statistics.median(seconds[1:]):.2f} s "
            f"(worst {max(seconds[1:]):.2f}), memory {memory_mb(server):.0f} MB"
        )


def compare_left(tree: Path, num_pages: int) -> None:
    """Print what is said to be left and what is, after each page of 24."""
    truth = pd.read_csv(tree / "truth.csv", keep_default_na=False).set_index("file_name")
    unclear = set(truth.index[truth["verdict"] == "unclear"]) if "verdict" in truth else set()
    noisy = set(truth.index[truth["is_noise_image"].astype(str).str.lower() == "true"]) - unclear
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch))
        run_scan(workspace, tree / "train", ScanSettings(), RunOptions())
        rows = workspace.read("scan", ["file_name", "image_id"]).drop_duplicates("image_id").set_index("image_id")
        store = DecisionStore(workspace.decisions_path)
        ledger = Ledger(store, "")
        refit = NoiseRefit.open(workspace, NoiseSettings(), RunOptions())
        names = rows.loc[refit.keys, "file_name"]
        is_noise, is_clear = names.isin(noisy).to_numpy(), ~names.isin(unclear).to_numpy()
        print(f"{tree.name}: {len(names):,} images, {is_noise.sum()} noise")
        for _ in range(num_pages):
            ledger.refresh()
            fit = refit.follow(ledger)
            stays = np.where(fit.is_answered, ~is_noise, fit.noise_prob <= 0.9) & is_clear
            wrong = int((~fit.is_answered & (fit.noise_prob > 0.9) & is_clear & ~is_noise).sum())
            said = "     -" if fit.left is None else f"{fit.left:6.2%}"
            left = (is_noise & stays).sum() / stays.sum()
            print(
                f"{fit.is_answered.sum():4} looks: said {said}, is {left:6.2%}, at most {fit.bound:6.2%} by "
                f"{fit.num_random} at random; {wrong} thrown out wrongly"
                f"{', goal reached' if fit.is_reached else ''}"
            )
            for i in refit.choose(fit, 24).rows:
                verdict = "noise" if is_noise[i] else "normal" if is_clear[i] else "unsure"
                store.add("image", refit.keys[i], verdict, queue="noise")


def main() -> None:
    """Build the workspace where it is not there yet, and measure; or compare on a tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pages", type=int, default=15)
    parser.add_argument("--tree", type=Path)
    options = parser.parse_args()
    if options.tree:
        compare_left(options.tree, options.pages)
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = options.folder or Path(scratch)
        if not (root / "work" / "balance" / "stage.json").exists():
            make_big(root, options.images)
        workspace = Workspace(root / "work")
        workspace.decisions_path.unlink(missing_ok=True)
        image_ids = workspace.read("scan", ["image_id"])["image_id"].tolist()
        is_noise = np.random.default_rng(1).random(len(image_ids)) < NOISE_SHARE
        if not (workspace.cache / "embeddings").exists():
            put_features(workspace, is_noise, image_ids)
        walk(root / "work", {i for i, noise in zip(image_ids, is_noise, strict=True) if noise}, options.pages)


if __name__ == "__main__":
    main()
